"""Warnings about classes that may not be meant: several spellings of one class, and words for a missing value."""

import html
import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation

from service.domain.dataset import ClientWarning
from service.ingest.faults import listed

_LOOKS_MISSING = frozenset(
    ("na", "n/a", "n.a.", "<na>", "#n/a", "null", "<null>", "none", "nil", "nan", "nat", "\\n", "missing", "(missing)",
     "?", "-", "--", "---", ".", "#value!", "#ref!", "#div/0!", "#null!", "#name?", "#num!", "#nv", "\u2013", "\u2014", "..", "...",
     "n.d.", "n/d", "k.a.", "k. a.", "tbd", "unknown", "unlabeled", "unlabelled", "undefined", "unspecified", "no label", "not available",
     "not applicable", "(blank)", "(none)", "<none>", "<unk>")
)  # fmt: skip
_SPACES = re.compile(r"[\s_-]+")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)
_ENTITY = re.compile(r"&#?\w+;")
# Dashes and the sign of minus are a hyphen; what only chooses how the letter before it is drawn is nothing.
_DRAWN = {ord(one): "-" for one in "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"} | dict.fromkeys(range(0xFE00, 0xFE10))
_AROUND = " .,;:'\"`\u2018\u2019\u201c\u201d"
_MOST_GROUPS = 10
# Cyrillic letters that look like Latin ones, small and as capitals.
_LATIN = str.maketrans(
    "\u0430\u0441\u0435\u043e\u0440\u0445\u0443\u0456\u0455\u0458\u0432\u043c\u043d\u0442\u043a", "aceopxyisjbmhtk"
)
_SHORT = {"t": "true", "f": "false", "y": "yes", "n": "no", "number 1e0": "true", "number 0": "false"}
_UNLABELLED = "-1"


def looks_missing(name: str) -> bool:
    """Whether a class has a name that often means a missing value."""
    return name.lower() in _LOOKS_MISSING


def is_number(text: str) -> bool:
    """Whether a label is a number, written with a point if with any mark."""
    return _NUMBER.fullmatch(text) is not None


def label_warnings(counts: Mapping[str, int]) -> Iterator[ClientWarning]:
    """Warnings about classes by their names; `counts` are the rows of each."""
    missing = [name for name in counts if looks_missing(name) or (name == _UNLABELLED and _are_places(counts))]
    if missing:
        example = json.dumps(missing[:3], ensure_ascii=False)
        detail = (
            f"these classes may stand for a missing label: {listed([f'{name} ({counts[name]:,})' for name in missing])}; they were kept as classes. "
            f'Where they are none, upload again with spec {{"missing": {example}}}'
        )
        yield ClientWarning(code="label_looks_missing", detail=detail)
    groups = _similar(counts)
    if groups:
        shown = "; ".join(_shown(group, counts) for group in groups[:_MOST_GROUPS])
        more = f"; and {len(groups) - _MOST_GROUPS} more groups" if len(groups) > _MOST_GROUPS else ""
        told = groups[:_MOST_GROUPS]
        cure = json.dumps({one[0]: one[1:] for one in told}, ensure_ascii=any(map(_look_alike, told)))
        detail = (
            f"classes that may be one were kept apart: {shown}{more}. "
            f'Where they are one, upload again with spec {{"merge_labels": {cure}}}'
        )
        yield ClientWarning(code="similar_labels", detail=detail)


def _are_places(names: Iterable[str]) -> bool:
    """Whether the names but for -1 are 0, 1, 2 and maybe more. Of three, -1, 0 and 1, the first is a class of its own."""
    others = {name for name in names if name != _UNLABELLED}
    return len(others) > 2 and others == {str(place) for place in range(len(others))}


def _similar(counts: Mapping[str, int]) -> list[list[str]]:
    """Groups of classes that differ in nothing but spelling, the most frequent of each first, of equal ones the plainest."""
    by_comma = any(_DECIMAL_COMMA.fullmatch(name) and not _THOUSANDS.fullmatch(name) for name in counts)
    plain = {name: _plain(name, thousands=not by_comma) for name in counts}
    groups: dict[str, list[str]] = defaultdict(list)
    oddness = {name: (name != one, one != one.translate(_LATIN)) for name, one in plain.items()}
    for name in sorted(counts, key=lambda name: (-counts[name], oddness[name])):
        groups[_folded(plain[name])].append(name)
    return [group for group in groups.values() if len(group) > 1]


def _plain(name: str, *, thousands: bool) -> str:
    """A name without width, invisible characters, kinds of space and dash, HTML entities and marks around it.

    A number loses its plus, the minus of zero, and with `thousands` the commas between thousands.
    """
    text = _without_invisible(unicodedata.normalize("NFKC", _ENTITY.sub(_character, name))).translate(_DRAWN)
    text = " ".join(text.split())
    if thousands and _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    if is_number(text):
        return text.removeprefix("+") if float(text) else text.lstrip("+-")
    return text.strip(_AROUND) or text


def _character(entity: re.Match[str]) -> str:
    return html.unescape(entity[0])


def _folded(plain: str) -> str:
    """A plain name without case and kinds of word breaks; a number as its value."""
    number = _value(plain) if is_number(plain) else None
    if number is not None:
        return _SHORT.get(number, number)
    spaced = _SPACES.sub(" ", plain).strip(_AROUND)
    folded = unicodedata.normalize("NFKC", (spaced or plain).casefold()).translate(_LATIN)
    return _SHORT.get(folded, folded)


def _value(text: str) -> str | None:
    """A number by its exact value; None where its exponent is beyond all use."""
    try:
        sign, places, exponent = Decimal(text).as_tuple()
    except InvalidOperation:
        return None
    digits = "".join(map(str, places)).lstrip("0")
    shown = digits.rstrip("0")
    if not shown or not isinstance(exponent, int):
        return "number 0"
    return f"number {'-' * sign}{shown}e{exponent + len(digits) - len(shown)}"


def _without_invisible(text: str) -> str:
    return "".join(letter for letter in text if unicodedata.category(letter) not in ("Cf", "Cc") or letter.isspace())


def _look_alike(names: list[str]) -> bool:
    """Whether some of the names cannot be told apart by eye."""
    seen = {
        " ".join(_without_invisible(unicodedata.normalize("NFC", name)).translate(_LATIN).split()) for name in names
    }
    return len(seen) < len(names)


def _shown(names: list[str], counts: Mapping[str, int]) -> str:
    escaped = _look_alike(names)
    return ", ".join(f"{json.dumps(name, ensure_ascii=escaped)} ({counts[name]:,})" for name in names)
