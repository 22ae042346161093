"""A training recorded elsewhere: what entered its last layer and the logits, of every sample at every checkpoint.

A safetensors or NPZ file with these arrays, n samples, T checkpoints, c classes; k is the epoch of a checkpoint:

================== ============ ===========================================================================
`labels`           n            whole numbers, columns of the logits or among `classes`; in NPZ also names of `classes`
`logits_k`         n x c        or `logits`, T x n x c: checkpoints 1 to T
`activations_k`    n x d        what enters the last layer; or `activations`, T x n x d, or n x d: always the same
`learning_rates`   T            of the checkpoints in order
`inner_k`          n x e        optional, of the first and the last k: what enters the layer before the last
`classes`          c            optional names; metadata (a JSON list) in safetensors, where the metadata `labels`, "columns",
                                says that labels are columns of the logits although classes are called by numbers
`ids`              n            optional, unique; metadata (a JSON list) in safetensors
`bias`             1            optional: false for a last layer without bias; metadata (true or false) in safetensors
`reference_labels` m            optional, and with it reference_logits_k, reference_activations_k …: the samples on
                                which influence is to be measured; they become the split "reference"
================== ============ ===========================================================================
"""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from service.domain.dataset import Recording
from service.ingest.faults import invalid
from service.ingest.readers.arrays import StoredArray
from service.ingest.readers.label_reading import ArrayLabels, label_numbers, label_reading
from service.ingest.readers.vectors import (
    REFERENCE,
    NamedArrays,
    SplitArrays,
    check_alike,
    check_shape,
    classes_of,
    ids_of,
    ignored,
    labels_of,
    source,
    width_of,
)
from service.ingest.source import DeclaredContents, RowSource

_NUMBERED = re.compile(r"(reference_)?(logits|activations|inner)_(\d{1,9})")
_STACKED = re.compile(r"(reference_)?(logits|activations)")
_ARRAYS = 3  # of a checkpoint
_ALWAYS = -1  # in place of an epoch: activations that never change
_SLOWEST, _FASTEST = 1e-30, 1e6  # learning rate
_LARGEST = 1e12  # number, so that sums of squares times a rate stay within single precision
_OTHERS = ("labels", "ids", "classes", "learning_rates", "bias", "reference_labels", "reference_ids")

ByEpoch = dict[int, StoredArray]


def is_recorded(names: Sequence[str]) -> bool:
    """Whether arrays of these names are meant as a recorded training."""
    return any(re.fullmatch(r"logits(_\d{1,9})?", name) for name in names)


def open_recorded(named: NamedArrays) -> RowSource:
    """Read them. Raises `Invalid` naming the array."""
    arrays = named.arrays
    logits = _by_epoch(named, "", "logits")
    epochs = list(logits)
    first = logits[epochs[0]]
    named.upload.limits.check_columns(_ARRAYS * len(epochs))
    classes = classes_of(named, width_of(first), "logits")
    reading = label_reading(named, classes, "logits")
    train = _part("train", "", named, reading, epochs, len(first))
    parts = [train]
    if "reference_labels" in arrays:
        rows = len(arrays["reference_labels"])
        parts.append(_part("reference", REFERENCE, named, reading, epochs, rows))
        check_alike(*parts)
    shared = "activations" in train.vectors
    entered = train.vectors["activations" if shared else f"activations_{epochs[0]}"]
    recording = Recording(
        epochs=epochs,
        learning_rates=_rates(arrays, epochs),
        width=entered.shape[1],
        shared=shared,
        bias=_has_bias(named),
    )
    vectors = {name: stored.shape[1] for name, stored in train.vectors.items()}
    unknown = [
        name for name in arrays if not (_NUMBERED.fullmatch(name) or _STACKED.fullmatch(name) or name in _OTHERS)
    ]
    notices = [*reading.warnings, *ignored(unknown)]
    return source(named, parts, DeclaredContents("trace", classes, vectors, recording), _usable, notices)


def _part(
    split: str, prefix: str, named: NamedArrays, reading: ArrayLabels, epochs: list[int], samples: int
) -> SplitArrays:
    """All arrays of one split, in the order of the epochs, each of the right shape."""
    labels = labels_of(named, prefix, samples, "logits")
    logits, entered, inner = (_by_epoch(named, prefix, kind) for kind in ("logits", "activations", "inner"))
    vectors: dict[str, StoredArray] = {}
    for epoch in epochs:
        if epoch not in logits:
            raise invalid(f"the array {prefix}logits_{epoch} is missing", f"array {prefix}logits_{epoch}")
        check_shape(logits[epoch], (samples, len(reading.classes)), "a logit a sample and class")
        width_of(logits[epoch])
        vectors[f"logits_{epoch}"] = logits[epoch]
    vectors |= _entered(entered, prefix, epochs, samples)
    for epoch, stored in inner.items():
        if epoch in (epochs[0], epochs[-1]):
            check_shape(stored, (samples, width_of(stored)), "a row a sample")
            vectors[f"inner_{epoch}"] = stored
    return SplitArrays(split, prefix, label_numbers(labels, reading), ids_of(named, prefix, samples), vectors)


