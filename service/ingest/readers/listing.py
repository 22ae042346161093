"""Files of a ZIP or TAR archive, read one at a time and never extracted to the paths that they name."""

import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from service.domain.errors import TooLarge
from service.ingest.faults import invalid, malformed
from service.ingest.limits import Limits
from service.store.archives import damage_as

OpenMember = Callable[["Member"], AbstractContextManager[IO[bytes]]]


@dataclass(frozen=True)
class Member:
    """A file in an archive. `fault` says why it must not be read, and is empty for an ordinary file."""

    path: str
    size: int
    key: zipfile.ZipInfo | int
    fault: str = ""


@dataclass(frozen=True)
class Listing:
    """The files of an archive, sorted by path, and the way to open them, all with one opening of the archive."""

    members: tuple[Member, ...]
    reading: Callable[[], AbstractContextManager[OpenMember]]

    def chunks(self, member: Member, size: int = 1 << 20) -> Iterator[bytes]:
        """The contents of one file."""
        with self.reading() as read, read(member) as file:
            while chunk := file.read(size):
                yield chunk


def list_zip(path: Path, limits: Limits) -> Listing:
    """The files of a ZIP. Raises `TooLarge` for too many or too large ones, `Invalid` when encrypted."""
    with opened_zip(path) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > limits.max_members:
        raise _too_many(limits)
    limits.check_expansion(path.stat().st_size, sum(info.file_size for info in infos))
    locked = next((info.filename for info in infos if info.flag_bits & 1), None)
    if locked is not None:
        raise invalid("the archive is encrypted; upload it without a password", locked)

    @contextmanager
    def reading() -> Iterator[OpenMember]:
        with opened_zip(path) as archive:
            yield lambda member: _open_zipped(archive, member)

    members = (_member(info.filename, info.file_size, info) for info in infos)
    return Listing(_sorted(members), reading)


@contextmanager
def opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """A ZIP whose directory can be read; raises `Malformed`."""
    with _damaged("the ZIP archive"):
        archive = zipfile.ZipFile(path)
    with archive:
        yield archive


@contextmanager
def opened_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[IO[bytes]]:
    """A file of a ZIP; raises `Malformed` when it is damaged or packed in a way that is not known."""
    with _damaged(info.filename), archive.open(info) as file:
        yield file


def _damaged(what: str) -> AbstractContextManager[None]:
    return damage_as(lambda error: malformed(f"{what} is damaged: {error}", what))


def _open_zipped(archive: zipfile.ZipFile, member: Member) -> AbstractContextManager[IO[bytes]]:
    if not isinstance(member.key, zipfile.ZipInfo):
        raise TypeError("a member of another archive")
    return opened_member(archive, member.key)


def list_tar(path: Path, limits: Limits) -> Listing:
    """The files of a TAR that is not compressed (or was expanded before). Raises `TooLarge` for too many files."""
    members: list[Member] = []
    with tarfile.open(path, "r:") as archive:
        while (info := _next(archive)) is not None:
            if len(members) >= limits.max_members:
                raise _too_many(limits)
            if info.isdir():
                continue
            fault = (
                ""
                if info.isreg() and not info.issparse() and info.size >= 0
                else "a link or special file, not an ordinary one"
            )
            members.append(_member(info.name, info.size, info.offset_data, fault))
    limits.check_size(sum(member.size for member in members))

    @contextmanager
    def reading() -> Iterator[OpenMember]:
        with path.open("rb") as file:
            yield lambda member: _open_span(file, member)

    return Listing(_sorted(members), reading)


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


def _member(name: str, size: int, key: zipfile.ZipInfo | int, fault: str = "") -> Member:
    path = name.replace("\\", "/").removeprefix("./")
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or ":" in parts[0] or "\0" in path:
        fault = "the name leads out of the archive"
    return Member(path, size, key, fault)


def _sorted(members: Iterator[Member] | Sequence[Member]) -> tuple[Member, ...]:
    return tuple(sorted((member for member in members if not _is_litter(member.path)), key=lambda member: member.path))


def _is_litter(path: str) -> bool:
    """Whether a file is one that operating systems leave behind."""
    parts = path.split("/")
    hidden = any(part.startswith(".") and part not in (".", "..") for part in parts)
    return hidden or "__MACOSX" in parts or parts[-1].lower() in ("thumbs.db", "desktop.ini", "")


def _too_many(limits: Limits) -> TooLarge:
    return TooLarge(f"the archive has more than {limits.max_members:,} files, the limit of this installation")
