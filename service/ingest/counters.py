"""Recognition of row numbers by their values, in one pass and constant memory for each column."""

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from service.ingest import numbers, values
from service.store import fingerprints

_FEWEST_ROWS = 20
_GAPS = 1.5  # numbers in the range of a counter, of which rows were taken out, for each that is left
_SHORTEST_RUN = 10
_LOOKED_AT = 64
_CHUNK = 1 << 20
_WRAP = 1 << 64
# Such columns count too, and say something of the sample.
_CALENDAR = re.compile(
    r"(?is)(.*[_\s.-])?(years?|yr|jahr|months?|mo|monat|days?|tag|weeks?|weekday|hours?|hr|minutes?|mins?|seconds?|secs?|"
    r"quarter|doy|age|time|date|ts|timestamp|epoch|unix|dow)([_\s.-].*)?"
)

Whole = npt.NDArray[np.int64]


class RowOrder:
    """How the whole numbers of a column go on from row to row.

    It is a row number if the numbers go up by about one a row; or from 0 or 1 up, and again from there, as in files that
    were joined; or if they are consecutive numbers in any order.
    """

    def __init__(self, name: str) -> None:
        self._dead = _CALENDAR.fullmatch(name) is not None
        self._rows = 0
        self._first = self._last = 0
        self._low = self._high = 0
        self._rises = self._counts = self._distinct = True
        self._runs = 1
        self._sum = 0

    def add(self, column: Any) -> None:
        """Measure the next values, of any type. A column that is no row number costs next to nothing after the first."""
        if self._dead or not len(column):
            return
        found = _whole_numbers(column)
        if found is None:
            self._dead = True
            return
        if not self._rows:
            self._first = self._low = self._high = int(found[0])
            steps = np.diff(found)
        else:
            steps = np.diff(found, prepend=self._last)
        starts = found[len(found) - len(steps) :] == self._first
        self._rises &= bool((steps > 0).all())
        self._counts &= self._first in (0, 1) and bool(((steps == 1) | starts).all())
        self._runs += int((starts & (steps != 1)).sum())
        self._low, self._high = min(self._low, int(found.min())), max(self._high, int(found.max()))
        self._distinct = self._distinct and _all_differ(found)
        if self._distinct:
            self._sum += _total(found)
        self._rows, self._last = self._rows + len(found), int(found[-1])
        self._dead = not (self._rises or self._counts or self._distinct)

    def is_row_number(self, rows: int) -> bool:
        """Whether the column numbers the `rows` of the whole upload."""
        if self._dead or self._rows != rows or rows < _FEWEST_ROWS:
            return False
        spread = self._high - self._low + 1
        if self._rises and spread <= _GAPS * rows:
            return True
        if self._counts and rows >= _SHORTEST_RUN * self._runs:
            return True
        return self._distinct and spread == rows and self._sum % _WRAP == _total_of_range(self._low, self._high)


def _whole_numbers(column: Any) -> Whole | None:
    """The column as whole numbers; None where there are others, or gaps."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    if column.null_count or not (text or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    try:
        if text:
            start = numbers.plain(values.as_text(column.slice(0, _LOOKED_AT)))
            if start.null_count or not _are_whole(start.to_numpy()):
                return None
            column = pc.cast(values.as_text(column), pa.float64())
        whole: Whole = pc.cast(column, pa.int64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return None
    return whole


def _are_whole(found: npt.NDArray[np.float64]) -> bool:
    return bool((np.floor(found) == found).all())


def _all_differ(found: Whole) -> bool:
    ordered = np.sort(found)
    return not bool((ordered[1:] == ordered[:-1]).any())


def _total(found: Whole) -> int:
    """The sum of the fingerprints of the numbers, by which sets of numbers are told apart."""
    return int(fingerprints.mixed(found.view(np.uint64)).sum(dtype=np.uint64))


def _total_of_range(low: int, high: int) -> int:
    starts = range(low, high + 1, _CHUNK)
    parts = (_total(np.arange(start, min(start + _CHUNK, high + 1), dtype=np.int64)) for start in starts)
    return sum(parts) % _WRAP
