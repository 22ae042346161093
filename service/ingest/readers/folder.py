"""Archives of images: `class/…image`, `split/class/…image`, or images beside a `metadata.csv` or `metadata.jsonl`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from service.domain.dataset import ClientWarning, SkippedRow
from service.domain.errors import Malformed
from service.ingest.faults import invalid, listed
from service.ingest.readers.delimited import open_delimited
from service.ingest.readers.image_kinds import images_in, litter_warning
from service.ingest.readers.json_lines import open_json_lines
from service.ingest.readers.listing import Listing, Member, OpenMember
from service.ingest.source import BATCH_BYTES, Batch, RowSource, Upload
from service.ingest.values import split_name

_METADATA = {"metadata.csv": open_delimited, "metadata.jsonl": open_json_lines}
_FILE_COLUMNS = ("file_name", "filename", "file", "path", "image")
_NO_CLASS = ("_unlabeled", "no_label")  # FiftyOne's and CVAT's
_LARGEST_IMAGE = 64 * 2**20
_BATCH = 256


@dataclass(frozen=True)
class ImageEntry:
    """One image, or a line of the metadata without one; `fault` says why it is no sample."""

    index: int
    where: str
    values: Mapping[str, str | None]
    member: Member | None = None
    fault: str = ""


def open_folder(kind: str, upload: Upload, listing: Listing) -> RowSource:
    """Read an archive of images, sorted by path. Raises `Invalid` when no label can be told from it."""
    images = images_in(listing)
    tables = [member for member in listing.members if _base(member.path).lower() in _METADATA and not member.fault]
    entries, columns = _described(upload, listing, images, tables) if tables else _by_folder(images)
    image = _free("image", columns)
    litter = litter_warning(listing)
    used = {member.path for member in (*images, *tables)}
    others = [member.path for member in listing.members if member.path not in used]
    ignored = ClientWarning(code="ignored_files", detail=f"{len(others)} files that are no images: {listed(others)}")
    return RowSource(
        format=f"{kind}, images with {_base(tables[0].path)}" if tables else f"{kind}, images in class folders",
        batches=lambda media: _batches(listing, entries, columns, image if media else None),
        columns=(*columns, image),
        label=None if tables else "label",
        split="split" if "split" in columns else None,
        image=image,
        path=columns[0],
        warnings=(*listing.warnings, *([litter] if litter else []), *([ignored] if others else [])),
    )


def _by_folder(images: Sequence[Member]) -> tuple[list[ImageEntry], list[str]]:
    folders = [member.path.split("/")[:-1] for member in images if not member.fault]
    depth = _shared_depth(folders)
    inner = [folder[depth:] for folder in folders if len(folder) > depth]
    if not inner:
        raise invalid("no label: put each image in a folder named by its class, or add a metadata.csv with file_name")
    # One image that lies in a split's own folder, or a test set without classes, does not make the splits classes.
    splits = all(split_name(folder[0]) for folder in inner) and any(len(folder) >= 2 for folder in inner)
    entries = []
    for index, member in enumerate(images):
        folder = member.path.split("/")[depth:-1]
        placed = len(folder) >= (2 if splits else 1)
        values = {"file_name": member.path, "label": folder[1 if splits else 0] if placed else None}
        if splits:
            values["split"] = folder[0] if placed else None
        fault = member.fault or ("" if placed else "not in a class folder")
        if values["label"] in _NO_CLASS:
            fault = fault or f"in the folder {values['label']}, which is for images without a class"
        entries.append(ImageEntry(index, member.path, values, member, fault))
    return entries, ["file_name", "label", *(["split"] if splits else [])]


def _shared_depth(folders: Sequence[Sequence[str]]) -> int:
    """How many outer folders all images share, which therefore say nothing; a split's name always says something."""
    deep = [folder for folder in folders if folder]
    depth = 0
    while deep and all(len(folder) >= depth + 2 for folder in deep):
        names = {folder[depth] for folder in deep}
        if len(names) > 1 or split_name(next(iter(names))):
            break
        depth += 1
    return depth


