"""Writes files atomically: complete or not there, whenever the process ends."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """A path beside `path` to write a file to; the file takes the place of `path` at the end of the block.

    Nothing is left of it when the block raises. Several may write at once: each has a path of its own, and the last one
    to end stays. With `durable` the file is there after a loss of power, too, which costs a few milliseconds.
    """
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
        if durable:
            _flush(part)
        part.replace(path)
        if durable:
            _flush(path.parent)
    finally:
        part.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
