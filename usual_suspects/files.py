"""Writes files atomically: complete or not there, whenever the process ends; a full disk is told as such."""

import errno
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PROBE = 2**16  # bytes
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_SPACE = os.strerror(errno.ENOSPC)  # as safetensors says it
_CUT_SHORT = re.compile(r"\d+ requested and \d+ written")  # as NumPy says it


@contextmanager
def atomic_write(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """A path beside `path` to write a file to; the file takes the place of `path` at the end of the block.

    Nothing is left of it when the block raises; where the disk is full, whatever a library says of it, OSError has the errno that
    says so. Several may write at once: each has a path of its own, and the last one
    to end stays. With `durable` the file is there after a loss of power, too, which costs a few milliseconds.
    """
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with disk_errors(path.parent):
            yield part
        if durable:
            _flush(part)
        part.replace(path)
        if durable:
            _flush(path.parent)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Raise OSError with its errno where the block fails because the disk of `folder`, or a quota of it, is full.

    torch says RuntimeError then, NumPy an OSError without a number, safetensors an error of its own. What none of them tells
    is looked for on the disk, where another process may have made room meanwhile.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        full = _errno_told(error) or _full(folder)
        if full is None:
            raise
        raise OSError(full, os.strerror(full), str(folder)) from error


def reserve(path: Path, size: int) -> None:
    """Give a file this size, and the space on the disk for it, so that writing to it once it is mapped cannot fail.

    Raises OSError where there is no room: a mapped file for which there is none would end the process.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, 0, max(size, 1))
        os.ftruncate(file, size)
    finally:
        os.close(file)


def _errno_told(error: BaseException | None) -> int | None:
    """The errno of a full disk or quota, where an error or one behind it tells of it in any form; else None."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return error.errno
        if _NO_SPACE in str(error) or (isinstance(error, OSError) and _CUT_SHORT.search(str(error))):
            return errno.ENOSPC
        error = error.__cause__ or error.__context__
    return None


def _full(folder: Path) -> int | None:
    """The errno of a full disk or quota, while what did not fit is still there; None where there is room."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return error.errno if error.errno in _FULL else None
    return None


def _flush(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
