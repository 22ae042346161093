"""Files that were made to harm a reader."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.fuzz.damage import damaged

_DAMAGED = 0.3
_LIGHT = 400  # files of a kind in a campaign; the rest are damaged good ones


@dataclass(frozen=True)
class Trap:
    """A kind of hostile file. `make` draws one; some are damaged too. `most` bounds how many of them a campaign reads."""

    reader: str
    filename: str
    name: str
    make: Callable[[random.Random], bytes]
    most: int = _LIGHT

    @property
    def is_large(self) -> bool:
        """Whether a file takes seconds to make and to read: such are not damaged."""
        return self.most < _LIGHT

    def file(self, number: int) -> bytes:
        """The file of this number; the same each time."""
        drawn = random.Random(f"{self.name} {number}")
        content = self.make(drawn)
        return damaged(content, drawn) if not self.is_large and drawn.random() < _DAMAGED else content
