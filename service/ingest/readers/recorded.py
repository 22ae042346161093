"""A training recorded elsewhere: what entered its last layer and the logits, of every sample at every checkpoint.

A safetensors or NPZ file with these arrays, n samples, T checkpoints, c classes; k is the epoch of a checkpoint:

================== ============ ===========================================================================
`labels`           n            whole numbers, columns of the logits; in NPZ also names of `classes`
`logits_k`         n x c        or `logits`, T x n x c: checkpoints 1 to T
`activations_k`    n x d        what enters the last layer; or `activations`, T x n x d, or n x d: always the same
`learning_rates`   T            of the checkpoints in order
`inner_k`          n x e        optional, of the first and the last k: what enters the layer before the last
`classes`          c            optional names; metadata (a JSON list) in safetensors
`ids`              n            optional, unique; metadata (a JSON list) in safetensors
`reference_labels` m            optional, and with it reference_logits_k, reference_activations_k …: the samples on
                                which influence is to be measured; they become the split "reference"
================== ============ ===========================================================================
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from service.domain.dataset import Recording
from service.domain.dataset import Warning as Notice
from service.ingest.faults import invalid, listed
from service.ingest.readers.arrays import Stored, unpack
from service.ingest.readers.safetensors import open_tensors
from service.ingest.source import BATCH_BYTES, BATCH_ROWS, Batch, Source, Stated, Upload
from service.ingest.values import NO_LABEL

_NUMBERED = re.compile(r"(reference_)?(logits|activations|inner)_(\d{1,9})")
_STACKED = re.compile(r"(reference_)?(logits|activations)")
_OTHERS = ("labels", "ids", "classes", "learning_rates", "reference_labels", "reference_ids")
_LISTS = ("classes", "ids", "reference_ids")

ByEpoch = dict[int, Stored]


@dataclass(frozen=True)
class Part:
    """The samples of one split. `vectors` are its arrays by canonical name; `labels` are places in the classes."""

    split: str
    prefix: str
    labels: npt.NDArray[np.int64]
    ids: Sequence[str] | None
    vectors: dict[str, Stored]


def is_recorded(names: Sequence[str]) -> bool:
    """Whether arrays of these names are meant as a recorded training."""
    return any(re.fullmatch(r"logits(_\d+)?", name) for name in names)


def open_recorded_npz(upload: Upload) -> Source:
    """Read a recorded training from an NPZ; nothing in the file is ever unpickled."""
    arrays = unpack(upload)
    texts = {name: _texts(arrays[name]) for name in _LISTS if name in arrays}
    return _source(f"recorded training, npz, arrays {listed(list(arrays))}", arrays, texts, upload)


def open_safetensors(upload: Upload) -> Source:
    """Read a recorded training from a safetensors file."""
    arrays, metadata = open_tensors(upload.path)
    if not is_recorded(list(arrays)):
        raise invalid(
            f"a safetensors file of samples is a recorded training, with labels, logits, activations and learning_rates; "
            f"this one has {listed(list(arrays)) or 'no array'}"
        )
    texts = {name: _parsed(name, metadata[name]) for name in _LISTS if name in metadata}
    texts |= {name: _texts(arrays[name]) for name in _LISTS if name in arrays and name not in texts}
    return _source(f"recorded training, safetensors, {len(arrays)} arrays", arrays, texts, upload)


def _source(form: str, arrays: dict[str, Stored], texts: Mapping[str, list[str]], upload: Upload) -> Source:
    logits = _by_epoch(arrays, "", "logits")
    epochs = list(logits)
    samples, width = _matrix(logits[epochs[0]])
    upload.limits.check_columns(3 * len(epochs))
    classes = _classes(texts.get("classes"), width, upload)
    train = _part("train", "", arrays, texts, classes, epochs, samples)
    parts = [train]
    if "reference_labels" in arrays:
        rows = len(arrays["reference_labels"])
        parts.append(_part("reference", "reference_", arrays, texts, classes, epochs, rows))
        _check_alike(*parts)
    shared = "activations" in train.vectors
    first = train.vectors["activations" if shared else f"activations_{epochs[0]}"]
    recording = Recording(epochs=epochs, learning_rates=_rates(arrays, epochs), width=first.shape[1], shared=shared)
    vectors = {name: stored.shape[1] for name, stored in train.vectors.items()}
    ids = all(part.ids is not None for part in parts)
    unknown = [
        name for name in arrays if not (_NUMBERED.fullmatch(name) or _STACKED.fullmatch(name) or name in _OTHERS)
    ]
    ignored = Notice(code="ignored_arrays", detail=f"arrays without a meaning here: {listed(unknown)}")
    return Source(
        format=form,
        batches=lambda media: _batches(parts, classes, ids, media),
        columns=("label", *(["id"] if ids else []), "split", *(vectors)),
        label="label",
        id="id" if ids else None,
        split="split",
        warnings=(ignored,) if unknown else (),
        stated=Stated("trace", classes, vectors, recording),
    )


def _part(
    split: str,
    prefix: str,
    arrays: dict[str, Stored],
    texts: Mapping[str, list[str]],
    classes: tuple[str, ...],
    epochs: list[int],
    samples: int,
) -> Part:
    """All arrays of one split, in the order of the epochs, each of the right shape."""
    labels = arrays.get(f"{prefix}labels")
    if labels is None:
        raise invalid(
            f"the array labels is missing: one label for each of the {samples} rows of logits", "array labels"
        )
    _check_shape(labels, (samples,), "one label a sample")
    logits, entered, inner = (_by_epoch(arrays, prefix, kind) for kind in ("logits", "activations", "inner"))
    vectors: dict[str, Stored] = {}
    for epoch in epochs:
        if epoch not in logits:
            raise invalid(f"the array {prefix}logits_{epoch} is missing", f"array {prefix}logits_{epoch}")
        _check_shape(logits[epoch], (samples, len(classes)), "a logit a sample and class")
        vectors[f"logits_{epoch}"] = logits[epoch]
    vectors |= _entered(entered, prefix, epochs, samples)
    for epoch, stored in inner.items():
        if epoch in (epochs[0], epochs[-1]):
            _check_shape(stored, (samples, _matrix(stored)[1]), "a row a sample")
            vectors[f"inner_{epoch}"] = stored
    ids = texts.get(f"{prefix}ids")
    if ids is not None and len(ids) != samples:
        raise invalid(f"{prefix}ids has {len(ids)} entries, but {prefix}labels has {samples}", f"array {prefix}ids")
    return Part(split, prefix, _places(labels, classes), ids, vectors)


def _entered(entered: ByEpoch, prefix: str, epochs: list[int], samples: int) -> dict[str, Stored]:
    """The activations by canonical name: one for all checkpoints, or one each."""
    if list(entered) == [0]:
        _check_shape(entered[0], (samples, _matrix(entered[0])[1]), "a row a sample")
        return {"activations": entered[0]}
    for epoch in epochs:
        if epoch not in entered:
            name = f"{prefix}activations_{epoch}"
            raise invalid(f"the array {name} is missing; {prefix}logits has checkpoint {epoch}", f"array {name}")
        _check_shape(entered[epoch], (samples, _matrix(entered[epochs[0]])[1]), "what enters the last layer")
    return {f"activations_{epoch}": entered[epoch] for epoch in epochs}


def _by_epoch(arrays: dict[str, Stored], prefix: str, kind: str) -> ByEpoch:
    """The arrays of a kind by epoch, in order; activations that never change are those of epoch 0."""
    numbered = {
        int(found[3]): stored
        for name, stored in arrays.items()
        if (found := _NUMBERED.fullmatch(name)) and (found[1] or "") == prefix and found[2] == kind
    }
    whole = arrays.get(f"{prefix}{kind}")
    if whole is None:
        return dict(sorted(numbered.items()))
    if numbered:
        raise invalid(f"give {whole.name} or {whole.name}_1, …, not both", f"array {whole.name}")
    if len(whole.shape) == 2:
        return {1 if kind == "logits" else 0: whole}
    if len(whole.shape) != 3 or whole.fortran:
        shape = f"has shape {whole.shape}" if len(whole.shape) != 3 else "is in Fortran order"
        raise invalid(
            f"{whole.name} {shape}; checkpoints x samples x numbers in C order are expected", f"array {whole.name}"
        )
    size = whole.dtype.itemsize * whole.shape[1] * whole.shape[2]
    return {
        t + 1: replace(whole, name=f"{whole.name}[{t}]", offset=whole.offset + t * size, shape=whole.shape[1:])
        for t in range(whole.shape[0])
    }


def _matrix(stored: Stored) -> tuple[int, int]:
    if len(stored.shape) != 2 or min(stored.shape) < 1:
        raise invalid(f"{stored.name} has shape {stored.shape}; samples x numbers are expected", f"array {stored.name}")
    if stored.dtype.kind != "f":
        raise invalid(
            f"{stored.name} holds {stored.dtype}; floating-point numbers are expected", f"array {stored.name}"
        )
    return stored.shape[0], stored.shape[1]


def _check_shape(stored: Stored, expected: tuple[int, ...], what: str) -> None:
    if stored.shape != expected:
        raise invalid(f"{stored.name} has shape {stored.shape}; {expected} is expected: {what}", f"array {stored.name}")
    if len(expected) > 1:
        _matrix(stored)


def _check_alike(train: Part, reference: Part) -> None:
    """The reference has what the training part has, of the same width."""
    if (train.ids is None) != (reference.ids is None):
        raise invalid("ids of both parts are needed, or of none", "array reference_ids")
    for name, stored in train.vectors.items():
        other = reference.vectors.get(name)
        if other is None:
            raise invalid(f"the array reference_{name} is missing", f"array reference_{name}")
        _check_shape(other, (len(reference.labels), stored.shape[1]), f"as wide as {stored.name}")


def _classes(names: list[str] | None, width: int, upload: Upload) -> tuple[str, ...]:
    if width > upload.limits.max_classes:
        raise invalid(f"{width:,} classes; the limit is {upload.limits.max_classes:,}", "array logits")
    if names is None:
        return tuple(str(place) for place in range(width))
    classes = tuple(name.strip() for name in names)
    if len(classes) != width:
        raise invalid(f"classes has {len(classes)} names, but logits have {width} columns", "array classes")
    unusable = [name for name in classes if name.lower() in NO_LABEL or classes.count(name) > 1]
    if unusable:
        raise invalid(f"classes must be names that differ; {unusable[0]!r} is none, or twice", "array classes")
    return classes


def _places(labels: Stored, classes: tuple[str, ...]) -> npt.NDArray[np.int64]:
    values = labels.rows(0, len(labels))
    where = f"array {labels.name}"
    if labels.dtype.kind in "US":
        known = {name: place for place, name in enumerate(classes)}
        names = _texts(labels)
        strange = next((row for row, name in enumerate(names) if name.strip() not in known), None)
        if strange is not None:
            raise invalid(f"{labels.name}, row {strange}: {names[strange]!r} is not among classes", where)
        return np.array([known[name.strip()] for name in names], np.int64)
    if labels.dtype.kind not in "iu":
        raise invalid(f"{labels.name} holds {labels.dtype}; whole numbers are expected, columns of the logits", where)
    strange_rows = np.flatnonzero((values < 0) | (values >= len(classes)))
    if len(strange_rows):
        row = int(strange_rows[0])
        raise invalid(
            f"{labels.name}, row {row}: {values[row]} is no column of logits, which have {len(classes)}: 0 to {len(classes) - 1}",
            where,
        )
    return values.astype(np.int64)


def _rates(arrays: dict[str, Stored], epochs: list[int]) -> list[float]:
    stored = arrays.get("learning_rates")
    if stored is None:
        raise invalid("the array learning_rates is missing: one for each checkpoint", "array learning_rates")
    _check_shape(stored, (len(epochs),), "a learning rate a checkpoint")
    rates: list[float] = stored.rows(0, len(stored)).astype(np.float64).tolist()
    for epoch, rate in zip(epochs, rates, strict=True):
        if not (np.isfinite(rate) and rate > 0):
            raise invalid(
                f"the learning rate of checkpoint {epoch} is {rate:g}; it must be above 0", "array learning_rates"
            )
    return rates


def _batches(parts: Sequence[Part], classes: tuple[str, ...], ids: bool, media: bool) -> Iterator[Batch]:
    names = np.array(classes, dtype=object)
    index = 0
    for part in parts:
        vectors = part.vectors if media else {}
        size = sum(stored.dtype.itemsize * stored.shape[1] for stored in vectors.values())
        step = max(1, min(BATCH_ROWS, BATCH_BYTES // max(size, 1)))
        for start in range(0, len(part.labels), step):
            stop = min(start + step, len(part.labels))
            columns: dict[str, Any] = {"label": pa.array(names[part.labels[start:stop]], pa.string())}
            if ids and part.ids is not None:
                columns["id"] = pa.array(part.ids[start:stop], pa.string())
            columns["split"] = pa.array([part.split] * (stop - start), pa.string())
            for name, stored in vectors.items():
                columns[name] = _vectors(name, stored, start, stop)
            yield Batch(
                rows=pa.RecordBatch.from_pydict(columns),
                index=np.arange(index, index + stop - start, dtype=np.int64),
                where=_where(part, start),
            )
            index += stop - start


def _where(part: Part, start: int) -> Callable[[int], str]:
    return lambda position: f"row {start + position} of {part.prefix}labels"


def _vectors(name: str, stored: Stored, start: int, stop: int) -> Any:
    with np.errstate(over="ignore"):
        rows = stored.rows(start, stop).astype(np.float32)
    wrong = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(wrong):
        kind, _, epoch = name.partition("_")
        at = f"checkpoint {epoch}, " if epoch else ""
        raise invalid(
            f"{at}row {start + int(wrong[0])}: {kind} of {stored.name} has a number that is not finite; did that training "
            "diverge? Leave the checkpoint out, or train with a lower learning rate",
            f"array {stored.name}",
            f"row {start + int(wrong[0])}",
        )
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])


def _texts(stored: Stored) -> list[str]:
    """Names from an array of texts or whole numbers."""
    if len(stored.shape) != 1 or stored.dtype.kind not in "USiu":
        raise invalid(f"{stored.name} must be a row of texts or whole numbers", f"array {stored.name}")
    values = stored.rows(0, len(stored)).tolist()
    return [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values]


def _parsed(name: str, text: str) -> list[str]:
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, list) or not all(isinstance(value, str | int) for value in values):
        raise invalid(f"the metadata {name} must be a JSON list of names", f"metadata {name}")
    return [str(value) for value in values]
