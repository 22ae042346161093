"""Labels in one-hot form: several columns of 0 and 1, one for each class, read as one label column."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from service.domain.dataset import DatasetSpec, SkippedRow
from service.ingest import values
from service.ingest.column_counts import ColumnCounts
from service.ingest.faults import bad_spec, no_such_column
from service.ingest.source import Batch, RowSource, free_name

_BITS = {"0": 0, "1": 1, "false": 0, "true": 1}
_MOST_CLASSES = 200
_MOST_GROUPS = 5
_NO_BIT = -1
_FEW = 3  # texts, of which one is nearly always enough to tell


@dataclass(frozen=True)
class OneHotColumns:
    """Neighbouring columns of 0 and 1, of which exactly one is 1 in each row."""

    columns: tuple[str, ...]

    def as_spec(self) -> str:
        """The columns as `spec.label` takes them."""
        return json.dumps(list(self.columns), ensure_ascii=False)


def one_hot_groups(source: RowSource, columns: Mapping[str, ColumnCounts], rows: int) -> list[OneHotColumns]:
    """Groups of columns that may be one label. The upload is read once more where the counts allow for some."""
    groups = _possible(columns, rows)
    if groups:
        for batch in source.batches(False):
            groups = [group for group in groups if _fits(batch.rows, group.columns)]
            if not groups:
                break
    return [OneHotColumns(group.columns) for group in groups[:_MOST_GROUPS]]


def _possible(columns: Mapping[str, ColumnCounts], rows: int) -> list[OneHotColumns]:
    """Runs of columns of 0 and 1 with as many ones as rows."""
    found: list[OneHotColumns] = []
    for is_binary, run in groupby(columns.values(), key=lambda column: _ones(column) is not None):
        names, ones = [], []
        for column in run if is_binary else ():
            names.append(column.name)
            ones.append(_ones(column) or 0)
        start = 0
        while start < len(names):
            totals = np.cumsum(ones[start : start + _MOST_CLASSES])
            (ends,) = np.nonzero(totals == rows)
            stop = start + int(ends[-1]) + 1 if len(ends) else start
            if stop - start > 1:
                found.append(OneHotColumns(tuple(names[start:stop])))
            start = stop if stop - start > 1 else start + 1
    return found


def _ones(column: ColumnCounts) -> int | None:
    """The number of ones of a column of 0 and 1 without gaps; None of any other."""
    if column.missing or _NO_BIT in map(_bit, column.first_texts(_FEW)):
        return None
    counted: dict[str, int] = column.distinct or {}
    bits = {text: _bit(text) for text in counted}
    if not counted or _NO_BIT in bits.values():
        return None
    return sum(count for text, count in counted.items() if bits[text])


def _fits(rows: Any, names: Sequence[str]) -> bool:
    if any(name not in rows.schema.names for name in names):
        return False
    bits = _bits(rows, names)
    return bool((bits >= 0).all() and (bits.sum(axis=1) == 1).all())


def join_label_columns(source: RowSource, spec: DatasetSpec) -> tuple[RowSource, DatasetSpec]:
    """The source with the columns that `spec.label` lists as one label column, and the spec that names it.

    The classes are the names of the columns. A row with no 1 or with several is skipped with the reason. Both arguments
    come back as they are where the label is one column. Raises `Invalid` for columns that the file lacks.
    """
    if not isinstance(spec.label, list):
        return source, spec
    names = tuple(spec.label)
    columns = _columns(source)
    _check(names, spec, columns)
    kept = [name for name in columns if name not in names]
    joined = free_name("label", kept)

    def batches(media: bool) -> Iterator[Batch]:
        for batch in source.batches(media):
            yield _joined(batch, names, joined)

    one_label = replace(source, batches=batches, columns=(*kept, joined), label=joined)
    return one_label, spec.model_copy(update={"label": joined})


def _columns(source: RowSource) -> list[str]:
    if source.columns is not None:
        return list(source.columns)
    return list(dict.fromkeys(name for batch in source.batches(False) for name in batch.rows.schema.names))


def _check(names: Sequence[str], spec: DatasetSpec, columns: Sequence[str]) -> None:
    for name in names:
        if name not in columns:
            raise no_such_column("label", name, columns)
        if names.count(name) > 1:
            raise bad_spec("label", f"{name!r} is listed twice")
        if name in (spec.id, spec.split, spec.group, spec.annotator):
            raise bad_spec("label", f"{name!r} is named for another purpose, too")
        if name in spec.exclude:
            raise bad_spec("exclude", f"{name!r} is a label column")
        if name in (spec.features or ()):
            raise bad_spec("features", f"{name!r} is a label column, which is not learnt from")


def _joined(batch: Batch, names: Sequence[str], joined: str) -> Batch:
    bits = _bits(batch.rows, names)
    good = (bits >= 0).all(axis=1) & (bits.sum(axis=1) == 1)
    positions = np.flatnonzero(good)
    skipped = [
        SkippedRow(
            index=int(batch.index[position]),
            where=batch.where(position),
            reason=_reason(batch.rows, bits[position], position, names),
        )
        for position in np.flatnonzero(~good).tolist()
    ]
    labels = pa.array([names[place] for place in bits.argmax(axis=1)], pa.string())
    rows = batch.rows.drop_columns([name for name in names if name in batch.rows.schema.names])
    rows = rows.append_column(joined, labels).take(pa.array(positions))
    return Batch(
        rows=rows,
        index=batch.index[positions],
        where=lambda position: batch.where(int(positions[position])),
        skipped=tuple(sorted([*batch.skipped, *skipped], key=lambda row: row.index)),
    )


def _reason(rows: Any, bits: npt.NDArray[np.int8], position: int, names: Sequence[str]) -> str:
    for name, bit in zip(names, bits, strict=True):
        if bit == _NO_BIT:
            value = rows.column(name)[position].as_py() if name in rows.schema.names else None
            return f"no label: {name} is {value!r}, not 0 or 1"
    ones = [name for name, bit in zip(names, bits, strict=True) if bit]
    return f"several labels: {', '.join(ones)} are 1" if ones else "no label: none of its columns is 1"


def _bits(rows: Any, names: Sequence[str]) -> npt.NDArray[np.int8]:
    """The values of the columns as 0, 1 or -1 for anything else, one row a sample."""
    bits = np.full((rows.num_rows, len(names)), _NO_BIT, np.int8)
    for place, name in enumerate(names):
        if name in rows.schema.names:
            texts = values.as_text(rows.column(name)).dictionary_encode()
            known = np.array([*(_bit(text) for text in texts.dictionary.to_pylist()), _NO_BIT], np.int8)
            codes = texts.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False)
            bits[:, place] = known[codes.astype(np.int64)]
    return bits


def _bit(text: str | None) -> int:
    lower = (text or "").lower()
    if lower.startswith(("0.", "1.")) and not lower[2:].strip("0"):
        lower = lower[0]
    return _BITS.get(lower, _NO_BIT)
