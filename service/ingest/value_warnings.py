"""Warnings about how the values of the inputs were read."""

from collections.abc import Iterator, Sequence

from service.domain.dataset import ClientWarning
from service.ingest.column_counts import ColumnCounts
from service.ingest.conventions import NEARLY_ALL, Conventions
from service.ingest.faults import listed
from service.ingest.kinds import Input

_SHOWN = 3
_MAY_BE_VALUES = ("na", "n/a", "none", "null", "nil")


def warnings_of(
    inputs: Sequence[Input], columns: dict[str, ColumnCounts], conventions: Conventions
) -> Iterator[ClientWarning]:
    """What was counted as missing, and what could have been read in two ways."""
    pairs = [(one, columns[one.name]) for one in inputs if one.name in columns]
    yield from _missing(pairs)
    yield from _numbers([pair for pair in pairs if pair[0].kind == "numeric"], conventions)
    yield from _not_read([pair for pair in pairs if pair[0].kind in ("categorical", "text")])
    yield from _dates([pair for pair in pairs if pair[0].kind == "datetime"], conventions)


Pairs = list[tuple[Input, ColumnCounts]]


def _missing(pairs: Pairs) -> Iterator[ClientWarning]:
    numeric = [(one, column) for one, column in pairs if one.kind == "numeric"]
    infinite = {one.name: column.non_finite for one, column in numeric if column.non_finite}
    if infinite:
        detail = f"{sum(infinite.values()):,} values are NaN or infinite and count as missing: {_counts(infinite)}"
        yield ClientWarning(code="non_finite_values", detail=detail)
    measured = [(one, column) for one, column in pairs if one.kind in ("numeric", "datetime", "time")]
    marks = {f"{one.name}, as {_shown(column)}": column.marks for one, column in measured if column.marks}
    if marks:
        detail = f"{sum(marks.values()):,} values among numbers or dates stand for nothing and count as missing: {_counts(marks)}"
        yield ClientWarning(code="marks_of_missing", detail=detail)
    words = {
        f"{one.name}, as {' '.join(found)}": sum(found.values())
        for one, column in pairs
        if (found := _words(one, column))
    }
    if words:
        detail = f"{sum(words.values()):,} words of categories were read as missing: {_counts(words)}; where they are categories, set spec.missing to []"
        yield ClientWarning(code="words_as_missing", detail=detail)
    scarce = {one.name: one.missing for one, column in pairs if one.missing > column.seen / 2}
    if scarce:
        detail = f"more than half of the values are missing: {_counts(scarce)}; if a word or a sign was taken for a missing value, set spec.missing"
        yield ClientWarning(code="mostly_missing", detail=detail)
    odd = {one.name: one.unreadable for one, _ in measured if one.unreadable}
    if odd:
        detail = (
            f"{sum(odd.values()):,} values of columns of numbers or dates cannot be read as such and count as missing: {_counts(odd)}; "
            "where they are categories, set spec.kinds"
        )
        yield ClientWarning(code="unparsable_values", detail=detail)


def _words(one: Input, column: ColumnCounts) -> dict[str, int]:
    """The words of a category that were read as missing, and may be values: NA, None."""
    if one.kind not in ("categorical", "boolean") or not column.missing_words.usual:
        return {}
    own = column.missing_words.own
    return {
        text: count
        for text, count in (column.distinct or {}).items()
        if text.lower() in _MAY_BE_VALUES and text not in own
    }


def _shown(column: ColumnCounts) -> str:
    return " ".join(text for text, _ in column.oddities.most_common(_SHOWN))


def _numbers(pairs: Pairs, conventions: Conventions) -> Iterator[ClientWarning]:
    ways = {
        "decimal points: 1,5 is one and a half": [
            one.name for one, column in pairs if one.decimal == "," and column.commas
        ],
        "thousands separators: 1,500 is 1500": [
            one.name for one, column in pairs if one.decimal == "." and column.commas
        ],
    }
    for way, names in ways.items():
        if names:
            detail = f"commas of {listed(names)} were read as {way}; if that is wrong, set spec.decimal"
            yield ClientWarning(code="commas_in_numbers", detail=detail)
    thousands = [one.name for one, column in pairs if one.decimal == "," and column.marked and not column.commas]
    if thousands:
        by = f", as the numbers of {conventions.decimal_by} tell" if conventions.decimal_by else ""
        detail = f"points of {listed(thousands)} were read as thousands separators{by}: 1.234 is 1234; if that is wrong, set spec.decimal"
        yield ClientWarning(code="points_in_numbers", detail=detail)
    untold = [
        one.name
        for one, column in pairs
        if one.decimal == "." and not conventions.decimal_by and column.marked and not column.commas
    ]
    if untold:
        detail = (
            f"points of {listed(untold)} were read as decimal points, which nothing in the file tells: 1.234 is near 1; "
            'if it is 1234, set spec.decimal to ","'
        )
        yield ClientWarning(code="points_in_numbers", detail=detail)
    mixed = {one.name: column.units for one, column in pairs if 0 < column.units < column.readable(one.decimal)}
    if mixed:
        detail = f"a currency or per cent sign stands beside some of the numbers, and not beside others; it was dropped: {_counts(mixed)}"
        yield ClientWarning(code="mixed_units", detail=detail)


def _not_read(pairs: Pairs) -> Iterator[ClientWarning]:
    """Columns that look like numbers or dates, and are not read as such."""
    measured = [
        f"{one.name} ({', '.join(unit for unit, _ in column.suffixes.most_common(_SHOWN))})"
        for one, column in pairs
        if column.suffixes and column.suffixes.total() + column.by_point >= NEARLY_ALL * column.telling
    ]
    if measured:
        detail = f"numbers with several units behind them are not compared, but read as categories: {listed(measured)}; write them in one unit"
        yield ClientWarning(code="numbers_with_units", detail=detail)
    dated = [one.name for one, column in pairs if column.worded_dates >= NEARLY_ALL * column.telling]
    if dated:
        detail = f"dates whose month is a word of this language are not read as dates: {listed(dated)}; write them as 2024-12-31"
        yield ClientWarning(code="dates_not_read", detail=detail)


def _dates(pairs: Pairs, conventions: Conventions) -> Iterator[ClientWarning]:
    ambiguous = [
        (one, conventions.day_first_of(column))
        for one, column in pairs
        if column.dates_in_digits
        and column.days_first == column.months_first
        and not conventions.stated_order
        and not column.dates_with_points
    ]
    for day_first in (True, False):
        names = [one.name for one, order in ambiguous if order is day_first]
        if names:
            by = f", as {conventions.order_by} tells" if conventions.order_by else ", which nothing in the file tells"
            example = "01/02/2023 is the first of February" if day_first else "01/02/2023 is the second of January"
            detail = (
                f"dates of {listed(names)} were read with the {'day' if day_first else 'month'} first{by}: {example}; "
                "if that is wrong, set spec.day_first"
            )
            yield ClientWarning(code="order_of_dates", detail=detail)
    torn = [one.name for one, column in pairs if column.days_first and column.months_first]
    if torn:
        detail = f"some dates of {listed(torn)} can only have the day first, and others only the month; the fewer count as missing"
        yield ClientWarning(code="order_of_dates", detail=detail)


def _counts(counts: dict[str, int]) -> str:
    return listed([f"{name} ({count:,})" for name, count in counts.items()])
