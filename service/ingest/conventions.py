"""How a whole file writes numbers and dates: its decimal mark, and the order of day and month."""

from collections.abc import Iterable
from dataclasses import dataclass

from service.domain.dataset import DatasetSpec
from service.ingest.column_counts import ColumnCounts
from service.ingest.faults import listed
from service.ingest.numbers import Decimal

NEARLY_ALL = 0.8


@dataclass(frozen=True)
class Conventions:
    """Decimal mark and order of dates of a file. `decimal_by` and `order_by` say what told them; empty where nothing did.

    A column whose own values tell either is read by its own.
    """

    decimal: Decimal = "."
    decimal_by: str = ""
    day_first: bool = False
    order_by: str = ""
    stated_decimal: bool = False
    stated_order: bool = False

    def decimal_of(self, column: ColumnCounts) -> Decimal:
        """The decimal mark of a column: what the client says, what its own values tell, or that of the file."""
        if self.stated_decimal:
            return self.decimal
        if column.only_by_comma != column.only_by_point:
            return "," if column.only_by_comma > column.only_by_point else "."
        return self.decimal if column.marked else "."

    def day_first_of(self, column: ColumnCounts) -> bool:
        """Whether the dates of a column have the day first: likewise. Points between digits mean so, too."""
        if self.stated_order:
            return self.day_first
        if column.days_first != column.months_first:
            return column.days_first > column.months_first
        return self.day_first or column.dates_with_points > column.dates_in_digits / 2


def is_dated(column: ColumnCounts) -> bool:
    """Whether nearly all values of a column are dates or times."""
    return max(column.times, *column.moments.values(), 0) >= NEARLY_ALL * max(column.telling, 1)


def conventions_of(columns: Iterable[ColumnCounts], delimiter: str, spec: DatasetSpec) -> Conventions:
    """Decide both for a file: by the client's word, by most of the values that can be read in one way, by the delimiter."""
    columns = list(columns)
    decimal, decimal_by = _decimal(columns, delimiter)
    if spec.decimal is not None:
        decimal, decimal_by = spec.decimal, "spec.decimal"
    day_first, order_by = _order(columns, decimal)
    if spec.day_first is not None:
        day_first, order_by = spec.day_first, "spec.day_first"
    return Conventions(decimal, decimal_by, day_first, order_by, spec.decimal is not None, spec.day_first is not None)


def _decimal(columns: list[ColumnCounts], delimiter: str) -> tuple[Decimal, str]:
    numeric = [one for one in columns if max(one.by_point, one.by_comma) >= NEARLY_ALL * max(one.telling, 1)]
    by_comma = [one for one in numeric if one.only_by_comma > one.only_by_point]
    by_point = [one for one in numeric if one.only_by_point > one.only_by_comma]
    comma, point = sum(one.only_by_comma for one in by_comma), sum(one.only_by_point for one in by_point)
    if comma > point:
        return ",", _named(by_comma)
    if point > comma:
        return ".", _named(by_point)
    # Spreadsheets separate by semicolons where the comma is the decimal mark.
    return ("," if delimiter == ";" else "."), ""


def _order(columns: list[ColumnCounts], decimal: Decimal) -> tuple[bool, str]:
    days = [one for one in columns if one.days_first > one.months_first]
    months = [one for one in columns if one.months_first > one.days_first]
    day, month = sum(one.days_first for one in days), sum(one.months_first for one in months)
    if day != month:
        return day > month, _named(days if day > month else months)
    return decimal == ",", ""


def _named(columns: list[ColumnCounts]) -> str:
    """Names of some columns, for a message."""
    return listed([one.name for one in columns], most=3)
