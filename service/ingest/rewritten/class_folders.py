"""Archives of images in class folders, with files moved to the folder of their new class."""

import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from service.ingest.readers.listing import Listing, Member, OpenMember, list_tar, list_zip
from service.ingest.rewritten.edits import Edits, no_form
from service.ingest.source import Batch, RowSource, Upload
from service.ingest.streams import Sink

_CHUNK = 1 << 20
_UNSAFE = ("/", "\\", "\0")


def rewrite_zip_folders(upload: Upload, source: RowSource, label: str, edits: Edits) -> Iterator[bytes]:
    """The ZIP in pieces: its files in their order, each packed as it was."""
    listing = list_zip(upload.path, upload.limits)
    targets = _targets(listing, source, label, edits)

    def pieces() -> Iterator[bytes]:
        sink = Sink()
        with listing.reading() as read, zipfile.ZipFile(sink, "w") as archive:
            for member, target in _kept(listing, targets):
                yield from _packed(archive, sink, member, target, read)
                yield sink.take()
        yield sink.take()

    return pieces()


def rewrite_tar_folders(upload: Upload, source: RowSource, label: str, edits: Edits) -> Iterator[bytes]:
    """The TAR in pieces."""
    listing = list_tar(upload.path, upload.limits)
    targets = _targets(listing, source, label, edits)

    def pieces() -> Iterator[bytes]:
        sink = Sink()
        with listing.reading() as read, tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for member, target in _kept(listing, targets):
                info = tarfile.TarInfo(target)
                info.size = member.size
                with read(member) as file:
                    archive.addfile(info)
                    yield sink.take()
                    while chunk := file.read(_CHUNK):
                        yield chunk
                padding = -member.size % tarfile.BLOCKSIZE
                yield bytes(padding)
        yield sink.take()

    return pieces()


def _packed(archive: zipfile.ZipFile, sink: Sink, member: Member, target: str, read: OpenMember) -> Iterator[bytes]:
    if not isinstance(member.key, zipfile.ZipInfo):
        raise TypeError("a member of another archive")
    info = zipfile.ZipInfo(target, member.key.date_time)
    info.compress_type, info.external_attr, info.file_size = (
        member.key.compress_type,
        member.key.external_attr,
        member.size,
    )
    with read(member) as file, archive.open(info, "w") as packed:
        while chunk := file.read(_CHUNK):
            packed.write(chunk)
    yield sink.take()


def _kept(listing: Listing, targets: Mapping[str, str | None]) -> Iterator[tuple[Member, str]]:
    """Files that stay and the names that they get; those that could not be read are left out."""
    for member in listing.members:
        target = targets.get(member.path, member.path)
        if target is not None and not member.fault:
            yield member, target


def _targets(listing: Listing, source: RowSource, label: str, edits: Edits) -> dict[str, str | None]:
    """The new path of each file that moves; None for one that goes. Raises Conflict where the folder is not the class."""
    if label != source.label:
        raise no_form(f"the class is {label!r} and not the folder")
    taken = {member.path for member in listing.members}
    found: dict[str, str | None] = {}
    for batch in source.batches(False):
        for path, index, name in _labelled(batch, source.path or "", label):
            if index in edits.removed:
                found[path] = None
            elif index in edits.labels:
                found[path] = free_path(_moved(path, name, edits.labels[index]), taken)
    return found


def _labelled(batch: Batch, path: str, label: str) -> Iterator[tuple[str, int, str]]:
    columns = (batch.rows.column(batch.rows.schema.get_field_index(name)).to_pylist() for name in (path, label))
    paths, labels = columns
    yield from zip(paths, batch.index.tolist(), labels, strict=True)


def _moved(path: str, old: str, new: str) -> str:
    """A path with another class in the place of the first folder that is called as the old one."""
    if any(mark in new for mark in _UNSAFE) or new in ("", ".", ".."):
        raise no_form(f"the class {new!r} cannot be the name of a folder")
    parts = path.split("/")
    parts[parts.index(old)] = new
    return "/".join(parts)


def free_path(path: str, taken: set[str]) -> str:
    """A path that no file has, with a number before its ending if need be; it is taken from now on."""
    name, number = path, 0
    plain = PurePosixPath(path)
    while name in taken:
        number += 1
        name = str(plain.with_name(f"{plain.stem}-{number}{plain.suffix}"))
    taken.add(name)
    return name
