"""The kind of an input column, decided from its counts."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from service.domain.dataset import FeatureKind
from service.ingest import moments
from service.ingest.column_counts import TYPED, ColumnCounts
from service.ingest.conventions import NEARLY_ALL, Conventions
from service.ingest.faults import bad_spec
from service.ingest.numbers import Decimal

_MOSTLY_VECTORS = 0.9
_CATEGORIES = 1_000
_WORDS_OF_TEXT = 3
_MOSTLY_DIFFERENT = 0.8
_SURELY_MANY = 50
_MULTIPLES = frozenset(("k", "tsd", "m", "mn", "mio", "mln", "b", "bn", "mrd", "t", "万", "億", "亿"))
_TEXT_COLUMN = re.compile(r"(?i)(.*[_\s.-])?(text|review|comment|sentence|content|tweet|message|body|question)s?")
_CODE_COLUMN = re.compile(r"(?i)(.*[_\s.-])?(zip|zip_?code|postal|postal_?code|post_?code|plz|fips)")


@dataclass(frozen=True)
class Input:
    """One input column and how its values are read; `name` is that of the upload, `column` that of the canonical file."""

    name: str
    kind: FeatureKind
    column: str = ""
    decimal: Decimal = "."
    forms: tuple[str, ...] = ()  # of dates
    unit: str = ""  # of measurement, behind each number
    truth: str = ""  # the word for true
    width: int = 0  # of an embedding
    why: str = ""
    missing: int = 0
    unreadable: int = 0  # values that are there, and are not of this kind


def kind_of(
    column: ColumnCounts, rows: int, conventions: Conventions, wanted: FeatureKind | None = None
) -> Input | None:
    """How a column is read, without its canonical name yet; None where nothing can be learnt from it.

    `wanted` is the kind that the client asks for. Raises `Invalid` where no value of the column is of that kind.
    """
    if column.unusable or not column.present:
        return None
    if wanted is not None:
        return _as_wanted(column, conventions, wanted)
    vectors = column.lengths.total()
    if vectors >= _MOSTLY_VECTORS * column.present:
        # Rows without a vector cannot be used, so that a vector of few rows says nothing of the others.
        usable = column.lengths.most_common(1)[0][0] and 2 * column.present > column.seen
        return _vectors(column) if usable else None
    if not column.too_many and _is_code(column):
        return _read(column, "categorical", "whole numbers with leading zeros, or postal codes")
    if column.telling and column.readable(conventions.decimal_of(column)) >= NEARLY_ALL * column.telling:
        return _numbers(column, conventions)
    if (measured := _measured(column, conventions)) is not None:
        return measured
    truth, count = max(column.truths.items(), key=lambda pair: pair[1], default=("", 0))
    if count == column.present:
        return _read(column, "boolean", f"every value is {truth} or its opposite", truth=truth)
    for read in (_moments, _times):
        found = read(column, conventions)
        if found is not None and column.telling - found.unreadable >= NEARLY_ALL * column.telling > 0:
            return found
    return _words(column, rows)


def _read(column: ColumnCounts, kind: FeatureKind, why: str, count: int | None = None, **how: Any) -> Input:
    """The column as a kind that `count` of its values are of. Marks of missing values are missing where it is not all."""
    missing, unreadable = column.missing, 0
    if count is not None:
        missing, unreadable = missing + column.marks, max(0, column.present - column.marks - count)
    return Input(column.name, kind, why=why, missing=missing, unreadable=unreadable, **how)


def _share(column: ColumnCounts, count: int, what: str) -> str:
    if count >= column.telling:
        return f"every value is {what}"
    return f"{min(99.9, 100 * count / max(column.telling, 1)):.3g} % of the values are {what}"


def _vectors(column: ColumnCounts) -> Input:
    width = column.lengths.most_common(1)[0][0]
    why = f"lists of {width:,} numbers"
    return _read(column, "embedding", why, column.lengths[width], width=width)


def _numbers(column: ColumnCounts, conventions: Conventions) -> Input:
    decimal = conventions.decimal_of(column)
    count = column.readable(decimal)
    why = _share(column, count, "a number") + (", with a decimal comma" if decimal == "," else "")
    return _read(column, "numeric", why, count, decimal=decimal)


def _measured(column: ColumnCounts, conventions: Conventions) -> Input | None:
    """Numbers with one unit of measurement behind them, and maybe some without; None for any other column."""
    unit, count = max(column.suffixes.items(), key=lambda pair: pair[1], default=("", 0))
    decimal = conventions.decimal_of(column)
    bare = column.readable(decimal)
    if bare and unit.lower() in _MULTIPLES:
        return None  # 95K beside 7 is no number of the same size
    count += bare if unit else 0
    if not unit or count < NEARLY_ALL * column.telling:
        return None
    why = _share(column, count, f"a number, the unit {unit} behind it")
    return _read(column, "numeric", why, count, decimal=decimal, unit=unit)


def _moments(column: ColumnCounts, conventions: Conventions) -> Input | None:
    if not column.moments.total():
        return None
    if column.moments[TYPED] == column.moments.total():
        return _read(column, "datetime", "the file says that these are dates", column.present)
    day_first = conventions.day_first_of(column)
    forms = (*moments.NEUTRAL_FORMS, *moments.ORDERED_FORMS[day_first])
    used = tuple(form for form in forms if column.moments[form])
    count = sum(column.moments[form] for form in used) + column.moments[TYPED]
    order = f", read with the {'day' if day_first else 'month'} first" if column.dates_in_digits else ""
    several = f" in {len(used)} forms" if len(used) > 1 else ""
    why = _share(column, count, f"a date{several}{order}")
    return _read(column, "datetime", why, count, forms=used)


def _times(column: ColumnCounts, _conventions: Conventions) -> Input | None:
    if not column.times:
        return None
    return _read(column, "time", _share(column, column.times, "a time of day"), column.times)


def _words(column: ColumnCounts, rows: int) -> Input:
    different = column.different
    if column.too_many:
        why = "too many different texts for categories"
    elif is_prose(column):
        why = "texts of several words that differ"
    elif is_called_text(column):
        why = "the column is called like a text, and its values differ"
    elif different > max(_SURELY_MANY, _MOSTLY_DIFFERENT * column.present) or (
        different > _CATEGORIES and different > rows / 2
    ):
        why = "texts that differ in nearly every row"
    else:
        return _read(column, "categorical", f"{different:,} different texts")
    return _read(column, "text", why)


def _is_code(column: ColumnCounts) -> bool:
    if not column.numbers or column.whole != column.numbers or column.numbers < NEARLY_ALL * column.telling:
        return False
    # Of a column of numbers by type no texts are counted: it has no leading zeros.
    return column.leading_zeros > 0 or bool(
        _CODE_COLUMN.fullmatch(column.name) and column.different and column.low >= 0
    )


def is_called_text(column: ColumnCounts) -> bool:
    """Whether a column has the name of a text, and most of its values differ."""
    different = column.present if column.too_many else column.different
    return bool(_TEXT_COLUMN.fullmatch(column.name)) and different > column.present / 2


def is_prose(column: ColumnCounts) -> bool:
    """Whether most values are several words, and most of them different."""
    wordy = column.words >= _WORDS_OF_TEXT * column.present
    return wordy and (column.too_many or column.different > column.present / 2)


def is_constant(column: ColumnCounts) -> bool:
    """Whether all values that are there are the same."""
    if column.numbers == column.present:
        return column.low == column.high
    return not column.too_many and column.different == 1 and not column.lengths


def _as_wanted(column: ColumnCounts, conventions: Conventions, wanted: FeatureKind) -> Input:
    said = "spec.kinds says so"
    read: dict[str, Callable[[], Input | None]] = {
        "numeric": lambda: _numbers(column, conventions),
        "datetime": lambda: _moments(column, conventions),
        "time": lambda: _times(column, conventions),
        "embedding": lambda: _vectors(column) if column.lengths else None,
        "boolean": lambda: _truths(column),
        "categorical": lambda: _read(column, "categorical", said),
        "text": lambda: _read(column, "text", said),
    }
    found = read[wanted]() if wanted in read else None
    if found is None or found.unreadable == column.present:
        raise bad_spec(
            "kinds", f"no value of {column.name!r} can be read as {wanted}; leave it out, or name another kind"
        )
    return found


def _truths(column: ColumnCounts) -> Input | None:
    truth, count = max(column.truths.items(), key=lambda pair: pair[1], default=("", 0))
    why = _share(column, count, f"{truth} or its opposite")
    return _read(column, "boolean", why, count, truth=truth) if count else None
