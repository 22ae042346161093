"""Labels that come beside the data: one for each row."""

from typing import Any

import pyarrow as pa

from usual_suspects.client.submissions import intervals
from usual_suspects.client.submissions.prepared import UnsuitableData, is_of


def one_each(y: Any, rows: int) -> Any:
    """Labels in one column, as many as rows. Raises UnsuitableData."""
    if isinstance(y, str | bytes):
        raise UnsuitableData(f"y is {y!r}: give a label for each row, or name a column by `label`")
    if is_of(y, "torch", "Tensor"):
        y = y.detach().cpu().numpy()
    if is_of(y, "pandas", "DataFrame"):
        y = _only(y, y.shape[1]).iloc[:, 0]
    if is_of(y, "polars", "DataFrame"):
        y = _only(y, y.width).to_series()
    if not hasattr(y, "__len__"):
        y = list(y)
    if len(y) != rows:
        raise UnsuitableData(f"the data have {rows} rows and y has {len(y)}: give one label for each row")
    shape: tuple[int, ...] = getattr(y, "shape", (rows,))
    return _only(y, shape[1]).reshape(-1) if len(shape) > 1 else y


def as_arrow(y: Any) -> Any:
    """Labels as an Arrow array; intervals as texts. Raises UnsuitableData."""
    if is_of(y, "pandas", "Series", "Index", "Categorical") or is_of(y, "pandas.arrays", "IntervalArray"):
        y = intervals.as_texts(y)
    try:
        return y.to_arrow() if is_of(y, "polars", "Series") else pa.array(y)
    except (pa.ArrowException, OverflowError) as error:
        raise UnsuitableData(f"y mixes types: {error}; convert it, as with [str(label) for label in y]") from error


def free_name(name: str, taken: Any) -> str:
    """The name of the column of labels. Raises UnsuitableData where the data have such a column."""
    if name in taken:
        raise UnsuitableData(
            f"the data have a column {name!r} already: leave `y` out, or name another column by `label`"
        )
    return name


def _only(y: Any, columns: int) -> Any:
    if columns != 1:
        raise UnsuitableData(f"y has {columns} columns: give one class for each row, of one-hot labels argmax(axis=1)")
    return y
