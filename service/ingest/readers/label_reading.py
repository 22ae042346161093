"""What the labels of an array mean: names of classes, or places among them, which are columns of another array.

Whole numbers may be either where the classes are numbers, too. They are names where all of them are among the names.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.domain.dataset import ClientWarning
from service.ingest.faults import invalid, listed
from service.ingest.readers.arrays import StoredArray
from service.ingest.readers.vectors import REFERENCE, NamedArrays, stripped, texts_of, whole_numbers

_WHOLE = re.compile(r"[+-]?[0-9]{1,15}(\.0*)?")
_COLUMNS = "columns"  # metadata "labels" of a file whose labels are columns, whatever its classes are called


@dataclass(frozen=True)
class ArrayLabels:
    """How all labels of an upload are read. `columns` names the array whose columns the classes are.

    `values`: the class of each number, where numbers are names of classes; None where they are places.
    """

    classes: tuple[str, ...]
    columns: str
    values: dict[int, int] | None = None
    by_name: bool = False
    warnings: tuple[ClientWarning, ...] = ()


def label_reading(named: NamedArrays, classes: tuple[str, ...], columns: str) -> ArrayLabels:
    """Decide once for the labels of both parts. Whole numbers are names where all are, else places; a warning says so."""
    numbers = [_numbers(one) for one in label_arrays(named) if one.dtype.kind in "iufb" and len(one.shape) == 1]
    found = np.unique(np.concatenate(numbers)).tolist() if numbers else []
    if not found:
        return ArrayLabels(classes, columns)
    if "classes" not in named.texts:
        return ArrayLabels(classes, columns, warnings=_first_missing(found, classes, columns))
    values = _values(classes)
    if named.metadata.get("labels") == _COLUMNS or all(values.get(number, number) == number for number in found):
        return ArrayLabels(classes, columns)
    if all(number in values for number in found):
        return ArrayLabels(classes, columns, values, warnings=_are_names(found, values, classes))
    return ArrayLabels(classes, columns, warnings=_are_places(found, values, classes, columns))


def label_numbers(labels: StoredArray, reading: ArrayLabels) -> npt.NDArray[np.int64]:
    """Each label's place among the classes. Raises Invalid naming the row of a label that is none of them."""
    where = f"array {labels.name}"
    if reading.by_name or labels.dtype.kind in "US":
        return _named(labels, reading.classes)
    numbers = _numbers(labels)
    if reading.values is not None:
        known = reading.values
        distinct, inverse = np.unique(numbers, return_inverse=True)
        return np.array([known[number] for number in distinct.tolist()], np.int64)[inverse]
    outside = np.flatnonzero((numbers < 0) | (numbers >= len(reading.classes)))
    if len(outside):
        row, count = int(outside[0]), len(reading.classes)
        raise invalid(
            f"{labels.name}, row {row}: {numbers[row]} is no column of {reading.columns}, which have {count}: 0 to {count - 1}; "
            f"{_cure(numbers, count)}",
            where,
            f"row {row}",
        )
    return numbers


def _named(labels: StoredArray, classes: Sequence[str]) -> npt.NDArray[np.int64]:
    known = {name: place for place, name in enumerate(classes)}
    names = stripped(texts_of(labels))
    strange = next((row for row, name in enumerate(names) if name not in known), None)
    if strange is not None:
        raise invalid(
            f"{labels.name}, row {strange}: {names[strange]!r} is not among classes",
            f"array {labels.name}",
            f"row {strange}",
        )
    return np.array([known[name] for name in names], np.int64)


def label_arrays(named: NamedArrays) -> list[StoredArray]:
    """The labels of the samples and of the reference, as far as they are there."""
    return [named.arrays[name] for name in ("labels", f"{REFERENCE}labels") if name in named.arrays]


def _numbers(labels: StoredArray) -> npt.NDArray[np.int64]:
    if labels.dtype.kind not in "iufb":
        raise invalid(f"{labels.name} holds {labels.dtype}; whole numbers are expected", f"array {labels.name}")
    values = labels.rows(0, len(labels))
    return whole_numbers(labels.name, values) if labels.dtype.kind == "f" else values.astype(np.int64)


def _values(classes: Sequence[str]) -> dict[int, int]:
    """The class that each number names; empty where two classes are the same number."""
    found = {int(float(name)): place for place, name in enumerate(classes) if _WHOLE.fullmatch(name)}
    return found if len(found) == sum(1 for name in classes if _WHOLE.fullmatch(name)) else {}


def _are_names(found: Sequence[int], values: dict[int, int], classes: Sequence[str]) -> tuple[ClientWarning, ...]:
    if any(not 0 <= number < len(classes) for number in found):
        return ()  # they cannot be places
    shown = next(number for number in found if values[number] != number)
    detail = (
        f"labels are read as names of classes, since all of them are among classes: {shown} is the class {classes[values[shown]]!r}. "
        f"If they are places (0 is the first), that label is {classes[shown]!r}: give labels as names then"
    )
    return (ClientWarning(code="labels_are_names", detail=detail),)


def _are_places(
    found: Sequence[int], values: dict[int, int], classes: Sequence[str], columns: str
) -> tuple[ClientWarning, ...]:
    shown = next((number for number in found if number in values and values[number] != number), None)
    if shown is None or any(not 0 <= number < len(classes) for number in found):
        return ()
    alien = [str(number) for number in found if number not in values]
    detail = (
        f"labels are read as places among classes (columns of {columns}), since {listed(alien)} is no name of a class: {shown} is "
        f"{classes[shown]!r}, and not the class called {shown}. If they are names, add {listed(alien)} to classes"
    )
    return (ClientWarning(code="labels_are_places", detail=detail),)


def _first_missing(found: Sequence[int], classes: Sequence[str], columns: str) -> tuple[ClientWarning, ...]:
    if found[0] != 1 or found[-1] >= len(classes):
        return ()
    detail = (
        f"no sample has the label 0, the first column of {columns}. If labels count from 1, all are shifted by one: subtract 1, "
        f"or add the array classes with the numbers 1 to {len(classes)}"
    )
    return (ClientWarning(code="labels_may_count_from_1", detail=detail),)


def _cure(numbers: npt.NDArray[np.int64], count: int) -> str:
    if numbers.min() == 1 and numbers.max() == count:
        return f"they seem to count from 1: subtract 1, or add the array classes with the numbers 1 to {count}"
    return "numpy.unique(labels, return_inverse=True) numbers them so"
