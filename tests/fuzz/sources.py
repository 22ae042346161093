"""All good files and traps, and how many files of each a campaign reads."""

from collections.abc import Mapping
from typing import Protocol

from tests.fuzz.archive_traps import ARCHIVE_TRAPS
from tests.fuzz.column_traps import COLUMN_TRAPS
from tests.fuzz.seeds import SEEDS
from tests.fuzz.text_traps import TEXT_TRAPS

TRAPS = [*TEXT_TRAPS, *COLUMN_TRAPS, *ARCHIVE_TRAPS]


class Source(Protocol):
    """What files are made from, each by its number."""

    @property
    def reader(self) -> str:
        """The reader that they are meant for."""

    @property
    def filename(self) -> str:
        """What the client calls them."""

    @property
    def name(self) -> str:
        """What the table calls them."""

    def file(self, number: int) -> bytes:
        """The file of this number; the same each time."""


_ALL: list[Source] = [*SEEDS, *TRAPS]
SOURCES = {one.name: one for one in _ALL}


def shares(files: int) -> Mapping[str, int]:
    """How many files of each source make `files` for each reader: a tenth at most of each trap, the rest of good files."""
    found: dict[str, int] = {}
    for reader in dict.fromkeys(one.reader for one in SEEDS):
        traps = {one.name: min(one.most, files // 10) for one in TRAPS if one.reader == reader}
        good = [one.name for one in SEEDS if one.reader == reader]
        left = files - sum(traps.values())
        found |= {name: left // len(good) + (place < left % len(good)) for place, name in enumerate(good)} | traps
    return found
