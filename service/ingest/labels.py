"""The classes of an upload, from the values of its label column."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from service.domain.dataset import ClientWarning, DatasetSpec
from service.ingest.column_counts import ColumnCounts
from service.ingest.faults import invalid, listed
from service.ingest.limits import Limits
from service.ingest.merged_labels import merged_names
from service.ingest.similar_labels import is_number, label_warnings, looks_missing
from service.ingest.source import RowSource

_DECIMAL = re.compile(r"[+-]?\d+(,\d+)?")
_RATINGS = 20
_SURELY_A_QUANTITY = 50
_ENOUGH_ROWS = 20  # that tell classes from values that never repeat
_MOSTLY_LONE = 0.9  # share of the rows whose class no other row has


@dataclass(frozen=True)
class LabelReading:
    """How values of the label column become classes. A text that is not in `names` is no label."""

    names: Mapping[str, str]  # stripped text -> class
    classes: tuple[str, ...]
    warnings: tuple[ClientWarning, ...] = ()


def missing_labels(spec: DatasetSpec, source: RowSource) -> frozenset[str]:
    r"""The texts that are no label: the empty one, \N in text tables, and what the client says."""
    said = spec.missing or []
    null = ["\\N"] if source.null_words and spec.missing != [] else []
    return frozenset(["", *null, *(text.strip() for text in said)])


def read_labels(
    label: ColumnCounts, rows: int, spec: DatasetSpec, missing: frozenset[str], limits: Limits
) -> LabelReading:
    """The classes in order, and how labels become them. Raises `Invalid` where they are no classes."""
    _check_kind(label, limits)
    counts = {text: count for text, count in (label.distinct or {}).items() if text not in missing}
    names: dict[str, str] = {text: text for text in counts}
    alike: tuple[ClientWarning, ...] = ()
    numeric = _are_numbers(counts)
    if numeric:
        names, alike = _as_numbers(counts)
    merged = merged_names(spec.merge_labels, names, label.name)
    if numeric:
        kept = [text for text, name in names.items() if is_number(text) and name not in merged]
        _check_numbers(label.name, kept, rows)
    elif counts and all(_DECIMAL.fullmatch(text) for text in counts):
        _check_numbers(label.name, [text for text in names if text not in merged], rows)
    found = Counter[str]()
    for text, name in names.items():
        found[name] += counts[text]
    said = _merged(merged, found)
    names = {text: merged.get(name, name) for text, name in names.items()}
    for source, target in merged.items():
        found[target] += found.pop(source)
    _check_names(label.name, set(found), limits)
    classes = sorted_classes(set(found))
    check_classes(label.name, classes)
    _check_repeats(label.name, found)
    in_order = {name: found[name] for name in classes}
    return LabelReading(names, classes, (*alike, *said, *label_warnings(in_order)))


def _are_numbers(texts: Iterable[str]) -> bool:
    """Whether all labels are numbers, but for words that may stand for a missing one."""
    numbers = [is_number(text) for text in texts if not looks_missing(text)]
    return bool(numbers) and all(numbers)


def _as_numbers(texts: Iterable[str]) -> tuple[dict[str, str], tuple[ClientWarning, ...]]:
    """1, 1.0 and 1.00 as one class; also 007 and 007.0, but not 7."""
    forms: dict[str, list[str]] = defaultdict(list)
    for text in texts:
        forms[_plain(text)].append(text)
    whole = not any("." in plain for plain in forms)
    called = {
        text: plain if whole else min(alike, key=lambda text: (len(text), text))
        for plain, alike in forms.items()
        for text in alike
    }
    several = [f"{', '.join(sorted(alike))} as {called[alike[0]]}" for alike in forms.values() if len(alike) > 1]
    detail = f"labels that are the same number were read as one class: {listed(several)}"
    return called, (ClientWarning(code="number_labels", detail=detail),) if several else ()


def _plain(text: str) -> str:
    """A number without noughts after its last decimal."""
    return text.rstrip("0").removesuffix(".") if re.fullmatch(r"[+-]?\d+\.\d*", text) else text


def _merged(merged: Mapping[str, str], counts: Mapping[str, int]) -> tuple[ClientWarning, ...]:
    sources: dict[str, list[str]] = defaultdict(list)
    for source, target in merged.items():
        sources[target].append(f"{source} ({counts[source]:,})")
    detail = "; ".join(f"{listed(names)} as {target}" for target, names in sources.items())
    return (ClientWarning(code="merged_labels", detail=f"read as spec.merge_labels says: {detail}"),) if merged else ()


def _check_kind(label: ColumnCounts, limits: Limits) -> None:
    """Raise `Invalid` for lists, structures and too many values."""
    where = f"column {label.name}"
    lists = label.lengths.total() + label.bracketed
    if lists and lists >= label.present / 2:
        raise invalid(
            f"the label column {label.name!r} holds lists: several labels for one sample are not supported, "
            "give one class each",
            where,
        )
    if label.unusable:
        raise invalid(f"the label column {label.name!r} holds structures or binary data, not one class each", where)
    if label.too_many:
        kind = "looks like a quantity to predict (regression is not supported)" if label.numbers else "is no class"
        raise invalid(
            f"the label column {label.name!r} has more than {limits.max_classes:,} values, so it {kind}", where
        )


def _check_numbers(column: str, texts: list[str], rows: int) -> None:
    """Raise `Invalid` for numbers that are no classes: shares of a class, and quantities."""
    written = {float(text.replace(",", ".")): text for text in texts}
    numbers = sorted(written) or [0.0]
    fractions = [number for number in numbers if number % 1]
    where = f"column {column}"
    if fractions and numbers[0] >= 0 and numbers[-1] <= 1:
        raise invalid(
            f"the label column {column!r} holds numbers between 0 and 1, as {written[fractions[0]]}: shares of a class (soft labels) "
            "are not supported; upload one class for each sample, such as 1 where the share is above 0.5. Where these "
            f'numbers are names of classes, say so: spec {{"merge_labels": {{"half": ["{written[fractions[0]]}"]}}}}',
            where,
        )
    quantity = len(numbers) > _SURELY_A_QUANTITY and len(numbers) > rows / 2
    if quantity or (fractions and len(numbers) > _RATINGS):
        raise invalid(
            f"the label column {column!r} holds {len(numbers):,} different numbers from {numbers[0]:g} to "
            f"{numbers[-1]:g}: it looks like regression, which is not supported; name a column of classes as spec.label",
            where,
        )


def _check_names(column: str, names: set[str], limits: Limits) -> None:
    """Raise `Invalid` for sets of labels in one text, and for more classes than the limit."""
    separator = _separator(names)
    if separator is not None:
        several = next(name for name in sorted(names) if separator in name)
        raise invalid(
            f"the label column {column!r} holds several labels for one sample, as {several!r}: multi-label data is "
            "not supported, give one class each",
            f"column {column}",
        )
    if len(names) > limits.max_classes:
        raise invalid(
            f"the label column {column!r} has {len(names):,} classes; the limit is {limits.max_classes:,}",
            f"column {column}",
        )


def _separator(names: set[str]) -> str | None:
    """What stands between labels where classes are sets of them: few labels, in many more combinations."""
    # Half a point may be written 0,5.
    separators = "|;" if all(_DECIMAL.fullmatch(name) for name in names) else "|;,"
    for separator in separators:
        sets = [tuple(part.strip() for part in name.split(separator)) for name in names]
        parts = {part for one in sets for part in one}
        # Of a hierarchy, a|b and a|c, every class has an end of its own: there are no fewer parts than classes.
        if len({len(one) for one in sets}) > 1 and len(parts) < len(names):
            return separator
    return None


def check_classes(label: str, classes: tuple[str, ...]) -> None:
    """Raise `Invalid` unless there are two classes to tell apart."""
    if len(classes) < 2:
        only = f"only the class {classes[0]!r}" if classes else "no value"
        raise invalid(f"the label column {label!r} has {only}; at least 2 classes are needed", f"column {label}")


def _check_repeats(label: str, counts: Mapping[str, int]) -> None:
    """Raise `Invalid` where nearly every row has a class of its own. Of few rows it may be chance, or a beginning."""
    rows = sum(counts.values())
    lone = [name for name, count in counts.items() if count == 1]
    if rows < _ENOUGH_ROWS or len(lone) < _MOSTLY_LONE * rows:
        return
    number = (
        "; where it is a quantity to predict, that is regression, which is not supported"
        if all(map(is_number, lone))
        else ""
    )
    raise invalid(
        f"the label column {label!r} has {len(counts):,} classes in {rows:,} rows, and {len(lone):,} of them stand in one row alone, "
        f"as {lone[0]!r}: there is nothing to compare a sample with. Name a column of classes as spec.label{number}",
        f"column {label}",
    )


def sorted_classes(names: Collection[str]) -> tuple[str, ...]:
    """By number when all are numbers, else by text. `nan` is no number: it has no place among others."""
    try:
        numbers = {name: float(name) for name in names}
    except ValueError:
        return tuple(sorted(names))
    if any(math.isnan(number) for number in numbers.values()):
        return tuple(sorted(names))
    return tuple(sorted(names, key=lambda name: (numbers[name], name)))
