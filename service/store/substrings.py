"""Substring search over many short texts, whatever their case: they are stored one after the other, a line each.

Two files a name: `NAME.bytes` has the texts (UTF-8, case folded), `NAME-starts.npy` where each line begins.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.store.seal import open_array, open_bytes

Array = npt.NDArray[Any]
# Bytes looked at together: they stay in the cache of a processor, and memory does not grow with the texts.
_WINDOW = 2**21


def save(folder: Path, name: str, texts: Iterable[Sequence[str]]) -> None:
    """Write texts, which come some at a time."""
    lengths: list[Array] = [np.zeros(1, np.int64)]
    with (folder / f"{name}.bytes").open("wb") as file:
        for some in texts:
            lines = [f"{_folded(text)}\n".encode() for text in some]
            lengths.append(np.fromiter((len(line) for line in lines), np.int64, len(lines)))
            file.write(b"".join(lines))
    np.save(folder / f"{name}-starts.npy", np.cumsum(np.concatenate(lengths)))


def containing(folder: Path, name: str, part: str) -> Array:
    """Which of the texts contain `part`: bool n. An empty part is in all of them. Raises Damaged."""
    starts: Array = open_array(folder / f"{name}-starts.npy")
    found = np.zeros(len(starts) - 1, bool)
    needle = np.frombuffer(_folded(part).encode(), np.uint8)
    if not len(needle):
        return ~found
    size = int(starts[-1])
    width = _width(starts)
    content: Array = open_bytes(folder / f"{name}.bytes") if size else np.zeros(0, np.uint8)
    for begin in range(0, size, _WINDOW):
        window = content[begin : begin + _WINDOW + len(needle) - 1]
        hits = _hits(window, needle)
        hits += begin
        found[hits // width if width else np.searchsorted(starts, hits, side="right") - 1] = True
    return found


def _width(starts: Array) -> int:
    """How long every line is; 0 where they are not equally long. A place is then divided, instead of searched."""
    width = int(starts[1])
    return width if (starts[1:] - starts[:-1] == width).all() else 0


def _hits(window: Array, needle: Array) -> Array:
    """Where the needle begins."""
    last = len(window) - len(needle) + 1
    if last <= 0:
        return np.zeros(0, np.int64)
    # The rarest of its bytes first, counted in a sample: after two each further byte is compared at what is left alone.
    often = np.bincount(window[: 2**16], minlength=256)[needle]
    places = np.argsort(often, kind="stable")
    found = window[places[0] : places[0] + last] == needle[places[0]]
    for place in places[1:2]:
        found &= window[place : place + last] == needle[place]
    hits = np.flatnonzero(found)
    for place in places[2:]:
        hits = hits[window[hits + place] == needle[place]]
    return hits


def _folded(text: str) -> str:
    return text.casefold().replace("\n", " ")
