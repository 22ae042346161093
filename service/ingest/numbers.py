"""Numbers as people write them: signs, currencies, per cent, thousands, decimal points and decimal commas.

The functions take whole Arrow columns of texts without surrounding spaces. A number is written plainly where Arrow reads it
itself: `-1234.5`, `1e5`. Any other form is first brought to digits, marks and an exponent. Then its points and commas are
told apart: `1.234,5` has a decimal comma, `1,234.5` a decimal point, and `1.234` can have either.
"""

import math
import unicodedata
from string import ascii_letters
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from service.store import text_bytes

Decimal = Literal[".", ","]

_PLAIN = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
DIGITS_OR_SIGN = text_bytes.starts("+-.0123456789")
_NUMBER_STARTS = text_bytes.starts("+-.0123456789ni", empty=True)  # nan and inf, and null, which is empty
_NO_LETTER = text_bytes.starts(chr(one) for one in range(128) if not chr(one).isalpha())
_LONGEST = 48  # characters; what is longer is prose
_CODES = "USD|EUR|GBP|CHF|JPY|CNY|RMB|INR|RUB|BRL|MXN|AUD|CAD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|TRY|ZAR|KRW|SGD|HKD|THB|ILS"
_UNIT = rf"(?:[\p{{Sc}}%‰٪]|(?i:{_CODES}|[A-Z]{{1,3}}\$|Rs\.?|kr\.?|zł|Kč|Fr\.))"
_MINUS = "[\u2212\u2010\u2011\u2012\u2013\u2014\ufe63\uff0d]"
_NO_WIDTH = "[\u200b\u200e\u200f\u061c\u2066-\u2069\ufeff]"
_APOSTROPHE = "[\u2019\u02bc\u00b4`]"
_EXPONENT = r"([eE][+-]?\d+)?"
# RE2 has no back references, so that each mark between thousands is written out. Indian numbers are grouped 12,34,567.
_BY_POINT = (
    rf"^[+-]?(\d+|[1-9]\d{{0,2}}((,\d{{3}})+|( \d{{3}})+|('\d{{3}})+)|[1-9]\d?(,\d{{2}})+,\d{{3}})?(\.\d*)?{_EXPONENT}$"
)
_BY_COMMA = rf"^[+-]?(\d+|[1-9]\d{{0,2}}((\.\d{{3}})+|( \d{{3}})+|('\d{{3}})+))?(,\d*)?{_EXPONENT}$"
_EITHER_POINT = r"^[+-]?[1-9]\d{0,2}\.\d{3}$"
_SHORTEST_THOUSANDS, _LONGEST_THOUSANDS, _POINT_BEFORE_END = len("1.234"), len("+123.456"), len(".234")
_WITH_SUFFIX = r"^[+-]?(?:\p{Sc} ?)?(?:\d[\d.,' ]*)? ?\d ?(?P<unit>[\p{L}°µ][\p{L}²³/]{0,5}|\+)\.?$"
# How a text begins of which `written` leaves a number, if it is ASCII.
_BEGINS = rf"^([-+(.,\d]|{_UNIT})"
_BEGIN_STARTS = text_bytes.starts("-+(.,0123456789$%")
_NULL = pa.nulls(1, pa.string())[0]  # unlike pa.scalar(None) it loads no pandas, where that is installed
# Of the digits of other scripts, and of the Arabic marks for decimals and thousands.
_DIGITS = {
    ord(character): str(unicodedata.decimal(character))
    for start in (0x0660, 0x06F0, 0x0966, 0x09E6, 0x0E50)
    for character in map(chr, range(start, start + 10))
} | {0x066B: ".", 0x066C: ","}
_OTHER_DIGITS = "[\u0660-\u0669\u06f0-\u06f9\u0966-\u096f\u09e6-\u09ef\u0e50-\u0e59]"


