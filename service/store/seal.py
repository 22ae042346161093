"""Seals: digests of what an artefact's files hold, written with it and checked wherever it is read again.

The seal of a file NAME is the file NAME.seal beside it; a folder that is written at once has one file `seal` for all files in it.
A seal has a digest for each 64 KiB, so that a reader of a few rows of a large file checks these alone. A file without a seal was
written by an earlier version, and is read unchecked. What is always read whole, and by this version alone, may have its digest at its
own end instead.

The digest is XXH3, which finds bits that flipped and files that were cut short as fast as memory is read: SHA-256 takes ten times
as long, BLAKE2 twenty times. It does not protect against people who may write into the folder, who could write a seal as well.
"""

import errno
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import structlog
import xxhash

from service.domain.errors import Damaged
from usual_suspects.files import atomic_write, disk_errors

log = structlog.get_logger()

Array = npt.NDArray[Any]
FOLDER_SEAL = "seal"
_SUFFIX = ".seal"
_BLOCK = 2**16
_WIDTH = 16  # hexadecimal digits of a digest
_DIGEST_BYTES = 16  # of a digest behind content
_PIECE = 2**22
_WHOLE = 2**25  # bytes; smaller files are checked whole, once, and then read as they are
_CURES = {
    "datasets": "upload the file again, which makes it anew, or restore it from a backup",
    "networks": "restore it from a backup, or delete the network and upload it again",
    "jobs": "restore it from a backup, or submit the job again",
    "features": "delete it, and it is made again",
}


