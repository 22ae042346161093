"""Arrays of a recording, one file each until the end, and the safetensors file that they become.

The header of a safetensors file has the length of every array, so it can be written only when all arrays are complete.
Never more than one batch is in memory.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from usual_suspects.files import atomic_write

_DTYPES = {"float32": "F32", "float64": "F64", "int64": "I64"}


@dataclass(frozen=True)
class ArrayFile:
    """A complete array in a file of its own. `digest`: SHA-256 of its numbers; equal digests mean equal arrays."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    digest: str


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


def write_safetensors(path: Path, columns: Mapping[str, ArrayFile], metadata: Mapping[str, str]) -> None:
    """Write all arrays into one safetensors file, atomically; the files of the arrays stay.

    Raises OSError for a file that is not as it was written.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, column in columns.items():
        begin, end = end, end + column.path.stat().st_size
        header[name] = {"dtype": _DTYPES[column.dtype], "shape": list(column.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with atomic_write(path) as part, part.open("wb") as target:
        target.write(struct.pack("<Q", len(text)) + text)
        for column in columns.values():
            _copy(column, target)


def _copy(column: ArrayFile, target: IO[bytes]) -> None:
    digest = hashlib.sha256()
    with column.path.open("rb") as source:
        while piece := source.read(1 << 20):
            digest.update(piece)
            target.write(piece)
    if digest.hexdigest() != column.digest:
        raise OSError(f"{column.path} is damaged: it is not as it was written; examine the disk and record again")
