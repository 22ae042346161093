"""Columns that repeat the label, as names or codes of its classes: a corrected upload changes them with the label.

A measured fact may go with the label in every row, too, as the date on which each class was taken. It is not changed.
"""

import re
from collections.abc import Iterable, Mapping

from service.ingest.column_counts import ColumnCounts
from service.ingest.conventions import is_dated
from service.ingest.leaks import Leak
from service.ingest.source import RowSource

# Beginnings of RowSource.format: of the formats in rewritten.forms, those whose rewriters read Edits.copies.
_WRITTEN_BY_COLUMNS = ("csv, ", "jsonl, ", "json, array", "parquet", "arrow")
_LABEL_WORDS = frozenset(("label", "labels", "class", "classes", "target", "targets", "category", "categories"))
_FACT_WORDS = frozenset((
    "date", "time", "day", "month", "year", "fold", "batch", "split", "set", "source", "file", "filename", "path", "url", "site",
    "scanner", "device", "camera", "sensor", "hospital", "center", "centre", "user", "session", "version", "run", "group",
))  # fmt: skip
_FORM_WORDS = frozenset(("id", "name", "code"))  # they say how a column writes what the other words name
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_a-zA-Z]+")


def label_copies(
    source: RowSource, label: ColumnCounts, found: Iterable[Leak], columns: Mapping[str, ColumnCounts]
) -> list[str]:
    """The leaks that change with the label; none where the format of the upload has no columns to change."""
    if not source.format.startswith(_WRITTEN_BY_COLUMNS):
        return []
    return [one.name for one in found if one.is_copy and _says_label(one, columns[one.name], label)]


def _says_label(leak: Leak, column: ColumnCounts, label: ColumnCounts) -> bool:
    """Whether a copy repeats the label: it has the same texts, a name like the label's, or names for its numbers, or numbers for its names."""
    words = _words(column.name)
    if all(value == name for value, name in leak.class_of.items()):
        return True
    if words & _FACT_WORDS or column.numbers > column.whole or is_dated(column):
        return False
    return bool(words & (_words(label.name) | _LABEL_WORDS)) or (column.numbers > 0) != (label.numbers > 0)


def _words(name: str) -> set[str]:
    """What a name is about, in lower case: class of `ClassId`, `class_id` and `class.name`."""
    return {word.lower() for word in _WORD.findall(name)} - _FORM_WORDS
