"""Whole rows of a UTF-8 text table as bytes, as many at once as a batch has."""

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from service.ingest.readers.text_rows import CHUNK
from service.ingest.source import BATCH_BYTES

_NEWLINE = 10
_LOOKED_AT = 1 << 18  # bytes
Places = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Block:
    """Some whole rows, and the place in the file after them; `shortest` has the fewest bytes, its end included.

    `lines` counts the lines that they take. A row takes more than one where newlines stand between quotes.
    """

    content: bytes
    stop: int
    rows: int
    lines: int
    shortest: int
    ends: Places  # of the rows, in `content`

    @property
    def first_lines(self) -> Places | None:
        """How many lines of the block stand before each row; None where each row is one line."""
        if self.lines == self.rows:
            return None
        newlines = np.flatnonzero(np.frombuffer(self.content, np.uint8) == _NEWLINE)
        return np.searchsorted(newlines, np.concatenate([[0], self.ends[:-1]]))


class RowBlocks:
    """The rows of a file, each but the last with the newline that ends it. The file is mapped and not held in memory.

    A newline ends a row where the quotes before it are an even number. That is so of well-formed rows alone: who takes a block
    looks whether they are.
    """

    def __init__(self, path: Path, quote: str) -> None:
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._bytes = np.frombuffer(self._data, np.uint8)
        self._quote = quote.encode()

    def batch(self, start: int, most: int) -> Block | None:
        """The rows of a batch that begins at this place.

        As of rows that are read one by one, a batch has whole chunks: until they are `most` rows, or more than `BATCH_BYTES`. None
        where one chunk alone is more.
        """
        whole = -(-most // CHUNK) * CHUNK
        ends, quoted = self._ends(start, whole)
        if not len(ends):
            return Block(b"", start, 0, 0, 0, ends)
        chunks = ends[CHUNK - 1 :: CHUNK]
        if len(ends) % CHUNK:
            chunks = np.append(chunks, ends[-1:])
        if (np.diff(chunks, prepend=start) > BATCH_BYTES).any():
            return None
        full = np.flatnonzero(chunks - start > BATCH_BYTES)
        count = min(len(ends), (int(full[0]) + 1) * CHUNK) if len(full) else len(ends)
        ends = ends[:count] - start
        stop = start + int(ends[-1])
        content = self._data[start:stop]
        lines = content.count(b"\n") + (not content.endswith(b"\n")) if quoted else count
        return Block(content, stop, count, lines, int(np.diff(ends, prepend=0).min()), ends)

    def _ends(self, start: int, most: int) -> tuple[Places, bool]:
        """The ends of the next rows, at most so many, and of about two batches at most; and whether there are quotes."""
        found: list[Places] = []
        count, place, within, quoted = 0, start, False, False
        while count < most and place < min(len(self._bytes), start + 2 * BATCH_BYTES + _LOOKED_AT):
            looked_at = self._bytes[place : place + _LOOKED_AT]
            ends = np.flatnonzero(looked_at == _NEWLINE)
            if within or self._data.find(self._quote, place, place + _LOOKED_AT) >= 0:
                quotes = np.flatnonzero(looked_at == ord(self._quote))
                ends = ends[(np.searchsorted(quotes, ends) + within) % 2 == 0]
                within, quoted = within ^ (len(quotes) % 2 == 1), True
            found.append(ends + place + 1)
            count, place = count + len(ends), place + _LOOKED_AT
        ends = np.concatenate([np.empty(0, np.int64), *found])[:most]
        last = int(ends[-1]) if len(ends) else start
        if count < most and last < min(len(self._bytes), place):
            ends = np.append(ends, min(len(self._bytes), place))  # the last row, or the part of one that is very long
        return ends, quoted
