"""Guess of the label column where the client names none: by names, else by place and values."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from service.domain.dataset import ClientWarning, DatasetSpec
from service.ingest import values
from service.ingest.column_counts import ColumnCounts
from service.ingest.conventions import is_dated
from service.ingest.faults import bad_spec, listed
from service.ingest.one_hot import OneHotColumns
from service.ingest.survey import is_id_name

# The likeliest first: names that say label; those of public data sets, which are surer than the general ones after them.
_SURE_NAMES = ("label", "labels", "class_label", "given_label", "ground_truth", "target", "targets")
_KNOWN_NAMES = (
    "survived", "attrition", "churn", "churned", "exited", "species", "sentiment", "diagnosis", "dx", "income",
    "isfraud", "is_fraud", "fraud", "is_spam", "spam", "loan_status", "default", "creditability", "y", "outcome",
    "class", "classes", "classification", "category", "emotion", "intent", "stance", "toxic", "quality", "digit",
    "stroke", "transported", "readmitted", "approved", "purchased", "deposit", "risk", "gold", "truth", "polarity",
    "response", "result", "disease", "variety", "verdict", "decision", "status", "type", "tag", "rating", "ratings",
    "stars", "topic", "genre", "condition", "output", "num",
    "klasse", "classe", "clase", "标签", "类别", "分类", "ラベル", "分類", "метка", "класс", "레이블",
)  # fmt: skip
# These are as often a feature. They count at either end of a table, or where no other column can be the label.
_WEAK_NAMES = frozenset((
    "default", "response", "result", "disease", "status", "type", "tag", "variety", "decision", "verdict", "rating",
    "ratings", "stars", "topic", "genre", "condition", "output", "num",
))  # fmt: skip
_ENDINGS = frozenset(("label", "class", "target", "category", "sentiment", "emotion", "intent", "diagnosis", "outcome"))
_WEAK_ENDINGS = frozenset(("type", "status", "disease", "tomorrow"))
_IN_WORDS = re.compile(r"(?i)(class|label|target|category|species)[_\s.-]?(name|text|title)")
_NUMBERED = re.compile(r"(?i)(class|label|target|category|species)[_\s.-]?(id|idx|index|no|num|code)")
_WORDS = re.compile(r"[\s_.-]+")
_TRUTHS = (
    *values.TRUTHS.items(),
    ("1", "0"),
    ("是", "否"),
    ("ja", "nein"),
    ("oui", "non"),
    ("si", "no"),
    ("да", "нет"),
)
_SEVERAL_LABELS = 3
_DECIMAL = re.compile(r"[+-]?\d+\.\d+(\.\d+)?")
_DECIMALS = re.compile(r"[.,]\d")
_WHOLE = re.compile(r"[+-]?\d+[.,]0+")  # as programs write whole numbers of a column that has missing values: 1.0
_FEW = 100
_FEW_NUMBERS = 10
_MOST_WRITINGS = 1_000  # of two words: upper and lower case, with .0 behind
_MOST_CANDIDATES = 10


@dataclass(frozen=True)
class LabelGuess:
    """The guessed label column and the other columns that may be it, the likeliest first."""

    name: str
    others: tuple[str, ...] = ()

    @property
    def candidates(self) -> list[str]:
        """The guess and the others; empty where there were no others."""
        return [self.name, *self.others] if self.others else []

    def without(self, copies: Sequence[str]) -> "LabelGuess":
        """The same guess without columns that repeat the label: whichever of them is taken, the samples have the same classes."""
        return LabelGuess(self.name, tuple(name for name in self.others if name not in copies))

    def warnings(self) -> list[ClientWarning]:
        """A warning where another column may be the label."""
        detail = (
            f"{self.name!r} was taken as the label; it may be another: {listed(self.others)}. Name it as spec.label"
        )
        return [ClientWarning(code="label_guessed", detail=detail)] if self.others else []


def guess_label(
    columns: dict[str, ColumnCounts], rows: int, spec: DatasetSpec, one_hot: Callable[[], Sequence[OneHotColumns]]
) -> LabelGuess:
    """The column that is named like a label, the only one that it can be, or the last one where it says yes or no.

    `one_hot` finds sets of columns that may be one label in one-hot form, where it is asked for. Raises `Invalid` with the candidates.
    """
    taken = {spec.id, spec.split, spec.group, spec.annotator, *spec.exclude, *(spec.features or ())}
    free = {name: column for name, column in columns.items() if name not in taken}
    sure, all_strong, all_weak = _named(free)
    strong, weak = ([name for name in names if is_class_like(free[name], rows)] for names in (all_strong, all_weak))
    like = _class_like(free, rows)
    last = next(reversed(columns), None)
    ends = (last, next(iter(columns), None))
    weak_ends = [name for name in ends if name in weak]
    named = list(dict.fromkeys([*sure, *strong])) or weak_ends
    several = not sure and _are_several_labels(free, rows)
    if named and not (several and is_truth(columns[named[0]])):
        doubted = named[0] not in sure and named[0] not in ends
        rivals = [last] if last is not None and doubted and last in free and is_truth(columns[last]) else []
        rivals += like[:1] if named[0] in weak and like[:1] == [last] else []
        return LabelGuess(named[0], tuple(name for name in dict.fromkeys([*named, *rivals]) if name != named[0]))
    if len(like) == 1 and (like[0] == last or like == weak or _are_texts(free, like[0])):
        doubtful = [*all_strong, *(name for name in ends if name in all_weak)]
        return LabelGuess(like[0], tuple(name for name in dict.fromkeys(doubtful) if name != like[0]))
    groups = one_hot()
    candidates = list(dict.fromkeys([*named, *weak, *like]))
    # Words at the end of a table of numbers are its classes, though some of the numbers have few values.
    words = [name for name in candidates if not columns[name].numbers]
    if last is not None and last in candidates and not groups and (words == [last] or _is_lone_truth(columns, last)):
        return LabelGuess(last, tuple(name for name in candidates if name != last)[:_MOST_CANDIDATES])
    message = _question(columns, spec, candidates, groups)
    offered = _offered(candidates, groups) or list(columns)[:_MOST_CANDIDATES]
    raise bad_spec("label", message, {"label_candidates": offered})


def _named(free: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
    """Names of columns that are names of labels: the sure ones, the likely ones, and those that may be anything.

    The likeliest come first.
    """
    by_name: dict[str, list[str]] = defaultdict(list)
    for name in free:
        by_name[name.strip().lower()].append(name)
    sure = [name for known in _SURE_NAMES for name in by_name[known]]
    strong = [name for known in _KNOWN_NAMES if known not in _WEAK_NAMES for name in by_name[known]]
    strong += [name for name in free if _ending(name) in _ENDINGS]
    strong += [name for name in free if _IN_WORDS.fullmatch(name.strip())]
    strong += [name for name in free if _NUMBERED.fullmatch(name.strip())]
    weak = [name for known in _KNOWN_NAMES if known in _WEAK_NAMES for name in by_name[known]]
    weak += [name for name in free if _ending(name) in _WEAK_ENDINGS]
    return sure, strong, weak


def _ending(name: str) -> str:
    """The last of several words of a name, in lower case; empty where there is one word."""
    words = _WORDS.split(name.strip())
    return words[-1].lower() if len(words) > 1 else ""


def is_truth(column: ColumnCounts) -> bool:
    """Whether a column says yes or no: 1 and 0, true and false, in some languages."""
    if column.different > _MOST_WRITINGS:
        return False
    texts = {text.lower().removesuffix(".0") for text in column.texts()}
    return any(texts == {yes, no} for yes, no in _TRUTHS)


def _is_lone_truth(columns: dict[str, ColumnCounts], last: str) -> bool:
    """Whether the last column says yes or no and the one before it does not: of several in a row each may be the label."""
    before = list(columns.values())[-2:-1]
    return is_truth(columns[last]) and not any(is_truth(column) for column in before)


def _are_texts(free: dict[str, ColumnCounts], label: str) -> bool:
    """Whether all columns but the label are texts or ids."""
    return all(not column.numbers or is_id_name(name) for name, column in free.items() if name != label)


def _are_several_labels(free: dict[str, ColumnCounts], rows: int) -> bool:
    """Whether texts have several columns of yes and no, each of which may be a label, and nothing else."""
    truths = [name for name, column in free.items() if is_truth(column)]
    others = [name for name in free if name not in truths and not is_id_name(name)]
    return len(truths) >= _SEVERAL_LABELS and not any(
        free[name].numbers or is_class_like(free[name], rows) for name in others
    )


def _class_like(free: dict[str, ColumnCounts], rows: int) -> list[str]:
    """Columns that may hold classes: the last first, then words before numbers, and few values before many."""
    found = [name for name, column in free.items() if not is_id_name(name) and is_class_like(column, rows)]
    found = [name for name in found if not free[name].numbers or free[name].different <= _FEW_NUMBERS]
    last = next(reversed(free), None)
    return sorted(found, key=lambda name: (name != last, free[name].numbers > 0, free[name].different))


def is_class_like(column: ColumnCounts, rows: int) -> bool:
    """Whether a column has few values, and neither fractions nor dates."""
    if not 2 <= column.different <= min(_FEW, max(2, rows // 2)) or _has_fractions(column):
        return False
    return not is_dated(column)


def _has_fractions(column: ColumnCounts) -> bool:
    """Whether a column of few values has a number with decimals that are not all zero."""
    if column.numbers > column.whole:
        return True
    marked = column.only_by_point or column.only_by_comma
    return bool(marked) and any(_DECIMALS.search(text) and not _WHOLE.fullmatch(text) for text in column.texts())


def _offered(candidates: Sequence[str], groups: Sequence[OneHotColumns]) -> list[str | list[str]]:
    """What `spec.label` may be, for programs."""
    return [*candidates[:_MOST_CANDIDATES], *(list(group.columns) for group in groups)]


def _question(
    columns: dict[str, ColumnCounts], spec: DatasetSpec, candidates: Sequence[str], groups: Sequence[OneHotColumns]
) -> str:
    offers = [f"{name} ({columns[name].different} values)" for name in candidates[:_MOST_CANDIDATES]]
    offers += [f"{group.as_spec()} (one class a column)" for group in groups]
    likely = f"it may be {listed(offers)}" if offers else "none looks like one"
    headless = (
        "; the first line looks like data, not like a header: where it is a sample, set spec.header to false"
        if spec.header is None and _is_data(columns)
        else ""
    )
    return f"which column is the label? {likely}{headless}; name it as spec.label, one of: {listed(list(columns))}"


def _is_data(columns: dict[str, ColumnCounts]) -> bool:
    """Whether half of the names of columns and more are numbers with decimals, or values of their own column."""
    numbered = [name for name in columns if name.isdecimal()]
    counted = {str(place) for place in range(len(columns) + 1)}  # columns that were numbered for want of names
    names = [name for name in columns if not set(numbered) <= counted or name not in numbered]
    like_data = [name for name in names if _DECIMAL.fullmatch(name) or name in columns[name].texts()]
    return len(like_data) >= max(1, len(columns) / 2)
