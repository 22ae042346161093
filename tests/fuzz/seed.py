"""Good files, and the damaged ones that are made from them."""

import gzip
import io
import random
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.fuzz.damage import damaged, damaged_name


@dataclass(frozen=True)
class Seed:
    """A good file. `parts` by name are what it is packed from, where `pack` makes it; a file of one part is not packed."""

    reader: str
    filename: str
    parts: Mapping[str, bytes]
    pack: Callable[[Mapping[str, bytes]], bytes] = lambda parts: next(iter(parts.values()))

    @property
    def name(self) -> str:
        """What the table calls it."""
        return self.filename

    @property
    def content(self) -> bytes:
        """The whole file."""
        return self.pack(self.parts)

    def file(self, number: int) -> bytes:
        """The damaged file of this number: one to four damages, in one part of the file or in the whole of it."""
        drawn = random.Random(f"{self.filename} {number}")
        parts = dict(self.parts)
        if len(parts) == 1 or drawn.random() < 0.7:
            name = drawn.choice(list(parts))
            if len(parts) > 1 and drawn.random() < 0.2:
                parts[damaged_name(name, drawn)] = parts.pop(name)
            else:
                parts[name] = damaged(parts[name], drawn)
            content = self.pack(parts)
        else:
            content = self.content
        is_packed_anew = len(self.parts) > 1 or self.content != next(iter(self.parts.values()))
        return damaged(content, drawn) if is_packed_anew and drawn.random() < 0.3 else content


def zipped(parts: Mapping[str, bytes]) -> bytes:
    """A ZIP that does not tell when it was made: the same each time."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def zipped_parts(content: bytes) -> dict[str, bytes]:
    """What a ZIP holds."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def gzipped(content: bytes) -> bytes:
    """A gzip file that does not tell when it was made."""
    return gzip.compress(content, mtime=0)
