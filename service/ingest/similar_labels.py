"""Warnings about classes that may not be meant: several spellings of one class, and words for a missing value."""

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from service.domain.dataset import ClientWarning
from service.ingest.faults import listed

_LOOKS_MISSING = frozenset(
    ("na", "n/a", "n.a.", "<na>", "#n/a", "null", "<null>", "none", "nil", "nan", "nat", "\\n", "missing", "(missing)",
     "?", "-", "--", ".", "#value!", "#ref!", "#div/0!", "#null!", "#name?", "#num!", "\u2013", "\u2014", "..", "...",
     "n.d.", "n/d", "tbd", "unknown", "unlabeled", "unlabelled", "undefined", "unspecified", "no label", "not available",
     "not applicable", "(blank)", "(none)", "<none>", "<unk>")
)  # fmt: skip
_SPACES = re.compile(r"[\s_-]+")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_AROUND = " .,;:'\"`\u2018\u2019\u201c\u201d"
_MOST_GROUPS = 10
# Cyrillic letters that look like Latin ones, small and as capitals.
_LATIN = str.maketrans(
    "\u0430\u0441\u0435\u043e\u0440\u0445\u0443\u0456\u0455\u0458\u0432\u043c\u043d\u0442\u043a", "aceopxyisjbmhtk"
)
_SHORT = {"t": "true", "f": "false", "y": "yes", "n": "no", "number 1": "true", "number 0": "false"}
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
    """Groups of classes that differ in nothing but spelling, the most frequent of each first."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(counts, key=lambda name: -counts[name]):
        groups[_folded(name)].append(name)
    return [group for group in groups.values() if len(group) > 1]


def _folded(name: str) -> str:
    """A name without case, width, invisible characters, kinds of space and marks around it; a number as its value."""
    text = _without_invisible(unicodedata.normalize("NFKC", name)).strip()
    if is_number(text):
        number = f"number {float(text):.17g}"
        return _SHORT.get(number, number)
    spaced = _SPACES.sub(" ", text).strip(_AROUND)
    folded = unicodedata.normalize("NFKC", (spaced or text).casefold()).translate(_LATIN)
    return _SHORT.get(folded, folded)


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