def plain(texts: Any) -> Any:
    """Plainly written numbers as float64, also `nan` and `inf`; null for any other text."""
    found = _cast(texts)
    if found is not None:
        return found
    return pc.cast(pc.if_else(matches(texts, _PLAIN, begins=DIGITS_OR_SIGN), texts, _NULL), pa.float64())


def all_finite(texts: Any) -> Any:
    """Texts as float64 where each is a finite number, plainly written; None if any is not. Null stays null."""
    found = _cast(texts)
    return found if found is not None and are_finite(found) else None


def are_finite(found: Any) -> bool:
    """Whether no number is NaN or infinite, which their sum tells at once where they are no very large ones."""
    return math.isfinite(pc.sum(found).as_py() or 0.0) or bool(pc.all(pc.is_finite(found)).as_py())


def _cast(texts: Any) -> Any:
    """Texts as float64; None where one of them is no number. Arrow takes long to say so of many, so that most are known before."""
    if not text_bytes.may_start(texts, _NUMBER_STARTS).all():
        return None
    try:
        return pc.cast(texts, pa.float64())
    except pa.ArrowInvalid:
        return None


def matches(texts: Any, pattern: str, *, begins: text_bytes.Starts | None = None) -> Any:
    """Whether a pattern occurs in each text; null does not match. `begins` is how a text begins where the pattern occurs."""
    if begins is not None and not text_bytes.may_start(texts, begins).any():
        return pa.array(np.zeros(len(texts), bool))
    return pc.fill_null(pc.match_substring_regex(texts, pattern), False)


def written(texts: Any) -> Any:
    """Texts that may be numbers as signs, digits, marks and exponent alone; null for what cannot be a number.

    Currency signs and codes, per cent signs and spaces around the number are dropped: `-$ 1,234.50` gives `-1,234.50`,
    and so does `(1,234.50)`, as accountants write it, and `1,234.50-`.
    """
    may_be = pc.fill_null(pc.less_equal(pc.utf8_length(texts), _LONGEST), False)
    ascii_only = text_bytes.is_ascii(texts)
    if ascii_only:
        letters = text_bytes.may_begin_with(texts, ascii_letters, f"{ascii_letters}$")  # as USD, and R$
        if not (letters | text_bytes.may_start(texts, _BEGIN_STARTS)).any():
            return pa.nulls(len(texts), pa.string())
        may_be = pc.and_(may_be, matches(texts, _BEGINS))
        if not pc.any(may_be).as_py():
            return pa.nulls(len(texts), pa.string())
    may_be = pc.and_(may_be, matches(texts, r"\p{Nd}"))
    texts = pc.if_else(may_be, texts, _NULL)
    if not ascii_only and not text_bytes.is_ascii(texts):
        texts = _ascii(texts)
    texts = _replaced(texts, r"^\((.*\d.*)\)$", r"-\1")
    texts = _replaced(texts, rf"^([+-]?) ?{_UNIT} ?", r"\1")
    texts = _replaced(texts, rf" ?{_UNIT}\.?$", "")
    texts = _replaced(texts, r"^([+-]) +", r"\1")
    # Swiss and Dutch prices: 5.- and 5,-- are five.
    texts = _replaced(texts, r"^([+-]?\d|[+-]?\d[\d.,' ]*\d)[.,]-{1,2}$", r"\1")
    texts = _replaced(texts, r"^(\d|\d[\d.,' ]*[\d.,])-$", r"-\1")
    return pc.if_else(matches(texts, r"^[+-]?[\d.,][\d., '+eE-]*$"), texts, _NULL)


def _replaced(texts: Any, pattern: str, replacement: str) -> Any:
    return pc.replace_substring_regex(texts, pattern, replacement)


def _ascii(texts: Any) -> Any:
    """Digits, spaces and signs of other scripts as ASCII has them. Currency signs stay."""
    if pc.any(matches(texts, _OTHER_DIGITS)).as_py():
        texts = pa.array([None if text is None else text.translate(_DIGITS) for text in texts.to_pylist()], pa.string())
    texts = pc.utf8_normalize(_replaced(texts, _NO_WIDTH, ""), form="NFKC")
    return _replaced(_replaced(texts, _MINUS, "-"), _APOSTROPHE, "'")


