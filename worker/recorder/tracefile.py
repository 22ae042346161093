"""The file of a recording, written as it grows: arrays of any length, each checkpoint beside the earlier ones.

safetensors says at its beginning how long every array is, so arrays lie in files of their own until the end. Nothing but
the batch at hand is ever in memory.
"""

import hashlib
import json
import shutil
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_DTYPES = {"float32": "F32", "float64": "F64", "int64": "I64"}


@dataclass(frozen=True)
class Column:
    """A finished array in a file of its own; two with one digest hold the same numbers."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    digest: str


class Growing:
    """An array that grows by rows."""

    def __init__(self, path: Path) -> None:
        self._path, self._file, self._digest = path, path.open("wb"), hashlib.sha256()
        self._rows, self._dtype = 0, "float32"
        self._width: tuple[int, ...] = ()

    def add(self, rows: npt.NDArray[Any]) -> None:
        """Append a batch."""
        data = np.ascontiguousarray(rows)
        if self._rows and data.shape[1:] != self._width:
            raise ValueError(f"{self._path.name}: rows of shape {data.shape[1:]} after rows of shape {self._width}")
        self._file.write(data.data)
        self._digest.update(data.data)
        self._rows, self._width, self._dtype = self._rows + len(data), data.shape[1:], str(data.dtype)

    def done(self) -> Column:
        """The array as it is now; no more rows are added."""
        self._file.close()
        return Column(self._path, self._dtype, (self._rows, *self._width), self._digest.hexdigest())

    def drop(self) -> None:
        """Forget it."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def write(path: Path, columns: Mapping[str, Column], metadata: Mapping[str, str]) -> None:
    """One safetensors file of all arrays, whole or not there at all; the files of the arrays stay."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, column in columns.items():
        begin, end = end, end + column.path.stat().st_size
        header[name] = {"dtype": _DTYPES[column.dtype], "shape": list(column.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as target:
        target.write(struct.pack("<Q", len(text)) + text)
        for column in columns.values():
            with column.path.open("rb") as source:
                shutil.copyfileobj(source, target, 1 << 20)
    part.replace(path)
