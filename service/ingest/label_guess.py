"""Guess of the label column where the client names none: by known names, else the only column that it can be."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.domain.dataset import ClientWarning, DatasetSpec
from service.ingest.column_counts import ColumnCounts
from service.ingest.faults import bad_spec, listed
from service.ingest.one_hot import OneHot
from service.ingest.survey import is_id_name

# The likeliest first: names that say label; those of public data sets, which are surer than the general ones after them.
_SURE_NAMES = ("label", "labels", "class_label", "given_label", "ground_truth", "target", "targets")
_KNOWN_NAMES = (
    "survived", "attrition", "churn", "churned", "exited", "species", "sentiment", "diagnosis", "dx", "income",
    "isfraud", "is_fraud", "fraud", "is_spam", "spam", "loan_status", "default", "creditability", "y", "outcome",
    "class", "classes", "classification", "category", "emotion", "intent", "stance", "toxic", "quality", "digit",
    "response", "result", "disease", "variety", "verdict", "decision", "status", "type", "tag",
)  # fmt: skip
_WEAK_NAMES = frozenset(("response", "result", "status", "type", "tag", "variety", "decision", "verdict"))
_ENDING = re.compile(r"(?i).*[_\s.-](label|class|target|category)$")
_FEW = 100
_FEW_NUMBERS = 10
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

    def warnings(self) -> list[ClientWarning]:
        """A warning where another column may be the label."""
        detail = (
            f"{self.name!r} was taken as the label; it may be another: {listed(self.others)}. Name it as spec.label"
        )
        return [ClientWarning(code="label_guessed", detail=detail)] if self.others else []


def guess_label(
    columns: dict[str, ColumnCounts], rows: int, spec: DatasetSpec, one_hot: Callable[[], Sequence[OneHot]]
) -> LabelGuess:
    """The column that is named like a label, else the last one if no other can be it.

    `one_hot` finds sets of columns that may be one label in one-hot form, where it is asked for. Raises `Invalid` with the candidates.
    """
    taken = {spec.id, spec.split, spec.group, *spec.exclude, *(spec.features or ())}
    free = {name: column for name, column in columns.items() if name not in taken}
    named = _named(free, rows)
    if named and named[0].strip().lower() not in _WEAK_NAMES:
        return LabelGuess(named[0], tuple(name for name in named[1:] if name.strip().lower() not in _WEAK_NAMES))
    like = _class_like(free, rows)
    last = next(reversed(columns), None)
    if len(like) == 1 and (like[0] == last or like == named):
        return LabelGuess(like[0])
    groups = one_hot()
    candidates = list(dict.fromkeys([*named, *like]))
    # Words at the end of a table of numbers are its classes, though some of the numbers have few values.
    words = [name for name in candidates if not columns[name].numbers]
    if words == [last] and not groups:
        return LabelGuess(words[0], tuple(name for name in candidates if name not in words)[:_MOST_CANDIDATES])
    message = _question(columns, candidates, groups)
    offered = _offered(candidates, groups) or list(columns)[:_MOST_CANDIDATES]
    raise bad_spec("label", message, {"label_candidates": offered})


def _named(free: dict[str, ColumnCounts], rows: int) -> list[str]:
    """Columns with the name of a label, the likeliest first; one that may be anything only where its values are few."""
    by_name = {name.strip().lower(): name for name in reversed(free)}
    sure = [by_name[name] for name in _SURE_NAMES if name in by_name]
    known = [by_name[name] for name in _KNOWN_NAMES if name in by_name]
    ending = [name for name in free if _ENDING.match(name)]
    likely = [name for name in (*known, *ending) if is_class_like(free[name], rows)]
    return list(dict.fromkeys([*sure, *likely]))


def _class_like(free: dict[str, ColumnCounts], rows: int) -> list[str]:
    """Columns that may hold classes: the last first, then words before numbers, and few values before many."""
    found = [name for name, column in free.items() if not is_id_name(name) and is_class_like(column, rows)]
    found = [name for name in found if not free[name].numbers or len(free[name].texts()) <= _FEW_NUMBERS]
    last = next(reversed(free), None)
    return sorted(found, key=lambda name: (name != last, free[name].numbers > 0, len(free[name].texts())))


def is_class_like(column: ColumnCounts, rows: int) -> bool:
    """Whether a column has few values, and no fractions."""
    texts = column.texts()
    continuous = column.numbers > 0 and column.whole < column.numbers
    return not continuous and 2 <= len(texts) <= min(_FEW, max(2, rows // 2))


def _offered(candidates: Sequence[str], groups: Sequence[OneHot]) -> list[str | list[str]]:
    """What `spec.label` may be, for programs."""
    return [*candidates[:_MOST_CANDIDATES], *(list(group.columns) for group in groups)]


def _question(columns: dict[str, ColumnCounts], candidates: Sequence[str], groups: Sequence[OneHot]) -> str:
    offers = [f"{name} ({len(columns[name].texts())} values)" for name in candidates[:_MOST_CANDIDATES]]
    offers += [f"{group.as_spec()} (one class a column)" for group in groups]
    likely = f"it may be {listed(offers)}" if offers else "none looks like one"
    return f"which column is the label? {likely}; name it as spec.label, one of: {listed(list(columns))}"
