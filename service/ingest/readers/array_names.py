"""Meaning of the arrays of an NPZ by their names: samples, labels, ids and names, alone or by split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# The first that is there is read: scikit-learn's data before its images, which are the same.
_SAMPLES = ("x", "data", "images", "inputs", "features")
_LABELS = ("y", "labels", "label", "target", "targets")
_IDS = ("id", "ids")
_SPLIT = "split"
_CLASS_NAMES = ("target_names", "class_names", "classes", "label_names")
_COLUMN_NAMES = ("feature_names", "column_names", "columns")
_PARTS = ("train", "validation", "val", "valid", "test")


@dataclass(frozen=True)
class PartNames:
    """Names of the arrays of one part of the samples; `split` is the array that says it, `part` the word in the names."""

    samples: str
    labels: str | None
    ids: str | None
    split: str | None = None
    part: str | None = None


@dataclass(frozen=True)
class ArrayNames:
    """Names of the arrays that are read."""

    parts: tuple[PartNames, ...]
    classes: str | None
    columns: str | None

    @property
    def all(self) -> set[str]:
        """Every array that is read."""
        found = {self.classes, self.columns}
        for one in self.parts:
            found |= {one.samples, one.labels, one.ids, one.split}
        return {name for name in found if name is not None}


def array_names(names: Sequence[str]) -> ArrayNames:
    """The arrays that are samples, labels and the like, whatever the case of their names; no part where none is samples."""
    lower = {name.lower(): name for name in reversed(names)}
    whole = _part(lower, "")
    by_split = [one for part in _PARTS if (one := _part(lower, part)) is not None]
    parts = [whole] if whole is not None and ("x" in lower or not by_split) else by_split
    return ArrayNames(tuple(parts), _first(lower, _CLASS_NAMES), _first(lower, _COLUMN_NAMES))


def _part(lower: Mapping[str, str], part: str) -> PartNames | None:
    samples = _first(lower, _forms(_SAMPLES, part))
    if samples is None:
        return None
    split = None if part else lower.get(_SPLIT)
    return PartNames(
        samples, _first(lower, _forms(_LABELS, part)), _first(lower, _forms(_IDS, part)), split, part or None
    )


def _forms(words: Sequence[str], part: str) -> tuple[str, ...]:
    if not part:
        return tuple(words)
    return tuple(
        form for word in words for form in (f"{word}_{part}", f"{part}_{word}", f"{word}{part}", f"{part}{word}")
    )


def _first(lower: Mapping[str, str], wanted: Sequence[str]) -> str | None:
    return next((lower[one] for one in wanted if one in lower), None)
