"""Dates and times of day as people write them.

The functions take whole Arrow columns of texts without surrounding spaces. A date in digits can have the day first or the
month first; which one a file means is told by those of its dates that can be read in one way only.
"""

from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from service.ingest.numbers import matches
from service.store import text_bytes

_DATE_LIKE = (
    r"^\d{1,4}[-/. ][0-9A-Za-z]{1,9}[-/. ,]|^[A-Za-z]{3,9} \d{1,2},? \d{4}|"
    r"^\d{8}T\d{4}|^\d{4}[-/]\d{1,2}$|^\d{1,2}/\d{4}$|^[A-Za-z]{3,9}[- ]\d{4}$"
)
_TIME_OF_DAY = (
    r"^([01]?\d|2[0-3])(:[0-5]\d(:[0-5]\d(\.\d{1,6})?)?( ?[AaPp]\.?[Mm]\.?)?|\.[0-5]\d\.[0-5]\d)$"  # 18.30.00 in Italy
)
ISO = "iso"
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_NAMED = ("%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%d-%b-%y")  # %b takes whole names too
_DAY_FIRST = ("%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%d/%m/%y", "%d.%m.%y", "%d-%m-%y")
_MONTH_FIRST = ("%m/%d/%Y", "%m.%d.%Y", "%m-%d-%Y", "%m/%d/%y", "%m.%d.%y", "%m-%d-%y")
_DIGITS = text_bytes.starts("0123456789")
_LONGEST = 48  # characters; what is longer is prose
# Days of the week, zones that are UTC, endings of numbers, the order of Unix and of Chinese: without them, or as others write.
_ODD = r"(?i)^(mon|tue|wed|thu|fri|sat|sun)[a-z]*[.,]? |\d ?(utc|gmt|[+-]0000)\b|\d(st|nd|rd|th)\b|^\d{4}[年년]"
_OF_ODD = b" tTdD+-"  # where a text of ASCII holds none of these, it is not odd
_TIDIED = (
    (r"(?i)^(mon|tue|wed|thu|fri|sat|sun)[a-z]*[.,]? +", ""),
    (r"(?i)(\d) ?(utc|gmt|[+-]0000)\b", r"\1"),
    (r"(?i)(\d)(st|nd|rd|th)\b", r"\1"),
    (r"^(\d{4})[年년] ?(\d{1,2})[月월] ?(\d{1,2})[日일]", r"\1-\2-\3"),
    (r"^([A-Za-z]{3}) +(\d{1,2}) (\d{2}:\d{2}:\d{2}) (\d{4})$", r"\2 \1 \4 \3"),
)
_PADDED = r"^\d{4}-\d{2}-\d{2}"
_UNPADDED = "%Y-%m-%d"
_MONTHS = ("%Y-%m", "%Y/%m", "%m/%Y", "%b-%Y", "%b %Y")  # of a whole month, its first day
# %Y takes fewer digits, too, for years of the first centuries: 1.2.3 is a version.
_LONG_YEAR = r"\d{4}"
_SHORT_YEAR = r"^(\d{1,2}[/.-]\d{1,2}|\d{1,2}[ -][A-Za-z]+)[/. -]\d{2}\b"
_WORDED_MONTH = (
    r"^\d{1,2}[.]? (de )?\p{L}{3,12}[.]? (de )?\d{4}\b|^\d{4}年\d{1,2}月|^\p{L}{3,12} \d{1,2}(st|nd|rd|th)?,? \d{4}\b"
)
_LONE_YEAR = r"(^|\D)\d{4}(\D|$)"
_BY_NUMBER = r"^\d{1,2}([/.-])\d{1,2}[/.-]\d{2,4}\b"
_FIRST_IS_DAY = r"^(1[3-9]|2\d|3[01])[/.-](0?[1-9]|1[0-2])[/.-]\d{2,4}\b"
_SECOND_IS_DAY = r"^(0?[1-9]|1[0-2])[/.-](1[3-9]|2\d|3[01])[/.-]\d{2,4}\b"
_WITH_POINTS = r"^\d{1,2}\.\d{1,2}\.\d{2,4}\b"


