"""A small disk, which can be filled to the last byte."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class CannotMount(Exception):
    """Only root can mount a disk, and not everywhere."""


class Disk:
    """A mounted disk of a few MiB."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._filler = folder, folder / "filler"

    def fill(self, leave: int = 0) -> None:
        """Write zeros until nothing more fits, then give `leave` bytes back."""
        with self._filler.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                file.truncate(max(file.tell() - leave, 0))

    def make_room(self) -> None:
        """Remove the zeros."""
        self._filler.unlink(missing_ok=True)


@contextmanager
def mounted(folder: Path, mebibytes: int) -> Iterator[Disk]:
    """A disk in memory, mounted at an empty folder. Raises CannotMount."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        raise CannotMount("root alone can mount a disk")
    command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        raise CannotMount("nothing can be mounted here")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
