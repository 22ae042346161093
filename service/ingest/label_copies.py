"""Columns that are the label once more, and change with it in a corrected upload: its names, its codes, a second label.

A fact that goes with the label in every row, as the date or the scanner of each class, is no label: it stays as it was measured.
"""

import re
from collections.abc import Iterable, Mapping

from service.ingest.column_counts import ColumnCounts
from service.ingest.conventions import NEARLY_ALL
from service.ingest.leaks import Leak
from service.ingest.source import RowSource

_WRITTEN_BY_COLUMNS = ("csv, ", "jsonl, ", "json, array", "parquet", "arrow")  # beginnings of RowSource.format
_LABEL_WORDS = frozenset(("label", "labels", "class", "classes", "target", "targets", "category", "categories"))
_FACT_WORDS = frozenset((
    "date", "time", "day", "month", "year", "fold", "batch", "split", "set", "source", "file", "filename", "path", "url", "site",
    "scanner", "device", "camera", "sensor", "hospital", "center", "centre", "user", "session", "version", "run", "group",
))  # fmt: skip
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_a-zA-Z]+")


def label_copies(
    source: RowSource, label: ColumnCounts, found: Iterable[Leak], columns: Mapping[str, ColumnCounts]
) -> list[str]:
    """The leaks of an upload that change with its label; none where it is not written by columns."""
    if not source.format.startswith(_WRITTEN_BY_COLUMNS):
        return []
    return [one.name for one in found if one.is_copy and _says_label(one, columns[one.name], label)]


def _says_label(leak: Leak, column: ColumnCounts, label: ColumnCounts) -> bool:
    """Whether a copy is the same text, is called like the label, or is the names of its numbers or the numbers of its names."""
    words = _words(column.name)
    if all(value == name for value, name in leak.class_of.items()):
        return True
    if words & _FACT_WORDS or column.numbers > column.whole or _is_dated(column):
        return False
    return bool(words & (_words(label.name) | _LABEL_WORDS)) or (column.numbers > 0) != (label.numbers > 0)


def _is_dated(column: ColumnCounts) -> bool:
    return max(column.times, *column.moments.values(), 0) >= NEARLY_ALL * max(column.telling, 1)


def _words(name: str) -> set[str]:
    """The words of a name in lower case: class and id of `ClassId`, `class_id` and `class.id`."""
    return {word.lower() for word in _WORD.findall(name)} - {"id", "name", "code"}
