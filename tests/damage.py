"""Damage to files, as disks and crashes do it."""

import os
from pathlib import Path


def flip_bit(path: Path, place: float = 0.5) -> None:
    """Flip one bit of a file in its place; `place` is a share of its length. The time of the file stays as it was."""
    state = path.stat()
    with path.open("r+b") as file:
        file.seek(min(int(state.st_size * place), state.st_size - 1))
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 4]))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))


def cut_short(path: Path, place: float = 0.5) -> None:
    """Leave the beginning of a file alone."""
    os.truncate(path, int(path.stat().st_size * place))
