"""What the bytes of a whole Arrow column of texts say at once, so that most columns need no look at each text."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_SPACE, _ASCII = 0x20, 0x80
_LETTERS = np.array([chr(one).isalpha() and one < _ASCII for one in range(256)])
Bytes = npt.NDArray[np.uint8]
Starts = npt.NDArray[np.bool_]  # by byte: whether a text may begin with it


def is_ascii(texts: Any) -> bool:
    """Whether all texts of a column of strings are ASCII."""
    _, data = parts(texts)
    return not len(data) or bool(data.max() < _ASCII)


def lengths(texts: Any) -> npt.NDArray[np.int32]:
    """The bytes of each text of a column of strings; of null none."""
    found: npt.NDArray[np.int32] = np.diff(parts(texts)[0])
    return found


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
    if not len(data):
        return np.full(len(texts), table[256])
    empty = places[:-1] == places[1:]
    found: npt.NDArray[np.bool_] = table[data[np.minimum(places[:-1], len(data) - 1)]]
    found[empty] = table[256]
    return found


def may_begin_with(texts: Any, first: str, second: str) -> npt.NDArray[np.bool_]:
    """Whether each text may begin with one of the ASCII characters `first`, and one of `second` after it."""
    places, data = parts(texts)
    if not len(data):
        return np.zeros(len(texts), bool)
    found: npt.NDArray[np.bool_] = places[:-1] < places[1:]
    for place, characters in enumerate((first, second)):
        table = np.zeros(256, bool)
        table[list(characters.encode())] = True
        found &= table[data[np.minimum(places[:-1] + place, len(data) - 1)]]
    return found


def have_one_word(texts: Any) -> bool:
    """Whether surely each text is ASCII without spaces, and has no more than one run of two letters and more."""
    places, data = parts(texts)
    if may_hold(texts, b" "):
        return False
    letters = _LETTERS[data]
    pairs = letters[:-1] & letters[1:]
    borders = places[1:-1]
    pairs[borders[(borders > 0) & (borders < len(data))] - 1] = False
    begins = np.flatnonzero(pairs & ~np.concatenate([[False], pairs[:-1]])) if len(pairs) else np.zeros(0, np.int64)
    of_text = np.searchsorted(places, begins, "right")
    return not bool((of_text[1:] == of_text[:-1]).any())


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
