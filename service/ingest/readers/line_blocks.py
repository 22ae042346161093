"""Whole lines of a UTF-8 file as bytes, as many at once as a batch of a table has."""

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from service.ingest.readers.text_rows import CHUNK
from service.ingest.source import BATCH_BYTES

_NEWLINE = 10
_LOOKED_AT = 1 << 18  # bytes
_Places = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Block:
    """Some whole lines, and the place in the file after them; `shortest` has the fewest bytes, its end included."""

    content: bytes
    stop: int
    lines: int
    shortest: int


class LineBlocks:
    """The lines of a file, each but the last with the newline that ends it. The file is mapped and not held in memory."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._bytes = np.frombuffer(self._data, np.uint8)

    def batch(self, start: int, most: int) -> Block | None:
        """The lines of a batch that begins at this place.

        As of rows that are read one by one, a batch has whole chunks: until they are `most` lines, or more than `BATCH_BYTES`. None
        where one chunk alone is more.
        """
        whole = -(-most // CHUNK) * CHUNK
        ends = self._ends(start, whole)
        if not len(ends):
            return Block(b"", start, 0, 0)
        chunks = ends[CHUNK - 1 :: CHUNK]
        if len(ends) % CHUNK:
            chunks = np.append(chunks, ends[-1:])
        if (np.diff(chunks, prepend=start) > BATCH_BYTES).any():
            return None
        full = np.flatnonzero(chunks - start > BATCH_BYTES)
        count = min(len(ends), (int(full[0]) + 1) * CHUNK) if len(full) else len(ends)
        stop = int(ends[count - 1])
        return Block(self._data[start:stop], stop, count, int(np.diff(ends[:count], prepend=start).min()))

    def _ends(self, start: int, most: int) -> _Places:
        """The ends of the next lines, at most so many, and of about two batches at most."""
        found: list[_Places] = []
        count, place = 0, start
        while count < most and place < min(len(self._bytes), start + 2 * BATCH_BYTES + _LOOKED_AT):
            ends = np.flatnonzero(self._bytes[place : place + _LOOKED_AT] == _NEWLINE) + place + 1
            found.append(ends)
            count, place = count + len(ends), place + _LOOKED_AT
        ends = np.concatenate([np.empty(0, np.int64), *found])[:most]
        last = int(ends[-1]) if len(ends) else start
        if count < most and last < min(len(self._bytes), place):
            ends = np.append(ends, min(len(self._bytes), place))  # the last line, or the part of one that is very long
        return ends