def _entered(entered: ByEpoch, prefix: str, epochs: list[int], samples: int) -> dict[str, StoredArray]:
    """The activations by canonical name: one for all checkpoints, or one each."""
    if _ALWAYS in entered:
        check_shape(entered[_ALWAYS], (samples, width_of(entered[_ALWAYS])), "a row a sample")
        return {"activations": entered[_ALWAYS]}
    for epoch in epochs:
        if epoch not in entered:
            name = f"{prefix}activations_{epoch}"
            raise invalid(f"the array {name} is missing; {prefix}logits has checkpoint {epoch}", f"array {name}")
        check_shape(entered[epoch], (samples, width_of(entered[epochs[0]])), "what enters the last layer")
        width_of(entered[epoch])
    return {f"activations_{epoch}": entered[epoch] for epoch in epochs}


def _by_epoch(named: NamedArrays, prefix: str, kind: str) -> ByEpoch:
    """The arrays of a kind by epoch, in order."""
    numbered = {
        int(found[3]): stored
        for name, stored in named.arrays.items()
        if (found := _NUMBERED.fullmatch(name)) and (found[1] or "") == prefix and found[2] == kind
    }
    whole = named.arrays.get(f"{prefix}{kind}")
    if whole is None:
        return dict(sorted(numbered.items()))
    if numbered:
        raise invalid(f"give {whole.name} or {whole.name}_1, …, not both", f"array {whole.name}")
    if len(whole.shape) == 2:
        return {1 if kind == "logits" else _ALWAYS: whole}
    if len(whole.shape) != 3 or whole.fortran:
        shape = f"has shape {whole.shape}" if len(whole.shape) != 3 else "is in Fortran order"
        raise invalid(
            f"{whole.name} {shape}; checkpoints x samples x numbers in C order are expected", f"array {whole.name}"
        )
    if min(whole.shape) < 1:
        raise invalid(f"{whole.name} has shape {whole.shape}, which holds no number", f"array {whole.name}")
    most = named.upload.limits.max_columns // _ARRAYS
    if len(whole) > most:
        raise invalid(f"{whole.name} has {len(whole):,} checkpoints; the limit is {most:,}", f"array {whole.name}")
    size = whole.dtype.itemsize * whole.shape[1] * whole.shape[2]
    return {
        t + 1: replace(whole, name=f"{whole.name}[{t}]", offset=whole.offset + t * size, shape=whole.shape[1:])
        for t in range(whole.shape[0])
    }


def _has_bias(named: NamedArrays) -> bool:
    """Whether the last layer has a bias; true where the file does not say."""
    stored, said = named.arrays.get("bias"), named.metadata.get("bias")
    if stored is not None:
        check_shape(stored, (1,), "one true or false, whether the last layer has a bias")
        return bool(stored.rows(0, 1)[0])
    if said is not None and said.lower() not in ("true", "false"):
        raise invalid(f"the metadata bias is {said[:50]!r}; true or false is expected", "metadata bias")
    return said is None or said.lower() == "true"


def _rates(arrays: dict[str, StoredArray], epochs: list[int]) -> list[float]:
    stored = arrays.get("learning_rates")
    if stored is None:
        raise invalid("the array learning_rates is missing: one for each checkpoint", "array learning_rates")
    check_shape(stored, (len(epochs),), "a learning rate a checkpoint")
    if stored.dtype.kind not in "iuf":
        raise invalid(f"learning_rates holds {stored.dtype}; numbers are expected", "array learning_rates")
    rates: list[float] = stored.rows(0, len(stored)).astype(np.float64).tolist()
    for epoch, rate in zip(epochs, rates, strict=True):
        if not _SLOWEST <= rate <= _FASTEST:
            raise invalid(
                f"the learning rate of checkpoint {epoch} is {rate:g}; it must be above 0, from {_SLOWEST:g} to {_FASTEST:g}",
                "array learning_rates",
            )
    return rates


def _usable(name: str, stored: StoredArray, start: int, stop: int) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):
        rows = stored.rows(start, stop).astype(np.float32)
    wrong = np.flatnonzero(~(np.abs(rows) <= _LARGEST).all(axis=1))
    if len(wrong):
        kind, _, epoch = name.partition("_")
        at = f"checkpoint {epoch}, " if epoch else ""
        raise invalid(
            f"{at}row {start + int(wrong[0])}: {kind} of {stored.name} has a number that is not finite or is larger than "
            f"{_LARGEST:g}; did that training diverge? Leave the checkpoint out, or train with a lower learning rate",
            f"array {stored.name}",
            f"row {start + int(wrong[0])}",
        )
    return rows
