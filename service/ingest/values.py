"""Reading of values: missing values, numbers, booleans, dates. Both passes use these functions.

They take whole Arrow columns. Texts are stripped of surrounding spaces first.
"""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

# As a feature. The words are compared in lower case.
MISSING = ("", "?", "na", "n/a", "<na>", "#n/a", "null", "none", "nil", "nan", "-nan", "+nan", "nat",
           "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity")  # fmt: skip
NON_FINITE = ("nan", "-nan", "+nan", "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity")
# As a label, fewer: "none" is a good name for a class.
NO_LABEL = ("", "?", "na", "n/a", "<na>", "#n/a", "null", "nan", "nat")

TRUTHS = {"true": "false", "yes": "no", "t": "f", "y": "n", "on": "off"}

_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
# Numbers with commas can be read in two ways; 1,234 alone in both. Which way a column means, all of it tells.
_WITH_COMMAS = {
    "thousands": r"^[+-]?([1-9]\d{0,2}(,\d{3})+|\d+)(\.\d+)?$",
    "decimal": r"^[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?$",
}
_VECTOR = r"^\[[-+0-9eE., \t\r\n]*\]$"
_DATE_LIKE = r"^\d{1,4}[-/. ][0-9A-Za-z]{1,9}[-/. ,]|^[A-Za-z]{3,9} \d{1,2},? \d{4}"
ISO = "iso"
_TIMES = ("", " %H:%M", " %H:%M:%S")
_DATES = (
    "%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%d.%m.%Y", "%d-%m-%Y", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%B %d, %Y",
    "%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%d-%m-%y", "%d-%b-%y",
)  # fmt: skip
# %Y takes two digits, too, for years of the first century.
_SHORT_YEAR = r"^(\d{1,2}[/.-]\d{1,2}|\d{1,2}[ -][A-Za-z]+)[/. -]\d{2}\b"
_FIRST, _LAST = (pa.scalar(moment, pa.timestamp("us")) for moment in (datetime.min, datetime.max))  # noqa: DTZ901  UTC, as all of these
_UUID_BYTES = 16
# In order of preference: where a date can be read in two ways, the month comes first.
MOMENT_FORMS = (ISO, *(date + time for date in _DATES for time in _TIMES))


def split_name(text: str) -> str | None:
    """train, validation or test, for the usual words; None for any other."""
    return _SPLITS.get(text.strip().lower())


def as_text(column: Any) -> Any:
    """Any scalar column as stripped text; whole floats without a point; null stays null."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    if pa.types.is_fixed_size_binary(column.type):
        return pa.array([None if value is None else _written(value) for value in column.to_pylist()], pa.string())
    if pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
        return pc.replace_substring_regex(pc.cast(column, pa.string()), r"\.0*$", "")
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return pa.array([value and value.decode("utf-8", "replace") for value in column.to_pylist()], pa.string())
    if pa.types.is_nested(column.type):
        return pa.array([None if value is None else json.dumps(value, default=str) for value in column.to_pylist()])
    return pc.utf8_trim_whitespace(pc.cast(column, pa.string()))


def _written(value: bytes) -> str:
    return str(UUID(bytes=value)) if len(value) == _UUID_BYTES else value.hex()


def is_one_of(texts: Any, words: tuple[str, ...]) -> Any:
    """Whether each text is one of the words, in any case; null is not."""
    return pc.fill_null(pc.is_in(pc.utf8_lower(texts), pa.array(words)), False)


def without(texts: Any, words: tuple[str, ...]) -> Any:
    """The texts with null in place of each of the words."""
    return pc.if_else(is_one_of(texts, words), pa.scalar(None, pa.string()), texts)


def as_numbers(texts: Any) -> Any:
    """Texts as float64, null where they are no number."""
    try:
        return pc.cast(texts, pa.float64())
    except pa.ArrowInvalid:
        like = pc.fill_null(pc.match_substring_regex(texts, _NUMBER), False)
        return pc.cast(pc.if_else(like, texts, pa.scalar(None, pa.string())), pa.float64())


def comma_forms(texts: Any) -> dict[str, Any]:
    """For each way to read commas whether each text is a number so."""
    return {form: pc.fill_null(pc.match_substring_regex(texts, like), False) for form, like in _WITH_COMMAS.items()}


def without_commas(texts: Any, form: str) -> Any:
    """Texts with numbers as they are usually written; null where they are no number in this form."""
    texts = pc.if_else(comma_forms(texts)[form], texts, pa.scalar(None, pa.string()))
    if form == "decimal":
        texts = pc.replace_substring(texts, ".", "")
    return pc.replace_substring(texts, ",", "." if form == "decimal" else "")


def finite(numbers: Any) -> Any:
    """Numbers with null in place of NaN and infinities."""
    return pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, numbers.type))


def is_vector(texts: Any) -> Any:
    """Whether each text looks like a JSON list of numbers."""
    return pc.fill_null(pc.match_substring_regex(texts, _VECTOR), False)


def is_date_like(texts: Any) -> Any:
    """A cheap test that every date passes."""
    return pc.fill_null(pc.match_substring_regex(texts, _DATE_LIKE), False)


def as_moments(texts: Any, form: str) -> Any:
    """Texts as UTC timestamps of microseconds, null where they are not written in this form of `MOMENT_FORMS`."""
    if form == ISO:
        return pa.array([_iso(text) for text in texts.to_pylist()], pa.timestamp("us"))
    short = pc.fill_null(pc.match_substring_regex(texts, _SHORT_YEAR), False)
    texts = pc.if_else(short if "%y" in form else pc.invert(short), texts, pa.scalar(None, pa.string()))
    return within_calendar(pc.strptime(texts, format=form, unit="us", error_is_null=True))


def within_calendar(moments: Any) -> Any:
    """Moments with null in place of those outside the years 1 to 9999."""
    known = pc.and_(pc.greater_equal(moments, _FIRST), pc.less_equal(moments, _LAST))
    return pc.if_else(known, moments, pa.scalar(None, moments.type))


def _iso(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    try:
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except OverflowError:
        return None
