"""Files that are written to a client while they are made."""

import io
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

_GZIP = 31  # zlib's name of its format with a gzip header
_PIECE = 1 << 16


class Sink(io.RawIOBase):
    """Keeps what was written until it is taken. With `rewritable`, what was not taken can be written again, as headers of a ZIP are."""

    def __init__(self, *, rewritable: bool = True) -> None:
        self._rewritable = rewritable
        self._held, self._start, self._place = bytearray(), 0, 0

    def writable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Whether what was not taken can be written again."""
        return self._rewritable

    def write(self, data: Any) -> int:
        """Write at the position."""
        content = bytes(data)
        at = self._place - self._start
        self._held[at : at + len(content)] = content
        self._place += len(content)
        return len(content)

    def tell(self) -> int:
        """The position, counted from the beginning of the file."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move within what was not taken."""
        end = self._start + len(self._held)
        place = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: end}[whence] + offset
        if not self._rewritable or not self._start <= place <= end:
            raise io.UnsupportedOperation("what was taken cannot be written again")
        self._place = place
        return place

    def take(self) -> bytes:
        """What was written since the last call; the position is at its end."""
        taken = bytes(self._held)
        self._start += len(taken)
        self._place = self._start
        self._held.clear()
        return taken


def gathered(pieces: Iterable[bytes], size: int = _PIECE) -> Iterator[bytes]:
    """The same bytes in pieces of at least `size`: each piece that is sent costs a change of threads."""
    held = bytearray()
    for piece in pieces:
        held += piece
        if len(held) >= size:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


def gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces compressed as one gzip file, the same each time."""
    packer = zlib.compressobj(wbits=_GZIP)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()
