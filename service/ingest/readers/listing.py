"""Files of a ZIP or TAR archive, read one at a time and never extracted to the paths that they name."""

import re
import struct
import tarfile
import unicodedata
import weakref
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from service.domain.dataset import ClientWarning
from service.domain.errors import TooLarge
from service.ingest.faults import invalid, malformed
from service.ingest.limits import Limits
from service.ingest.readers.member_names import decoded
from service.store.archives import damage_as

OpenMember = Callable[["Member"], AbstractContextManager[IO[bytes]]]

_CHUNK = 1 << 20
_UTF8_FLAG, _ENCRYPTED_FLAG = 0x800, 0x1
_UNICODE_PATH = 0x7075  # the extra field of a ZIP that holds a name as UTF-8
_ENCRYPTED = 99  # the method of WinZip's AES
_METHODS = {1: "Shrink", 2: "Reduce", 3: "Reduce", 4: "Reduce", 5: "Reduce", 6: "Implode", 9: "Deflate64", 10: "Implode", 12: "BZip2",
            14: "LZMA", 93: "Zstandard", 95: "XZ", 96: "JPEG", 97: "WavPack", 98: "PPMd"}  # fmt: skip
_READ_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA,
                 getattr(zipfile, "ZIP_ZSTANDARD", zipfile.ZIP_STORED))  # fmt: skip  # the last from Python 3.14 on