def _with_clocks(dates: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(date + clock for date in dates for clock in _CLOCKS)


NEUTRAL_FORMS = (ISO, *_with_clocks((_UNPADDED, "%Y/%m/%d", "%Y.%m.%d", *_NAMED)), *_MONTHS)
ORDERED_FORMS = {True: _with_clocks(_DAY_FIRST), False: _with_clocks(_MONTH_FIRST)}
MOMENT_FORMS = (*NEUTRAL_FORMS, *ORDERED_FORMS[True], *ORDERED_FORMS[False])


def is_date_like(texts: Any) -> Any:
    """A cheap test that every date passes."""
    return matches(texts, _DATE_LIKE) if text_bytes.may_hold(texts, b"-/. T") else _none_of(texts)


def tidied(texts: Any) -> Any:
    """Dates without what says nothing more, as `Fri, 5th` and `UTC`; other texts as they are."""
    if not text_bytes.may_hold(texts, _OF_ODD):
        return texts
    odd = pc.and_(matches(texts, _ODD), pc.fill_null(pc.less_equal(pc.utf8_length(texts), _LONGEST), False))
    if not pc.any(odd).as_py():
        return texts
    tidy = texts
    for pattern, replacement in _TIDIED:
        tidy = pc.replace_substring_regex(tidy, pattern, replacement)
    return pc.if_else(odd, tidy, texts)


def is_in_digits(texts: Any) -> Any:
    """Whether the order of day and month is a question for each date."""
    return matches(texts, _BY_NUMBER)


def has_points(texts: Any) -> Any:
    """Whether each date has points between its digits, which is written with the day first nearly everywhere."""
    return matches(texts, _WITH_POINTS)


def order_told(texts: Any, *, day_first: bool) -> Any:
    """Whether each date can be read with the day first alone, or with the month first alone."""
    return matches(texts, _FIRST_IS_DAY if day_first else _SECOND_IS_DAY)


def as_moments(texts: Any, form: str) -> Any:
    """Texts as UTC timestamps of microseconds, null where they are not written in this form of `MOMENT_FORMS`."""
    if form == ISO:
        return pa.array([_iso(text) for text in texts.to_pylist()], pa.timestamp("us"))
    short = matches(texts, _SHORT_YEAR)
    fits = short if "%y" in form else pc.and_(pc.invert(short), matches(texts, _LONG_YEAR))
    texts = pc.if_else(fits, texts, pa.scalar(None, pa.string()))
    if form.startswith(_UNPADDED):  # what is padded is ISO's, and no date is to count twice
        texts = pc.if_else(matches(texts, _PADDED), pa.scalar(None, pa.string()), texts)
    if form in _MONTHS:
        texts, form = pc.binary_join_element_wise("1", texts, " "), f"%d {form}"
    return within_calendar(pc.strptime(texts, format=form, unit="us", error_is_null=True))


def first_moments(texts: Any, forms: tuple[str, ...]) -> Any:
    """Texts as UTC timestamps, each read by the first form that takes it; null where none does."""
    texts = tidied(texts)
    found = pa.nulls(len(texts), pa.timestamp("us"))
    for form in forms:
        left = pc.and_(texts.is_valid(), pc.invert(found.is_valid()))
        if not pc.any(left).as_py():
            break
        found = pc.coalesce(found, as_moments(pc.if_else(left, texts, pa.scalar(None, pa.string())), form))
    return found


def within_calendar(moments: Any) -> Any:
    """Moments with null in place of those outside the years 1 to 9999."""
    first, last = _calendar()
    known = pc.and_(pc.greater_equal(moments, first), pc.less_equal(moments, last))
    return pc.if_else(known, moments, pa.scalar(None, moments.type))


@cache
def _calendar() -> tuple[Any, Any]:
    """The first and the last moment of the calendar, UTC. Not made with the module: that loads pandas, where it is installed."""
    return pa.scalar(datetime.min, pa.timestamp("us")), pa.scalar(datetime.max, pa.timestamp("us"))  # noqa: DTZ901 - tables have moments without a zone


def has_worded_month(texts: Any) -> Any:
    """Whether each text looks like a date with its month as a word, in any language."""
    if not text_bytes.may_hold(texts, b" "):
        return _none_of(texts)
    with_year = matches(texts, _LONE_YEAR)  # much cheaper, and prose has few
    if not pc.any(with_year).as_py():
        return with_year
    return matches(pc.if_else(with_year, texts, pa.scalar(None, pa.string())), _WORDED_MONTH)


def _none_of(texts: Any) -> Any:
    return pa.array(np.zeros(len(texts), bool))


def is_time_of_day(texts: Any) -> Any:
    """Whether each text is a time of day: 9:30, 09:30:15, 9:30 pm."""
    return matches(texts, _TIME_OF_DAY, begins=_DIGITS)


def as_times(texts: Any) -> Any:
    """Texts as times of day in microseconds, null for those that are none."""
    texts = pc.if_else(is_time_of_day(texts), texts, pa.scalar(None, pa.string()))
    return pa.array([None if text is None else _microseconds(text) for text in texts.to_pylist()], pa.time64("us"))


def _microseconds(text: str) -> int:
    clock = text.rstrip("aApPmM. ")
    hours, minutes, *rest = clock.split(":") if ":" in clock else clock.split(".")
    half = text[len(clock) :].strip().lower()[:1]
    hour = int(hours) if not half else int(hours) % 12 + (12 if half == "p" else 0)
    seconds = round(float(rest[0]) * 1_000_000) if rest else 0
    return (hour * 3600 + int(minutes) * 60) * 1_000_000 + seconds


def _iso(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    try:
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except OverflowError:
        return None
