"""Lists of numbers in texts, as JSON, NumPy, PyTorch and pandas write them. Both passes use these functions.

A list is in brackets, with commas or spaces between the numbers, or it has 16 numbers or more with spaces between them. NumPy and
PyTorch leave the middle of a long one out, which cannot be read: three points stand for it.
"""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from service.ingest import numbers

_BRACKETED = r"^\[[-+0-9eE., \t\r\n]*\]$"
# Pixels and coordinates are written with spaces between them, too; fewer than 16 may be anything.
_SPACED = r"^[-+]?[\d.]+([eE][-+]?\d+)?([ \t]+[-+]?[\d.]+([eE][-+]?\d+)?){15,}$"
# What Python shows of an array, `array([0.5, 1.], dtype=float32)`, and of a list of numbers of NumPy, `[np.float64(0.5)]`.
_SHOWN = r"^(?:np\.|numpy\.|torch\.)?(?:array|tensor)\(\s*(\[[^\[\]()]*\])[^\[\]]*\)$"
_BEGINS = r"^(?:\[|(?:np\.|numpy\.|torch\.)?(?:array|tensor)\()"
_NUMBER = r"(?:np|numpy)\.(?:float|int|uint)\d*\(([^\[\]()]*)\)"
_NESTED = r"^\[\s*\[[-+0-9eE., \t\r\n\[\]nul]*\]\s*\]$"
_GAP = "..."


def bracketed(texts: Any) -> Any:
    """Texts in which lists that Python shows by a call are lists in brackets alone; other texts stay as they are."""
    if not pc.any(numbers.matches(texts, _BEGINS)).as_py() or not pc.any(pc.match_substring(texts, "(")).as_py():
        return texts
    of_numbers = pc.replace_substring_regex(texts, _NUMBER, r"\1")
    plain = pc.replace_substring_regex(of_numbers, _SHOWN, r"\1")
    return pc.if_else(numbers.matches(plain, _BRACKETED), plain, texts)


def is_bracketed(texts: Any) -> Any:
    """Whether each text is a list of numbers in brackets, whole or with a gap."""
    return numbers.matches(texts, _BRACKETED)


def has_gap(texts: Any) -> Any:
    """Whether the middle of each list was left out."""
    return pc.match_substring(texts, _GAP)


def is_nested(texts: Any) -> Any:
    """Whether each text is a list of lists of numbers."""
    return numbers.matches(texts, _NESTED)


def is_spaced(texts: Any) -> Any:
    """Whether each text is 16 numbers or more with spaces between them."""
    return numbers.matches(texts, _SPACED, begins=numbers.DIGITS_OR_SIGN)


def lengths(texts: Any) -> list[int]:
    """How many numbers each list in brackets has."""
    commas = pc.count_substring(texts, ",")
    spaced = pc.max_element_wise(pc.count_substring_regex(texts, r"[-+\d.eE]+"), 1)
    found: list[int] = pc.if_else(pc.greater(commas, 0), pc.add(commas, 1), spaced).to_pylist()
    return found


def spaced_lengths(texts: Any) -> list[int]:
    """How many numbers each list without brackets has."""
    found: list[int] = pc.add(pc.count_substring_regex(texts, r"\s+"), 1).to_pylist()
    return found


def parsed(texts: Any) -> Any:
    """Texts as lists of numbers; null for what is none."""
    return pa.array([_parsed(text) for text in bracketed(texts).to_pylist()], pa.list_(pa.float64()))


def _parsed(text: str | None) -> list[float] | None:
    text = (text or "").strip()
    inside = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        # NumPy writes arrays with spaces between the numbers, and `1.` for 1, which is no JSON.
        return list(map(float, inside.split("," if "," in inside else None))) or None
    except ValueError:
        return None
