"""Sizes of Arrow columns once they are decoded: one long value may stand for many rows and take its memory once.

Dictionaries, runs and views name values by reference, and arrays of nothing have rows without bytes.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_VIEW_BYTES = 16  # a view begins with the length of its value


def decoded_bytes(rows: Any) -> int:
    """Bytes of a batch in which each row has its own values, at least one for each cell."""
    return sum(max(len(column), _decoded(column)) for column in rows.columns)


def view_bytes(rows: Any) -> int:
    """Bytes of the columns of views, of a batch whose values were not looked at yet."""
    return sum(int(_view_lengths(column).sum()) for column in rows.columns if _is_view(column.type))


def _decoded(column: Any) -> int:
    kind = column.type
    if isinstance(column, pa.ExtensionArray):
        return _decoded(column.storage)
    if pa.types.is_dictionary(kind):
        return _named(column.dictionary, column.indices)
    if pa.types.is_run_end_encoded(kind):
        return len(column) * _largest(column.values)
    if _is_view(kind):
        return int(_view_lengths(column).sum())
    if pa.types.is_struct(kind):
        return sum(_decoded(child) for child in column.flatten())
    if pa.types.is_map(kind):
        pairs = column.offsets[0].as_py(), column.offsets[-1].as_py()
        return sum(_decoded(part.slice(pairs[0], pairs[1] - pairs[0])) for part in (column.keys, column.items))
    if _is_list_view(kind):
        lengths = pc.fill_null(column.sizes, 0) if hasattr(column, "sizes") else pc.list_value_length(column)
        return int(pc.sum(lengths).as_py() or 0) * _largest(column.values)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        inner = column.flatten()
        return max(len(inner), _decoded(inner))
    return int(column.nbytes)


def _named(values: Any, indices: Any) -> int:
    """Bytes of the values that these indices name."""
    if not len(values):
        return 0
    lengths = _lengths(values)
    if lengths is None:
        return len(indices) * _largest(values)
    places = pc.fill_null(indices.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    return int(lengths[np.clip(places, 0, len(values) - 1)].sum())


def _largest(values: Any) -> int:
    """An upper limit of the bytes of one of these values."""
    if not len(values):
        return 0
    lengths = _lengths(values)
    return int(lengths.max()) if lengths is not None else max(1, _decoded(values))


def _lengths(values: Any) -> npt.NDArray[np.int64] | None:
    """Bytes of each text; None for other values."""
    kind = values.type
    if _is_view(kind):
        return _view_lengths(values)
    if any(
        check(kind)
        for check in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    ):
        found = pc.fill_null(pc.binary_length(values), 0).to_numpy(zero_copy_only=False)
        lengths: npt.NDArray[np.int64] = found.astype(np.int64)
        return lengths
    return None


def _view_lengths(column: Any) -> npt.NDArray[np.int64]:
    buffer = column.buffers()[1] or b""
    views = np.frombuffer(buffer, np.int32, len(buffer) // 4)[:: _VIEW_BYTES // 4]
    lengths = views[column.offset : column.offset + len(column)].astype(np.int64)
    return np.maximum(lengths, 0)


def _is_view(kind: Any) -> bool:
    return bool(pa.types.is_string_view(kind) or pa.types.is_binary_view(kind))


def _is_list_view(kind: Any) -> bool:
    return bool(pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind))
