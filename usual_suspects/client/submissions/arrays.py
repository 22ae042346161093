"""Arrays of NumPy."""

from pathlib import Path
from typing import Any

import numpy as np

from usual_suspects.client.submissions.prepared import Origin, Prepared, UnsuitableData


def write_arrays(x: Any, y: Any, folder: Path) -> Prepared:
    """Samples and labels; arrays that are mapped from a disk are read some rows at a time."""
    try:
        x, y = np.asanyarray(x), np.asarray(y)
    except ValueError as error:
        raise UnsuitableData(f"x and y must have rows of one length: {error}") from error
    if x.dtype.hasobject:
        raise UnsuitableData(
            "x holds Python objects: convert it to numbers, or give a frame with a column for each feature"
        )
    if len(x) != len(y):
        raise UnsuitableData(f"x has {len(x)} rows and y has {len(y)}: give one label for each row")
    kind = y.dtype
    if kind.hasobject:
        y = np.array([str(value) for value in y.reshape(-1)])
    path = folder / "arrays.npz"
    np.savez(path, x=x, y=y)
    return Prepared(path, Origin("numpy", template=kind), "arrays")


def read_arrays(path: Path, origin: Origin) -> Any:
    """Samples and labels of an NPZ; labels of Python objects are texts."""
    with np.load(path, allow_pickle=False) as stored:
        names = {one: name for name in stored.files for one in [name.lower()]}
        x, y = stored[names["x"]], stored[names["y"]]
    return x, y if origin.template is None else y.astype(origin.template)
