"""The label column of an upload and its classes."""

import re

from service.domain.dataset import DatasetSpec
from service.ingest import values
from service.ingest.column_counts import ColumnCounts
from service.ingest.faults import bad_spec, invalid, listed
from service.ingest.limits import Limits

_LABEL_NAMES = (
    "label", "labels", "target", "targets", "class", "classes", "y", "category", "species", "outcome", "class_label",
    "given_label", "classification", "diagnosis", "sentiment", "ground_truth",
)  # fmt: skip
_LABEL_ENDING = re.compile(r"(?i).*[_\s.-](label|class|target|category)$")
_DECIMAL = re.compile(r"[+-]?\d+(,\d+)?")
_FEW = 100
_RATINGS = 20
_SURELY_A_QUANTITY = 50


def guess_label(columns: dict[str, ColumnCounts], rows: int, spec: DatasetSpec) -> str:
    """The column that is named like a label, else the last if its values are few; else `Invalid` asks for it."""
    taken = {spec.id, spec.split, *spec.exclude, *(spec.features or ())}
    free = [name for name in columns if name not in taken]
    by_name = {name.strip().lower(): name for name in reversed(free)}
    for name in _LABEL_NAMES:
        if name in by_name:
            return by_name[name]
    ending = [name for name in free if _LABEL_ENDING.match(name)]
    if len(ending) == 1:
        return ending[0]
    if free and free[-1] == next(reversed(columns)) and _is_class_like(columns[free[-1]], rows):
        return free[-1]
    message = f"which column is the label? none is named like one; set it to one of: {listed(list(columns))}"
    raise bad_spec("label", message)


def _is_class_like(column: ColumnCounts, rows: int) -> bool:
    texts = column.texts()
    continuous = column.numbers > 0 and column.whole < column.numbers
    return not continuous and 2 <= len(texts) <= min(_FEW, max(2, rows // 2))


def classes_of(label: ColumnCounts, rows: int, limits: Limits) -> tuple[bool, tuple[str, ...]]:
    """Whether labels are whole numbers, and the classes in order. Raises `Invalid` where they are no classes."""
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
    if label.distinct is None:
        kind = "looks like a quantity to predict (regression is not supported)" if label.numbers else "is no class"
        raise invalid(
            f"the label column {label.name!r} has more than {limits.max_classes:,} values, so it {kind}", where
        )
    texts = [text for text in label.distinct if text.lower() not in values.NO_LABEL]
    numeric = 0 < label.numbers == label.present
    whole = numeric and label.whole == label.numbers
    names = {class_name(text, whole) for text in texts}
    quantity = len(names) > _SURELY_A_QUANTITY and len(names) > rows / 2
    if numeric and (quantity or (not whole and len(names) > _RATINGS)):
        raise invalid(
            f"the label column {label.name!r} holds {len(names):,} different numbers from {label.low:g} to "
            f"{label.high:g}: it looks like regression, which is not supported; name a column of classes as spec.label",
            where,
        )
    separator = _separator(names)
    if separator is not None:
        several = next(name for name in sorted(names) if separator in name)
        raise invalid(
            f"the label column {label.name!r} holds several labels for one sample, as {several!r}: multi-label data is "
            "not supported, give one class each",
            where,
        )
    if len(names) > limits.max_classes:
        raise invalid(
            f"the label column {label.name!r} has {len(names):,} classes; the limit is {limits.max_classes:,}", where
        )
    classes = sorted_classes(names)
    check_classes(label.name, classes)
    return whole, classes


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


def class_name(text: str, whole: bool) -> str:
    """A stripped label as the class is called: 1.0 is 1 where all labels are whole numbers."""
    return re.sub(r"\.0*$", "", text) if whole else text


def sorted_classes(names: set[str]) -> tuple[str, ...]:
    """By number when all are numbers, else by text."""
    try:
        return tuple(sorted(names, key=lambda name: (float(name), name)))
    except ValueError:
        return tuple(sorted(names))