_END, _LONGEST_END = b"PK\x05\x06", 22 + 0xFFFF  # the record at the end of a ZIP, with its comment
_DRIVE = re.compile(r"^[A-Za-z]:")
_SYSTEM_FOLDERS = (
    "__macosx",
    "@eadir",
    "@recycle",
    "#recycle",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "__pycache__",
)
_SYSTEM_FILES = ("", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r")


@dataclass(frozen=True)
class Member:
    """A file in an archive. Its path is in Unicode's composed form (NFC); `fault` says why it must not be read."""

    path: str
    size: int
    key: zipfile.ZipInfo | int
    fault: str = ""


@dataclass(frozen=True)
class Listing:
    """The files of an archive, sorted by path, and the way to open them, all with one opening of the archive.

    `litter` are files that operating systems and programs leave behind, which are no part of the data.
    """

    members: tuple[Member, ...]
    reading: Callable[[], AbstractContextManager[OpenMember]]
    litter: tuple[Member, ...] = ()
    warnings: tuple[ClientWarning, ...] = ()


def unpack(read: OpenMember, member: Member, path: Path) -> None:
    """Write the contents of one file to `path`."""
    with read(member) as file, path.open("wb") as plain:
        while chunk := file.read(_CHUNK):
            plain.write(chunk)


def list_zip(path: Path, limits: Limits) -> Listing:
    """The files of a ZIP. Raises `TooLarge` for too many or too large ones, `Invalid` for encryption and unknown methods."""
    _check_whole(path)
    with ExitStack() as stack:
        archive = stack.enter_context(_zip(path))
        # zipfile's own question fails for a name of no letters.
        infos = [info for info in archive.infolist() if not info.filename.endswith("/")]
        if len(infos) > limits.max_members:
            raise _too_many(limits)
        limits.check_expansion(path.stat().st_size, sum(info.file_size for info in infos))
        for info in infos:
            _check_method(info)
        found = [(_zip_name(info), Member("", info.file_size, info)) for info in infos]
        stack.pop_all()

    @contextmanager
    def reading() -> Iterator[OpenMember]:
        yield lambda member: _open_zipped(archive, member)

    # Its directory is long to read: it stays open as long as somebody may read it.
    weakref.finalize(reading, archive.close)
    return _listing(found, reading)


def _check_whole(path: Path) -> None:
    """Raise `Invalid` for one part of a ZIP that was written in several files."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LONGEST_END))
        tail = file.read()
    number = tail[tail.rfind(_END) + 4 :][:2] if _END in tail else b""
    if number not in (b"", b"\0\0", b"\xff\xff"):  # the last means that another record says it
        raise invalid(
            "the file is one part of a ZIP in several files; join them into one archive (zip -s 0 parts.zip --out whole.zip)"
        )


def _check_method(info: zipfile.ZipInfo) -> None:
    """Raise `Invalid` for a file of a ZIP that is encrypted, or packed by a method that cannot be unpacked here."""
    if info.flag_bits & _ENCRYPTED_FLAG or info.compress_type == _ENCRYPTED:
        raise invalid("the archive is encrypted; upload it without a password", info.filename)
    if info.compress_type not in _READ_METHODS:
        method = _METHODS.get(info.compress_type, f"method {info.compress_type}")
        raise invalid(
            f"{info.filename!r} in the ZIP is packed with {method}, which cannot be unpacked here; pack the archive again with "
            "Deflate (zip of Info-ZIP, 7-Zip's method Deflate, or Python's zipfile), or upload a .tar.gz",
            info.filename,
        )


def _zip_name(info: zipfile.ZipInfo) -> str | bytes:
    """The name of a file in a ZIP; bytes where the ZIP does not say how they are encoded."""
    if info.flag_bits & _UTF8_FLAG:
        return info.orig_filename
    raw = info.orig_filename.encode("cp437")
    return _unicode_path(info.extra, raw) or (info.orig_filename if raw.isascii() else raw)


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """The name in the Unicode Path field of a ZIP (APPNOTE.TXT 4.6.9), where it belongs to this raw name."""
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if (
            kind == _UNICODE_PATH
            and len(field) > 5
            and field[0] == 1
            and field[1:5] == zlib.crc32(raw).to_bytes(4, "little")
        ):
            return field[5:].decode("utf-8", "replace")
    return None


@contextmanager
def opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """A ZIP whose directory can be read; raises `Malformed`."""
    with _zip(path) as archive:
        yield archive


def _zip(path: Path) -> zipfile.ZipFile:
    with _damaged("the ZIP archive"):
        return zipfile.ZipFile(path)


@contextmanager
def opened_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[IO[bytes]]:
    """A file of a ZIP; raises `Malformed` when it is damaged, `Invalid` when it is packed in a way that is not known."""
    _check_method(info)
    with _damaged(info.filename), archive.open(info) as file:
        yield file


def _damaged(what: str) -> AbstractContextManager[None]:
    return damage_as(lambda error: malformed(f"{what} is damaged: {error}", what))


def _open_zipped(archive: zipfile.ZipFile, member: Member) -> AbstractContextManager[IO[bytes]]:
    if not isinstance(member.key, zipfile.ZipInfo):
        raise TypeError("a member of another archive")
    return opened_member(archive, member.key)


def is_tar(head: bytes) -> bool:
    """Whether a file begins with the header of a TAR, by its checksum: the oldest ones have no mark."""
    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


def list_tar(path: Path, limits: Limits) -> Listing:
    """The files of a TAR that is not compressed (or was expanded before). Raises `TooLarge` for too many files."""
    found: list[tuple[str | bytes, Member]] = []
    with _opened_tar(path) as archive:
        while (info := _next(archive)) is not None:
            if len(found) >= limits.max_members:
                raise _too_many(limits)
            if info.isdir():
                continue
            ordinary = info.isreg() and not info.issparse() and info.size >= 0
            fault = "" if ordinary else "a link or special file, not an ordinary one"
            found.append((_tar_name(info.name), Member("", info.size, info.offset_data, fault)))
    limits.check_size(sum(member.size for _, member in found))

    @contextmanager
    def reading() -> Iterator[OpenMember]:
        with path.open("rb") as file:
            yield lambda member: _open_span(file, member)

    return _listing(found, reading)


def _tar_name(name: str) -> str | bytes:
    """The name of a file in a TAR; bytes where they are no UTF-8."""
    raw = name.encode("utf-8", "surrogateescape")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _opened_tar(path: Path) -> tarfile.TarFile:
    with _damaged("the TAR archive"):  # opening it reads the first header
        return tarfile.open(path, "r:", encoding="utf-8", errors="surrogateescape")


def _next(archive: tarfile.TarFile) -> tarfile.TarInfo | None:
    with _damaged("the TAR archive"):
        return archive.next()


@contextmanager
def _open_span(file: IO[bytes], member: Member) -> Iterator[IO[bytes]]:
    if not isinstance(member.key, int):
        raise TypeError("a member of another archive")
    file.seek(member.key)
    yield _Span(file, member.size)  # type: ignore[misc]  # as much of a file as decoders ask for


class _Span:
    """The next `left` bytes of a file."""

    def __init__(self, file: IO[bytes], left: int) -> None:
        self._file, self._left = file, left

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data


def _listing(
    found: Sequence[tuple[str | bytes, Member]], reading: Callable[[], AbstractContextManager[OpenMember]]
) -> Listing:
    """The files by the paths that their names mean."""
    names, warning = decoded([name for name, _ in found])
    members = _with_paths(names, [member for _, member in found])
    members.sort(key=lambda member: member.path)
    return Listing(
        tuple(member for member in members if not _is_litter(member.path)),
        reading,
        tuple(member for member in members if _is_litter(member.path)),
        (warning,) if warning is not None else (),
    )


def _with_paths(names: Sequence[str], members: Sequence[Member]) -> list[Member]:
    """Members with their paths. Of several with one path the last counts, as for programs that extract archives."""
    plain = [name.replace("\\", "/").removeprefix("./") for name in names]
    composed = [unicodedata.normalize("NFC", path) for path in plain]
    spellings = Counter(one for _, one in set(zip(plain, composed, strict=True)))
    # Two names that differ in nothing but their form are two files.
    paths = [one if spellings[one] == 1 else path for path, one in zip(plain, composed, strict=True)]
    last = {path: place for place, path in enumerate(paths)}
    return [
        replace(
            member, path=path, fault=_name_fault(path) or member.fault or ("" if last[path] == place else _REPLACED)
        )
        for place, (path, member) in enumerate(zip(paths, members, strict=True))
    ]


_REPLACED = "the archive has a later file of the same name"


def _name_fault(path: str) -> str:
    leads_out = path.startswith("/") or ".." in path.split("/") or _DRIVE.match(path) or "\0" in path
    return "the name leads out of the archive" if leads_out else ""


def _is_litter(path: str) -> bool:
    """Whether a file is one that operating systems, editors and servers leave behind."""
    parts = path.split("/")
    hidden = any(part.startswith(".") and part not in (".", "..") for part in parts)
    folders = any(part.lower() in _SYSTEM_FOLDERS for part in parts[:-1])
    return hidden or folders or parts[-1].lower() in _SYSTEM_FILES


def _too_many(limits: Limits) -> TooLarge:
    return TooLarge(f"the archive has more than {limits.max_members:,} files, the limit of this installation")