def _described(
    upload: Upload, listing: Listing, images: Sequence[Member], tables: Sequence[Member]
) -> tuple[list[ImageEntry], list[str]]:
    rows: dict[str, tuple[str, dict[str, str | None]]] = {}
    columns: dict[str, None] = {}
    orphans: list[tuple[str, str]] = []
    by_path = {member.path: member for member in images}
    for number, table in enumerate(tables):
        folder = table.path[: -len(_base(table.path))]
        for where, file, values in _metadata(upload, listing, table, number):
            columns |= dict.fromkeys(values)
            path = f"{folder}{str(file or '').replace(chr(92), '/').removeprefix('./')}"
            if path not in by_path:
                orphans.append((where, f"the archive has no image {path!r}"))
            elif path in rows:
                orphans.append((where, f"{path!r} has a row already, {rows[path][0]}"))
            else:
                rows[path] = (where, values)
    names = ["file_name", *(name for name in columns if name != "file_name")]
    splits = {path: split_name(path.split("/")[0]) for path in rows}
    if "split" not in columns and rows and len(tables) > 1 and all(splits.values()):
        rows = {path: (where, {**values, "split": splits[path]}) for path, (where, values) in rows.items()}
        names.append("split")
    entries = [_matched(index, member, rows) for index, member in enumerate(images)]
    missing = [ImageEntry(len(entries) + number, *orphan) for number, orphan in enumerate(_as_fault(orphans))]
    return entries + missing, names


def _as_fault(orphans: Sequence[tuple[str, str]]) -> Iterator[tuple[str, dict[str, str | None], None, str]]:
    return ((where, {}, None, fault) for where, fault in orphans)


def _matched(index: int, member: Member, rows: Mapping[str, tuple[str, Mapping[str, str | None]]]) -> ImageEntry:
    if member.fault or member.path not in rows:
        return ImageEntry(index, member.path, {}, member, member.fault or "the metadata has no row for it")
    return ImageEntry(index, member.path, {**rows[member.path][1], "file_name": member.path}, member)


def _metadata(
    upload: Upload, listing: Listing, table: Member, number: int
) -> Iterator[tuple[str, str | None, dict[str, str | None]]]:
    """Each row of a metadata table: where it stands, the file that it names, and its other columns."""
    name = _base(table.path).lower()
    path = upload.scratch / f"metadata-{number}"
    with path.open("wb") as plain:
        for chunk in listing.chunks(table):
            plain.write(chunk)
    source = _METADATA[name](replace(upload, path=path, name=name))
    for batch in source.batches(False):
        names = batch.rows.schema.names
        file = next((column for column in _FILE_COLUMNS if column in names), None)
        if file is None:
            raise invalid(f"{table.path} needs a column file_name; it has {listed(names)}", table.path)
        for position, row in enumerate(batch.rows.to_pylist()):
            others = {column: _text(value) for column, value in row.items() if column != file}
            yield f"{table.path} {batch.where(position)}", row[file], others
        if batch.skipped:
            raise invalid(f"{table.path} {batch.skipped[0].where}: {batch.skipped[0].reason}", table.path)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _batches(
    listing: Listing, entries: Sequence[ImageEntry], columns: Sequence[str], image: str | None
) -> Iterator[Batch]:
    """`image` names the column of the file contents; with None they are not read."""
    with listing.reading() as read:
        rows: list[ImageEntry] = []
        contents: list[bytes] = []
        skipped: list[SkippedRow] = []
        for entry in entries:
            data, fault = _contents(read, entry) if image is not None else (b"", entry.fault)
            if fault:
                skipped.append(SkippedRow(index=entry.index, where=entry.where, reason=fault))
            else:
                rows.append(entry)
                contents.append(data)
            if len(rows) + len(skipped) >= _BATCH or sum(map(len, contents)) > BATCH_BYTES:
                yield _batch(rows, contents, skipped, columns, image)
                rows, contents, skipped = [], [], []
        if rows or skipped:
            yield _batch(rows, contents, skipped, columns, image)


def _contents(read: OpenMember, entry: ImageEntry) -> tuple[bytes, str]:
    if entry.fault or entry.member is None:
        return b"", entry.fault
    if entry.member.size > _LARGEST_IMAGE:
        return b"", f"the file is larger than {_LARGEST_IMAGE:,} bytes"
    try:
        with read(entry.member) as file:
            return file.read(), ""
    except Malformed:
        return b"", "the file is damaged in the archive"


def _batch(
    rows: Sequence[ImageEntry],
    contents: Sequence[bytes],
    skipped: Sequence[SkippedRow],
    columns: Sequence[str],
    image: str | None,
) -> Batch:
    arrays = {name: pa.array([entry.values.get(name) for entry in rows], pa.string()) for name in columns}
    if image is not None:
        arrays[image] = pa.array(contents, pa.binary())
    return Batch(
        rows=pa.RecordBatch.from_pydict(arrays),
        index=np.array([entry.index for entry in rows], np.int64),
        where=lambda position: rows[position].where,
        skipped=tuple(skipped),
    )


def _base(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _free(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name += "_"
    return name
