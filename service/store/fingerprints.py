"""Detection of repeated rows in bounded memory, by 64-bit fingerprints in a scratch file."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from service.store import text_bytes

Hashes = npt.NDArray[np.uint64]
Positions = npt.NDArray[np.int64]

_HELD = 500_000  # fingerprints in memory at once
_EMPTY = np.uint64(0x9E3779B97F4A7C15)
_WORD = 8  # bytes
_LONG = 64  # bytes; longer texts are hashed one by one
_FIRST, _FEW = 128, 4  # texts; one is repeated so often


class Fingerprints:
    """Fingerprints of n values in order. The probability of a wrong repeat is about n² / 2^65.

    Used with `with`, which deletes the scratch file at its end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb", buffering=1 << 20)
        self._count = 0

    def add(self, hashes: Hashes) -> None:
        """Append the fingerprints of the next values."""
        self._file.write(hashes.tobytes())
        self._count += len(hashes)

    def repeats(self) -> int:
        """How many values repeat an earlier one."""
        return sum(_repeats(hashes) for hashes, _ in self._parts())

    def first_repeat(self) -> tuple[int, int] | None:
        """The positions of a value that occurs twice, the earliest repeat; None when all differ."""
        pairs = [pair for part in self._parts() if (pair := _earliest_repeat(*part)) is not None]
        return min(pairs, key=lambda pair: pair[1], default=None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        # What could not be written for want of room is of no use, and must not hide the first error.
        with suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)

    def _parts(self) -> Iterator[tuple[Hashes, Positions]]:
        """Disjoint parts, fingerprints and their positions, such that equal fingerprints are in the same part."""
        self._file.flush()
        parts = np.uint64(max(1, -(-self._count // _HELD)))
        if parts == 1:
            if self._count:
                yield np.fromfile(self._path, np.uint64), np.arange(self._count)
            return
        for part in range(int(parts)):
            kept, positions = [], []
            with self._path.open("rb") as file:
                position = 0
                while chunk := file.read(1 << 23):
                    hashes = np.frombuffer(chunk, np.uint64)
                    (mine,) = np.nonzero(hashes % parts == part)
                    kept.append(hashes[mine])
                    positions.append(mine + position)
                    position += len(hashes)
            yield np.concatenate(kept), np.concatenate(positions)


def _repeats(hashes: Hashes) -> int:
    ordered = np.sort(hashes)  # several times as fast as numpy's unique
    return int(np.count_nonzero(ordered[1:] == ordered[:-1]))


def _earliest_repeat(hashes: Hashes, positions: Positions) -> tuple[int, int] | None:
    if not _repeats(hashes):
        return None
    order = np.lexsort((positions, hashes))
    hashes, positions = hashes[order], positions[order]
    (again,) = np.nonzero(hashes[1:] == hashes[:-1])
    first = again[np.argmin(positions[again + 1])]
    return int(positions[first]), int(positions[first + 1])


def of_contents(values: Sequence[bytes]) -> Hashes:
    """Fingerprints of bytes, the same in every process."""
    found = b"".join(hashlib.blake2b(value, digest_size=8).digest() for value in values)
    return np.frombuffer(found, "<u8").astype(np.uint64)


def of_texts(texts: Any) -> Hashes:
    """Fingerprints of an Arrow column of strings, the same in every process; null is as the empty text.

    Short texts are hashed together, a word of eight bytes of each at a time: a call for each text would be a fifth of reading a table.
    """
    places, data = text_bytes.parts(texts)
    begins, lengths = places[:-1].astype(np.int64), np.diff(places)
    if len(data) > _WORD * len(texts) and _repeat_often(texts):
        return _by_dictionary(texts.dictionary_encode())
    content = np.concatenate([data, np.zeros(_WORD, np.uint8)])
    words = np.ndarray((len(data) + 1,), "<u8", content, strides=(1,))  # one begins at each byte
    hashes = mixed(lengths.astype(np.uint64))
    longest = int(lengths.max(initial=0))
    if longest <= _WORD:
        word = words[begins] << ((_WORD - lengths).astype(np.uint64) * np.uint64(8))
        return mixed(hashes * np.uint64(31) + word)
    for place in range(0, min(longest, _LONG), _WORD):
        (inside,) = np.nonzero((lengths > place) & (lengths <= _LONG))
        behind = (_WORD - np.minimum(lengths[inside] - place, _WORD)).astype(np.uint64)  # bytes of the next text
        word = words[begins[inside] + place] << (behind * np.uint64(8))
        hashes[inside] = mixed(hashes[inside] * np.uint64(31) + word)
    (long,) = np.nonzero(lengths > _LONG)
    hashes[long] = of_contents([data[places[one] : places[one + 1]].tobytes() for one in long])
    return hashes


def _repeat_often(texts: Any) -> bool:
    """Whether some of the first texts come again and again, as categories do: then each different one is hashed once."""
    return len(texts) > _FIRST and _FEW * pc.count_distinct(texts.slice(0, _FIRST)).as_py() <= _FIRST


def _by_dictionary(codes: Any) -> Hashes:
    hashes = np.append(of_texts(codes.dictionary), of_texts(pa.array([""])))
    places = codes.indices.fill_null(len(hashes) - 1) if codes.null_count else codes.indices
    found: Hashes = hashes[places.to_numpy()]
    return found


def of_column(column: Any) -> Hashes:
    """A fingerprint of each value of an Arrow column of the canonical file; null has one of its own.

    It is the same in every process.
    """
    if pa.types.is_string(column.type):
        hashes = of_texts(column)
    elif pa.types.is_dictionary(column.type):
        hashes = _by_dictionary(column)
    elif pa.types.is_binary(column.type):
        hashes = of_contents([value or b"" for value in column.to_pylist()])
    elif pa.types.is_fixed_size_list(column.type):
        width = column.type.list_size
        rows = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
        hashes = of_contents([row.tobytes() for row in rows])
    elif pa.types.is_floating(column.type):
        filled = column.fill_null(0.0) if column.null_count else column
        hashes = filled.to_numpy(zero_copy_only=False).astype(np.float64, copy=False).view(np.uint64)
    else:
        hashes = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).view(np.uint64)
    if column.null_count:
        hashes = np.where(np.asarray(column.is_null().to_numpy(zero_copy_only=False), bool), _EMPTY, hashes)
    return mixed(hashes)


def of_rows(columns: Sequence[Any]) -> Hashes:
    """One fingerprint a row of several columns."""
    rows = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        rows = mixed(rows * np.uint64(31) + of_column(column))
    return rows


def mixed(values: Hashes) -> Hashes:
    """Spread close numbers far apart (the finaliser of splitmix64)."""
    found = values >> np.uint64(30)
    found ^= values
    found *= np.uint64(0xBF58476D1CE4E5B9)
    shifted = found >> np.uint64(27)
    found ^= shifted
    found *= np.uint64(0x94D049BB133111EB)
    np.right_shift(found, np.uint64(31), out=shifted)
    found ^= shifted
    return found