@contextmanager
def sealed_write(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """As `atomic_write`, with a seal, which is in its place before the file is: a file is never there without it."""
    with atomic_write(path, durable=durable) as part:
        yield part
        with atomic_write(seal_of(path), durable=durable) as seal:
            seal.write_text(_written({path.name: part}))


def seal_of(path: Path) -> Path:
    """Where a file's own seal is, if it has one."""
    return path.with_name(path.name + _SUFFIX)


def is_seal(path: Path) -> bool:
    """Whether a file is a seal, of a file or of a folder."""
    return path.name == FOLDER_SEAL or path.suffix == _SUFFIX


def seal_file(path: Path) -> None:
    """Write the seal of a complete file."""
    with atomic_write(seal_of(path)) as seal:
        seal.write_text(_written({path.name: path}))


def share_seal(path: Path, copy: Path) -> None:
    """Give a copy of a file, of the same name, the seal of the file, if it has one."""
    if _has_own(path):
        shutil.copyfile(seal_of(path), seal_of(copy))


def seal_folder(folder: Path) -> None:
    """Write the seal of a folder of complete files. Files that have seals of their own are left out."""
    files = {one.name: one for one in sorted(folder.iterdir()) if one.is_file() and one.name != FOLDER_SEAL}
    with atomic_write(folder / FOLDER_SEAL) as seal:
        seal.write_text(_written({n: p for n, p in files.items() if not _has_own(p) and p.suffix != _SUFFIX}))


@contextmanager
def unfinished(folder: Path) -> Iterator[None]:
    """Remove a folder that is being written where the block fails; a full disk is told as OSError with its errno."""
    try:
        with disk_errors(folder):
            yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def put_in_place(part: Path, folder: Path) -> None:
    """Let a complete folder, written beside it, take the place of another, if there is one.

    Of two processes that do so at once neither fails, and the folder of one stays.
    """
    away = part.with_name(f"{part.name}.before.part")
    while True:
        with suppress(FileNotFoundError):
            folder.rename(away)
        try:
            part.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            shutil.rmtree(away, ignore_errors=True)
        else:
            break
    shutil.rmtree(away, ignore_errors=True)


def remove_sealed(path: Path) -> None:
    """Delete a file and its seal, if they are there."""
    path.unlink(missing_ok=True)
    seal_of(path).unlink(missing_ok=True)


def check(path: Path) -> None:
    """Check a whole file against its seal. Raises Damaged; FileNotFoundError where there is no file."""
    with _CheckedFile(path) as file:
        file.check_all()


def check_once(path: Path) -> None:
    """Check a whole file, unless this process has checked it as it is now. Raises as `check`."""
    state = path.stat()
    _checked(path, state.st_ino, state.st_size, state.st_mtime_ns)


def check_folder(folder: Path) -> None:
    """Check every file that the seal of a folder names. Raises Damaged, also for one that is missing."""
    for name in _seal_at(folder / FOLDER_SEAL) or ():
        if not (folder / name).exists():
            raise _damaged(folder / name, "it is missing")
        check(folder / name)


def read_checked(path: Path) -> bytes:
    """What a file holds. Raises Damaged."""
    with _CheckedFile(path) as file:
        return file.readall()


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file that can be made again; None where there is no file, or a damaged one, which is deleted."""
    found: Any = None
    try:
        found = json.loads(read_checked(path))
    except FileNotFoundError:
        return None
    except (Damaged, ValueError) as error:
        log.warning("damaged file, it is made again", path=str(path), error=str(error))
    if isinstance(found, dict):
        return found
    remove_sealed(path)
    return None


def with_digest(content: bytes) -> bytes:
    """Content, and its digest behind it: what is written at once, and read at once, needs no file beside it."""
    return content + xxhash.xxh3_128_digest(content)


def without_digest(content: bytes, path: Path) -> bytes:
    """The content alone, once it was compared with its digest. Raises Damaged, which names the path that it was read from."""
    found = content[:-_DIGEST_BYTES]
    if content[len(found) :] != xxhash.xxh3_128_digest(found):
        raise _damaged(path, "it is not as it was written")
    return found


def open_checked(path: Path) -> io.BufferedReader:
    """A file opened for reading; each read raises Damaged where what it would give is not as it was written."""
    return io.BufferedReader(_CheckedFile(path), _BLOCK)


@contextmanager
def open_parquet(path: Path, **options: Any) -> Iterator[Any]:
    """A Parquet file of pyarrow; what is read of it is checked, and reading raises Damaged."""
    if path.stat().st_size <= _WHOLE:
        check_once(path)
        with pq.ParquetFile(path, **options) as parquet:
            yield parquet
        return
    with _CheckedFile(path) as file, pq.ParquetFile(file, **options) as parquet:
        yield parquet


def open_array(path: Path, *, writable: bool = False) -> Array:
    """The memory-mapped array of a .npy file, checked whole. Writing to a `writable` one changes no file. Raises Damaged."""
    check_once(path)
    mapped: Array = _mapped(path, "c" if writable else "r")
    return mapped


def open_bytes(path: Path) -> Array:
    """The memory-mapped bytes of a file, which is not empty, checked whole. Raises Damaged."""
    check_once(path)
    mapped: Array = np.memmap(path, np.uint8, "r")
    return mapped


def row_of(path: Path, row: int) -> Array:
    """A row of the array of a .npy file, of which no more is checked. Raises Damaged."""
    with _CheckedFile(path) as file:
        file.check(0, 1)  # its header
        array = _mapped(path, "r")
        size = array[row : row + 1].nbytes
        start = array.offset + row * size
        file.check(start, start + size)
        return np.array(array[row])


class _CheckedFile(io.RawIOBase):
    """Reads a file by whole blocks, and compares each with the seal."""

    def __init__(self, path: Path) -> None:
        self._path, self._at = path, 0
        self._digests = _digests_of(path)
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        self._size = os.fstat(self._descriptor).st_size
        if self._digests is not None and self._size != self._digests[0]:
            self.close()
            raise _damaged(path, f"it has {self._size:,} bytes, and {self._digests[0]:,} were written")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        target = memoryview(buffer).cast("B")
        stop = min(self._at + len(target), self._size)
        if stop <= self._at:
            return 0
        first, content = self._blocks(self._at, stop)
        target[: stop - self._at] = content[self._at - first : stop - first]
        done = stop - self._at
        self._at = stop
        return done

    def readall(self) -> bytes:
        """The rest of the file; at once, since `read` of the base class would do it in small pieces."""
        return self.read(max(self._size - self._at, 0)) or b""

    def check(self, start: int, stop: int) -> None:
        """Raise Damaged unless the bytes from `start` to before `stop` are as they were written."""
        if self._digests is not None and stop > start:
            self._blocks(start, stop)

    def check_all(self) -> None:
        """Raise Damaged unless every byte is as it was written."""
        for start in range(0, self._size, _PIECE):
            self.check(start, min(start + _PIECE, self._size))

    def close(self) -> None:
        if not self.closed and hasattr(self, "_descriptor"):
            os.close(self._descriptor)
        super().close()

    def _blocks(self, start: int, stop: int) -> tuple[int, memoryview]:
        """The blocks that hold these bytes, and where they begin."""
        if self._digests is None:
            return start, self._read(start, stop)
        first = start // _BLOCK * _BLOCK
        content = self._read(first, min(-(-stop // _BLOCK) * _BLOCK, self._size))
        expected = self._digests[1]
        for place in range(0, len(content), _BLOCK):
            number = (first + place) // _BLOCK * _WIDTH
            if xxhash.xxh3_64_hexdigest(content[place : place + _BLOCK]) != expected[number : number + _WIDTH]:
                begin, end = first + place, min(first + place + _BLOCK, self._size)
                raise _damaged(self._path, f"its bytes {begin:,} to {end:,} are not as they were written")
        return first, content

    def _read(self, start: int, stop: int) -> memoryview:
        content = bytearray(stop - start)
        view, done = memoryview(content), 0
        while done < len(view):
            # Some file systems give less than was asked for, and Linux never more than 2 GiB.
            count = os.preadv(self._descriptor, [view[done:]], start + done)
            if count == 0:
                raise _damaged(self._path, "it became shorter while it was read")
            done += count
        return view


def _mapped(path: Path, mode: Literal["r", "c"]) -> Any:
    try:
        return np.load(path, mmap_mode=mode, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise _damaged(path, f"it cannot be read: {error}") from error


@lru_cache(maxsize=4096)
def _checked(path: Path, _number: int, _size: int, _changed: int) -> None:
    check(path)


def _digests_of(path: Path) -> tuple[int, str] | None:
    """Size and digests that a file had when it was written; None where it has no seal."""
    own = _seal_at(seal_of(path))
    if own is None:
        own = _seal_at(path.parent / FOLDER_SEAL)
    return None if own is None else own.get(path.name)


def _seal_at(path: Path) -> Mapping[str, tuple[int, str]] | None:
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return _read_seal(path, state.st_ino, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _read_seal(path: Path, _number: int, _size: int, _changed: int) -> Mapping[str, tuple[int, str]]:
    try:
        found = json.loads(path.read_text())["files"]
        return {name: (int(one["size"]), str(one["digests"])) for name, one in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, "it cannot be read") from error


def _written(files: Mapping[str, Path]) -> str:
    found = {name: {"size": path.stat().st_size, "digests": _digests(path)} for name, path in files.items()}
    return json.dumps({"digest": "xxh3_64", "block": _BLOCK, "files": found})


def _digests(path: Path) -> str:
    found = []
    with path.open("rb", buffering=0) as file:
        content = bytearray(_PIECE)
        view = memoryview(content)
        while count := _filled(file, view):
            found += [
                xxhash.xxh3_64_hexdigest(view[place : min(place + _BLOCK, count)]) for place in range(0, count, _BLOCK)
            ]
    return "".join(found)


def _filled(file: io.FileIO, view: memoryview) -> int:
    """Read until the buffer is full or the file ends; the number of bytes."""
    done = 0
    while done < len(view) and (count := file.readinto(view[done:])):
        done += count
    return done


def _has_own(path: Path) -> bool:
    return seal_of(path).exists()


def _damaged(path: Path, why: str) -> Damaged:
    place = max((place for place, part in enumerate(path.parts) if part in _CURES), default=0)
    shown, cure = Path(*path.parts[place:]), _CURES.get(path.parts[place], "delete it, and it is made again")
    error = Damaged(f"{shown} is damaged: {why}; {cure}")
    error.path = path
    return error
