"""Damage to files, as disks and crashes do it."""

import os
from pathlib import Path


def flip_bit(path: Path, place: float = 0.5) -> None:
    """Flip one bit of a file; `place` is a share of its length. The time of the file stays as it was."""
    state = path.stat()
    content = bytearray(path.read_bytes())
    content[min(int(len(content) * place), len(content) - 1)] ^= 4
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))


def cut_short(path: Path, place: float = 0.5) -> None:
    """Leave the beginning of a file alone."""
    os.truncate(path, int(path.stat().st_size * place))
