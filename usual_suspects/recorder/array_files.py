"""Arrays of a recording, one file each until the end, and the safetensors file that they become.

The header of a safetensors file has the length of every array, so it can be written only when all arrays are complete.
Never more than one batch is in memory.
"""

import hashlib
import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from usual_suspects.files import atomic_write

_DTYPES = {"float32": "F32", "float64": "F64", "int64": "I64"}
_PIECE = 4 * 2**20  # bytes that are read at once
_LENGTH = 8  # bytes that tell the length of the header


@dataclass(frozen=True)
class ArrayFile:
    """A complete array in a file of its own, or from `offset` on in a safetensors file. Two of the same numbers are equal.

    `digest`: SHA-256 of the numbers.
    """

    path: Path = field(compare=False)
    dtype: str
    shape: tuple[int, ...]
    digest: str
    offset: int = field(default=0, compare=False)

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def is_complete(self) -> bool:
        """Whether a file of its own has all its bytes."""
        return self.path.is_file() and self.path.stat().st_size == self.size


class GrowingArray:
    """An array that is written row by row."""

    def __init__(self, path: Path) -> None:
        self._path, self._file, self._digest = path, path.open("wb"), hashlib.sha256()
        self._rows, self._dtype = 0, "float32"
        self._width: tuple[int, ...] = ()

    def add(self, rows: npt.NDArray[Any]) -> None:
        """Append rows. Raises ValueError for rows of another shape."""
        data = np.ascontiguousarray(rows)
        if self._rows and data.shape[1:] != self._width:
            raise ValueError(f"{self._path.name}: rows of shape {data.shape[1:]} after rows of shape {self._width}")
        self._file.write(data.data)
        self._digest.update(data.data)
        self._rows, self._width, self._dtype = self._rows + len(data), data.shape[1:], str(data.dtype)

    def done(self) -> ArrayFile:
        """Close the file and return the array; no rows can be added afterwards."""
        self._file.close()
        return ArrayFile(self._path, self._dtype, (self._rows, *self._width), self._digest.hexdigest())

    def drop(self) -> None:
        """Close and delete the file."""
        self._file.close()
        self._path.unlink(missing_ok=True)


@dataclass(frozen=True)
class JoinedArray:
    """Rows of arrays in several files, one file after the other: all rows of a file, or those that are kept.

    Two of files with the same numbers are equal. Raises ValueError for arrays whose rows differ in type or shape.
    """

    files: tuple[ArrayFile, ...]
    kept: tuple[npt.NDArray[np.bool_] | None, ...] = field(compare=False)

    def __post_init__(self) -> None:
        kinds = {(file.dtype, file.shape[1:]) for file in self.files}
        if len(kinds) != 1:
            raise ValueError(
                f"{self.files[0].path.name} has rows of different kinds on different ranks: {sorted(kinds)}"
            )

    @property
    def dtype(self) -> str:
        """The type of the numbers, as NumPy calls it."""
        return self.files[0].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Kept rows of all files, and the shape of a row."""
        rows = [
            file.shape[0] if kept is None else int(kept.sum()) for file, kept in zip(self.files, self.kept, strict=True)
        ]
        return (sum(rows), *self.files[0].shape[1:])

    @property
    def size(self) -> int:
        """Bytes of the kept rows."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def whole(file: ArrayFile) -> JoinedArray:
    """All rows of one file."""
    return JoinedArray((file,), (None,))


def write_safetensors(
    path: Path, columns: Mapping[str, JoinedArray], metadata: Mapping[str, str], tick: Callable[[], None] = lambda: None
) -> None:
    """Write all arrays into one safetensors file, atomically; the files of the arrays stay. Calls `tick` for each few MiB.

    Raises OSError for a file that is not as it was written.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, column in columns.items():
        begin, end = end, end + column.size
        header[name] = {"dtype": _DTYPES[column.dtype], "shape": list(column.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with atomic_write(path) as part, part.open("wb") as target:
        target.write(struct.pack("<Q", len(text)) + text)
        for column in columns.values():
            for file, kept in zip(column.files, column.kept, strict=True):
                _copy(file, kept, target, tick)


def _copy(file: ArrayFile, kept: npt.NDArray[np.bool_] | None, target: IO[bytes], tick: Callable[[], None]) -> None:
    digest, rows = hashlib.sha256(), 0
    width = math.prod(file.shape[1:]) * np.dtype(file.dtype).itemsize  # bytes of a row
    at_once = max(1, _PIECE // width)
    for piece in _pieces(file, at_once * width):
        digest.update(piece)
        if kept is None:
            target.write(piece)
        else:
            given = np.frombuffer(piece, np.uint8).reshape(-1, width)
            target.write(given[kept[rows : rows + len(given)]].tobytes())
            rows += len(given)
        tick()
    if digest.hexdigest() != file.digest:
        raise OSError(f"{file.path} is damaged: it is not as it was written; examine the disk and record again")


def _pieces(file: ArrayFile, at_once: int) -> Iterator[bytes]:
    """The bytes of an array, so many at once."""
    left = file.size
    with file.path.open("rb") as source:
        source.seek(file.offset)
        while piece := source.read(min(at_once, left)):
            left -= len(piece)
            yield piece


def read_array(file: ArrayFile) -> npt.NDArray[Any]:
    """The numbers of a small array."""
    return np.frombuffer(b"".join(_pieces(file, _PIECE)), file.dtype).reshape(file.shape)


def read_safetensors(path: Path, tick: Callable[[], None]) -> tuple[dict[str, ArrayFile], dict[str, str]]:
    """The arrays in a safetensors file, where they are, and its metadata. Calls `tick` for each few MiB.

    Raises ValueError, KeyError or TypeError for what `write_safetensors` has not written.
    """
    kinds = {stored: dtype for dtype, stored in _DTYPES.items()}
    size = path.stat().st_size
    with path.open("rb") as source:
        begin = source.read(_LENGTH)
        length = struct.unpack("<Q", begin)[0] if len(begin) == _LENGTH else size
        header = json.loads(source.read(length)) if length <= size - _LENGTH else None
    if not isinstance(header, dict):
        raise ValueError("it is no safetensors file")  # noqa: TRY004  of a file, not of an argument
    metadata = header.pop("__metadata__", {})
    arrays = {}
    for name, one in header.items():
        start, end = (_LENGTH + length + bound for bound in one["data_offsets"])
        array = ArrayFile(path, kinds[one["dtype"]], tuple(one["shape"]), "", start)
        if array.size != end - start or end > size:
            raise ValueError(f"its array {name} is not complete")
        digest = hashlib.sha256()
        for piece in _pieces(array, _PIECE):
            digest.update(piece)
            tick()
        arrays[name] = replace(array, digest=digest.hexdigest())
    return arrays, metadata
