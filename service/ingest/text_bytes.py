"""What the bytes of a whole Arrow column of texts say at once, so that most columns need no look at each text."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_SPACE, _ASCII = 0x20, 0x80
Bytes = npt.NDArray[np.uint8]
Starts = npt.NDArray[np.bool_]  # by byte: whether a text may begin with it


def is_ascii(texts: Any) -> bool:
    """Whether all texts of a column of strings are ASCII."""
    _, data = parts(texts)
    return not len(data) or bool(data.max() < _ASCII)


def is_trimmed(texts: Any) -> bool:
    """Whether surely no text of a column of strings has white space around it; False where one may have."""
    places, data = parts(texts)
    if not len(data) or (data.min() > _SPACE and data.max() < _ASCII):
        return True
    begins, ends = places[:-1], places[1:]
    filled = begins < ends
    edges = np.concatenate([data[begins[filled]], data[ends[filled] - 1]])
    return bool(((edges > _SPACE) & (edges < _ASCII)).all())


def starts(characters: Iterable[str], *, empty: bool = False) -> Starts:
    """A table for `may_start`: ASCII characters in either case, any character beyond ASCII, and nothing at all where `empty`."""
    table = np.zeros(257, bool)
    table[_ASCII:256] = True
    for one in characters:
        table[[ord(one.lower()), ord(one.upper())]] = True
    table[256] = empty
    return table


def may_start(texts: Any, table: Starts) -> npt.NDArray[np.bool_]:
    """Whether each text begins with a character of a table of `starts`."""
    places, data = parts(texts)
    begins = places[:-1]
    firsts = np.full(len(begins), 256, np.int16)
    filled = begins < places[1:]
    firsts[filled] = data[begins[filled]]
    return table[firsts]


def may_hold(texts: Any, characters: bytes) -> bool:
    """Whether some text may hold one of these ASCII characters: False only where all are ASCII and none does."""
    _, data = parts(texts)
    content = data.tobytes()
    return not content.isascii() or any(character in content for character in characters)


def parts(texts: Any) -> tuple[npt.NDArray[np.int32], Bytes]:
    """Where texts begin in their bytes and where the last one ends, and these bytes."""
    if not len(texts):
        return np.zeros(1, np.int32), np.zeros(0, np.uint8)
    if not pa.types.is_string(texts.type):
        raise TypeError(f"a column of {texts.type}, not of strings")
    _, offsets, content = texts.buffers()
    # A buffer may be longer than its offsets, by any number of bytes.
    places = np.frombuffer(offsets, np.int32, texts.offset + len(texts) + 1)[texts.offset :]
    data = np.frombuffer(content, np.uint8)[places[0] : places[-1]] if content is not None else np.zeros(0, np.uint8)
    return places - places[0], data
