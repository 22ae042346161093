"""Out-of-sample predictions as cleanlab takes them: what models that had not seen a sample say of it.

A safetensors or NPZ file with these arrays, n samples, c classes:

================== ======== ===============================================================================
`labels`           n        whole numbers, columns of `pred_probs` or all among `classes`; in NPZ also names of `classes`
`pred_probs`       n x c    probabilities of the classes, by models that were fitted without the sample
`features`         n x d    optional: numbers of which near ones mean alike samples, an embedding say
`classes`          c        optional names; metadata (a JSON list) in safetensors
`ids`              n        optional, unique; metadata (a JSON list) in safetensors
`reference_labels` m        optional, and with it reference_pred_probs, reference_features …: samples whose labels
                            are known to be right; they become the split "reference"
================== ======== ===============================================================================

Labels that are names without `classes` name the columns in sorted order, as scikit-learn has them. Without `pred_probs`
the features are a dataset of embeddings like any other.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from service.domain.dataset import ClientWarning, Modality
from service.ingest.faults import invalid, listed
from service.ingest.labels import sorted_classes
from service.ingest.readers.arrays import StoredArray
from service.ingest.readers.label_reading import ArrayLabels, label_arrays, label_numbers, label_reading
from service.ingest.readers.vectors import (
    REFERENCE,
    NamedArrays,
    SplitArrays,
    check_alike,
    check_classes,
    check_shape,
    classes_of,
    ids_of,
    ignored,
    labels_of,
    source,
    stripped,
    texts_of,
    width_of,
)
from service.ingest.source import DeclaredContents, RowSource

_OWN = ("labels", "pred_probs", "features", "ids")
_MEANT = {*_OWN, "classes", *(f"{REFERENCE}{name}" for name in _OWN)}
_NUMBERS = "biuf"
_OFF = 0.02  # by which a row may miss 1: half precision, a few classes rounded to two digits
_ROUNDING = 1e-6
_MEND = "each row must be probabilities that sum to 1; of logits give the softmax"


def is_predicted(names: Sequence[str]) -> bool:
    """Whether arrays of these names are meant as predictions."""
    return "pred_probs" in names


def is_embedded(names: Sequence[str]) -> bool:
    """Whether they are meant as embeddings, by the names that cleanlab gives them."""
    return {"labels", "features"} <= set(names) and "x" not in names


def open_predicted(named: NamedArrays) -> RowSource:
    """Read predictions. Raises `Invalid` naming the array, and the row where one is at fault."""
    width = width_of(named.arrays["pred_probs"], what="samples x classes, a column for each class,")
    notices: list[ClientWarning] = []
    if "classes" in named.texts or not _are_names(named):
        classes = classes_of(named, width, "pred_probs")
    else:
        # As text, and with their spaces: the order is that of numpy.unique.
        classes = _checked(named, sorted(_names(named)))
        if len(classes) != width:
            raise invalid(
                f"labels hold {len(classes)} names, but pred_probs have {width} columns; add the array classes, the names "
                "in the order of the columns",
                "array classes",
            )
        detail = f"the columns of pred_probs are taken for the labels in sorted order: {listed(classes)}"
        notices.append(ClientWarning(code="classes_sorted", detail=detail))
    reading = label_reading(named, classes, "pred_probs")
    return _source(named, "predictions", reading, ["pred_probs", "features"], notices)


def open_embedded(named: NamedArrays) -> RowSource:
    """Read embeddings. Raises `Invalid` naming the array, and the row where one is at fault."""
    class_names = named.texts.get("classes")
    if class_names is None:
        classes = _checked(named, sorted_classes(set(stripped(_names(named)))))
    else:
        classes = classes_of(named, len(class_names), "labels")
    detail = (
        "without pred_probs the features are read as embeddings, on which jobs train a classifier; with out-of-sample "
        "pred_probs nothing is trained"
    )
    notice = ClientWarning(code="no_pred_probs", detail=detail)
    if class_names is None:
        reading = ArrayLabels(classes, "classes", by_name=True)
    else:
        reading = label_reading(named, classes, "classes")
    return _source(named, "embedding", reading, ["features"], [notice])


def _source(
    named: NamedArrays,
    modality: Modality,
    reading: ArrayLabels,
    names: Sequence[str],
    notices: list[ClientWarning],
) -> RowSource:
    """Both parts of the arrays of these names, the first of which must be there."""
    train = _part("train", "", named, reading, names)
    parts = [train]
    if f"{REFERENCE}{names[0]}" in named.arrays or f"{REFERENCE}labels" in named.arrays:
        parts.append(_part("reference", REFERENCE, named, reading, names))
        check_alike(*parts)
        beside = [name for name in parts[1].vectors if name not in train.vectors]
        if beside:
            raise invalid(
                f"the array {beside[0]} is missing, but {REFERENCE}{beside[0]} is there", f"array {beside[0]}"
            )
    vectors = {name: stored.shape[1] for name, stored in train.vectors.items()}
    unknown = [name for name in named.arrays if name not in _MEANT]
    notices = [*notices, *reading.warnings, *ignored(unknown)]
    return source(named, parts, DeclaredContents(modality, reading.classes, vectors), _read, notices)


def _part(split: str, prefix: str, named: NamedArrays, reading: ArrayLabels, names: Sequence[str]) -> SplitArrays:
    found = {name: named.arrays[f"{prefix}{name}"] for name in names if f"{prefix}{name}" in named.arrays}
    if names[0] not in found:
        missing = f"{prefix}{names[0]}"
        raise invalid(f"the array {missing} is missing, but {prefix}labels is there", f"array {missing}")
    samples = len(found[names[0]])
    labels = labels_of(named, prefix, samples, f"{prefix}{names[0]}")
    for name, stored in found.items():
        width = width_of(stored, kinds="f" if name == "pred_probs" else _NUMBERS)
        check_shape(stored, (samples, width), f"a row for each of {prefix}labels")
    return SplitArrays(split, prefix, label_numbers(labels, reading), ids_of(named, prefix, samples), found)


def _are_names(named: NamedArrays) -> bool:
    labels = label_arrays(named)
    return bool(labels) and all(one.dtype.kind in "US" for one in labels)


def _names(named: NamedArrays) -> set[str]:
    """The labels of both parts, each once."""
    return {name for one in label_arrays(named) for name in texts_of(one)}


def _checked(named: NamedArrays, names: Iterable[str]) -> tuple[str, ...]:
    classes = stripped(names)
    limit = named.upload.limits.max_classes
    if len(classes) > limit:
        raise invalid(f"{len(classes):,} classes; the limit is {limit:,}", "array labels")
    check_classes(classes, len(classes), "labels")
    return classes


def _read(name: str, stored: StoredArray, start: int, stop: int) -> npt.NDArray[np.float32]:
    rows: npt.NDArray[np.float64] = stored.rows(start, stop).astype(np.float64)
    with np.errstate(over="ignore"):
        found: npt.NDArray[np.float32] = rows.astype(np.float32)
    unusable = ~np.isfinite(found)
    _refuse(unusable, stored, start, lambda _row: "has a number that is missing, infinite or too large")
    if name != "pred_probs":
        return found
    outside = (rows < -_ROUNDING) | (rows > 1 + _ROUNDING)
    _refuse(outside, stored, start, lambda row: f"{rows[row][outside[row]][0]:g} is no probability; {_MEND}")
    sums = rows.sum(axis=1, keepdims=True)
    _refuse(np.abs(sums - 1) > _OFF, stored, start, lambda row: f"the probabilities sum to {sums[row][0]:.4g}; {_MEND}")
    even: npt.NDArray[np.float32] = (rows.clip(0) / rows.clip(0).sum(axis=1, keepdims=True)).astype(np.float32)
    return even


def _refuse(wrong: npt.NDArray[np.bool_], stored: StoredArray, start: int, why: Callable[[int], str]) -> None:
    """Raise Invalid for the first row in which something is wrong."""
    if wrong.any():
        row = int(wrong.any(axis=1).argmax())
        raise invalid(f"{stored.name}, row {start + row}: {why(row)}", f"array {stored.name}", f"row {start + row}")
