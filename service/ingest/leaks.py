"""Columns that say the label in other words, found by their values together with the label's."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from service.domain.dataset import ClientWarning
from service.ingest import values
from service.ingest.column_counts import ColumnCounts
from service.ingest.faults import listed
from service.ingest.labels import LabelReading
from service.ingest.left_out import LeftOut
from service.ingest.source import RowSource
from service.ingest.values import MissingWords

_FEWEST_ROWS = 20
_MOST_VALUES = 1_000
_ROWS_A_VALUE = 4  # fewer, and a column may name the rows rather than their classes


@dataclass
class Leak:
    """What a column and the label say of each other, over the rows in which both are there.

    `decides` is whether each value of the column stands with one class alone, `follows` whether each class stands with one
    value alone. Both are true of a copy.
    """

    name: str
    class_of: dict[str, str] = field(default_factory=dict)
    value_of: dict[str, str] = field(default_factory=dict)
    decides: bool = True
    follows: bool = True
    rows: int = 0

    @property
    def is_copy(self) -> bool:
        """Whether the column is the label in other words."""
        return self.decides and self.follows

    def add(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Count pairs of a value and a class that stand in one row."""
        for value, label in pairs:
            self.decides &= self.class_of.setdefault(value, label) == label
            self.follows &= self.value_of.setdefault(label, value) == value


def find_leaks(
    source: RowSource,
    label: str,
    reading: LabelReading,
    columns: Iterable[ColumnCounts],
    rows: int,
    words: MissingWords,
) -> list[Leak]:
    """The columns that decide the label or follow from it in every row.

    The upload is read once more, up to the place where no column is left that may be one.
    """
    open_ones = [Leak(column.name) for column in columns if rows >= _FEWEST_ROWS and _may_leak(column, rows)]
    for batch in source.batches(False) if open_ones else ():
        names = batch.rows.schema.names
        if label not in names:
            continue
        classes = _classes(batch.rows.column(label), reading)
        open_ones = [one for one in open_ones if one.name not in names or _goes_on(one, batch.rows, classes, words)]
        if not open_ones:
            break
    return [one for one in open_ones if 2 * one.rows >= rows and _says_something(one)]


def _may_leak(column: ColumnCounts, rows: int) -> bool:
    return 2 <= column.different <= min(_MOST_VALUES, rows // _ROWS_A_VALUE)


def _classes(column: Any, reading: LabelReading) -> Any:
    codes = values.as_text(column).dictionary_encode()
    names = pa.array([reading.names.get(text) for text in codes.dictionary.to_pylist()], pa.string())
    return pc.take(names, codes.indices)


def _goes_on(one: Leak, rows: Any, classes: Any, words: MissingWords) -> bool:
    """Whether a column may still be a leak after these rows."""
    column = rows.column(rows.schema.get_field_index(one.name))
    texts = words.without(values.as_text(column))
    both = pc.and_(texts.is_valid(), classes.is_valid())
    value_codes, class_codes = texts.filter(both).dictionary_encode(), classes.filter(both).dictionary_encode()
    names, labels = value_codes.dictionary.to_pylist(), class_codes.dictionary.to_pylist()
    one.rows += len(value_codes)
    place = value_codes.indices.to_numpy().astype(np.int64) * len(labels) + class_codes.indices.to_numpy()
    seen = np.unique(place)
    one.add((names[code // len(labels)], labels[code % len(labels)]) for code in seen.tolist())
    return one.decides or one.follows


def _says_something(one: Leak) -> bool:
    """Whether the column varies, and more than a few rows of each class agree."""
    agree = one.decides or _ROWS_A_VALUE * len(one.value_of) <= one.rows
    return agree and len(one.class_of) > 1 and len(one.value_of) > 1


def copies(found: Iterable[Leak]) -> list[str]:
    """The columns that say the label in other words."""
    return [one.name for one in found if one.is_copy]


def left_out(found: Iterable[Leak], label: str, changing: Collection[str]) -> dict[str, LeftOut]:
    """The copies of the label, which are not learnt from. A corrected file changes those that are `changing`."""
    reasons = {}
    for name in copies(found):
        corrected = "changes it with the label" if name in changing else "leaves it as it is"
        reasons[name] = LeftOut(
            "label_leak",
            f"wherever it has a value, it says the label {label!r} in other words; a corrected file {corrected}; "
            "name it in spec.features to learn from it",
        )
    return reasons


def leak_warnings(found: Iterable[Leak], label: str) -> list[ClientWarning]:
    """A warning about the others, which may also be measurements that tell the classes apart."""
    names = [f"{one.name} ({len(one.class_of):,} values)" for one in found if not one.is_copy]
    detail = (
        f"wherever they have values, the label {label!r} follows from these columns, or they from it: {listed(names)}; they are learnt from. "
        "Where they were made from the label, name them in spec.exclude"
    )
    return [ClientWarning(code="label_leak", detail=detail)] if names else []