def by(writings: Any, decimal: Decimal) -> Any:
    """Whether each text of `written` is a number with this decimal mark."""
    return pc.and_(matches(writings, _BY_POINT if decimal == "." else _BY_COMMA), matches(writings, r"\d"))


def either_point(texts: Any) -> Any:
    """Whether each plainly written number is one thousand and more where the decimal mark is a comma: `1.234`."""
    ends, data = text_bytes.parts(texts)
    lengths = np.diff(ends)
    fitting = (lengths >= _SHORTEST_THOUSANDS) & (lengths <= _LONGEST_THOUSANDS)
    fitting[fitting] = data[ends[1:][fitting] - _POINT_BEFORE_END] == ord(".")
    if not fitting.any():
        return pa.array(fitting)
    fitting[fitting] = matches(texts.filter(pa.array(fitting)), _EITHER_POINT).to_numpy(zero_copy_only=False)
    return pa.array(fitting)


def suffixes(texts: Any) -> Any:
    """The unit of measurement behind each number: `cm` of `100 cm`, `+` of `10,000+`; null for any other text."""
    may_be = matches(texts, r"^[^A-Za-z]", begins=_NO_LETTER)  # much cheaper, and prose begins with a letter
    if not pc.any(may_be).as_py():
        return pa.nulls(len(texts), pa.string())
    texts = pc.if_else(may_be, texts, _NULL)
    return pc.struct_field(pc.extract_regex(texts, _with_suffix(texts)), "unit")


def bare(texts: Any) -> Any:
    """Numbers without the unit behind them; other texts as they are."""
    pattern = r" *([\p{L}°µ][\p{L}²³/]{0,5}|\+)\.?$"
    pattern = _of_ascii(pattern) if text_bytes.is_ascii(texts) else pattern
    return pc.if_else(matches(texts, _with_suffix(texts)), _replaced(texts, pattern, ""), texts)


def _with_suffix(texts: Any) -> str:
    return _of_ascii(_WITH_SUFFIX) if text_bytes.is_ascii(texts) else _WITH_SUFFIX


def _of_ascii(pattern: str) -> str:
    """A pattern that matches the same texts of ASCII, and is compiled in a twentieth of the time."""
    return pattern.translate({ord(one): None for one in "°µ²³"}).replace(r"\p{L}", "A-Za-z").replace(r"\p{Sc}", r"\$")


def without_suffix(texts: Any, unit: str) -> Any:
    """Numbers without this unit behind them; other texts as they are."""
    return pc.if_else(pc.fill_null(pc.equal(suffixes(texts), unit), False), bare(texts), texts)


def as_numbers(texts: Any, decimal: Decimal) -> Any:
    """Texts as float64, null for those that are no number with this decimal mark. `nan` and `inf` are read as such."""
    if decimal == ".":
        found = plain(texts)
        rest = pc.and_(texts.is_valid(), pc.invert(found.is_valid()))
        if not pc.any(rest).as_py():
            return found
        return pc.coalesce(found, _marked(pc.if_else(rest, texts, _NULL), "."))
    return _marked(texts, ",")


def _marked(texts: Any, decimal: Decimal) -> Any:
    writings = written(texts)
    writings = pc.if_else(by(writings, decimal), writings, _NULL)
    writings = _replaced(writings, "[,' ]" if decimal == "." else r"[.' ]", "")
    return plain(pc.replace_substring(writings, ",", ".") if decimal == "," else writings)


def has_unit(texts: Any) -> Any:
    """Whether a currency or a per cent sign stands beside each number."""
    return matches(texts, rf"^[+(-]* ?{_UNIT}|{_UNIT}\.?\)?$")
