"""Arrays with agreed names: labels, ids, and vectors with one row a sample.

Recorded trainings, predictions and embeddings share this form in NPZ and safetensors files: the samples to be ranked and, in
arrays named `reference_…`, the reference samples, whose labels are known to be right.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from service.domain.dataset import ClientWarning
from service.ingest.faults import invalid, listed
from service.ingest.readers.arrays import StoredArray, check_texts, texts
from service.ingest.readers.safetensors import bare
from service.ingest.source import BATCH_BYTES, BATCH_ROWS, Batch, DeclaredContents, RowSource, Upload
from service.ingest.values import as_text

LISTS = ("classes", "ids", "reference_ids")
REFERENCE = "reference_"
_LARGEST_WHOLE = 2.0**53  # up to which every whole number is a float

# Rows of an array from one place up to another as float32; raises Invalid naming the array and the row.
ReadRows = Callable[[str, StoredArray, int, int], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class NamedArrays:
    """The arrays of an upload by name, its lists of class names and sample ids, and the metadata of its file."""

    form: str
    arrays: dict[str, StoredArray]
    texts: Mapping[str, list[str]]
    metadata: Mapping[str, str]
    upload: Upload


@dataclass(frozen=True)
class SplitArrays:
    """The samples of one split. `vectors` are its arrays by canonical name; `labels` are places in the classes."""

    split: str
    prefix: str
    labels: npt.NDArray[np.int64]
    ids: Sequence[str] | None
    vectors: dict[str, StoredArray]


def source(
    named: NamedArrays,
    parts: Sequence[SplitArrays],
    stated: DeclaredContents,
    read: ReadRows,
    notices: Sequence[ClientWarning],
) -> RowSource:
    """The rows of all parts, one part after the other."""
    ids = all(part.ids is not None for part in parts)
    return RowSource(
        format=named.form,
        batches=lambda media: _batches(parts, stated.classes, read, ids=ids, media=media),
        columns=("label", *(["id"] if ids else []), "split", *stated.vectors),
        label="label",
        id="id" if ids else None,
        split="split",
        warnings=tuple(notices),
        stated=stated,
    )


def ignored(unknown: Sequence[str]) -> list[ClientWarning]:
    """A warning about arrays that are not read, if there are some."""
    detail = f"these arrays are not read: {listed(unknown)}"
    return [ClientWarning(code="ignored_arrays", detail=detail)] if unknown else []


def width_of(stored: StoredArray, *, what: str = "samples x numbers", kinds: str = "f") -> int:
    """Numbers of each row. Raises Invalid for an array that is no matrix, or of another kind of numbers."""
    where = f"array {stored.name}"
    if len(stored.shape) != 2 or min(stored.shape) < 1:
        raise invalid(f"{stored.name} has shape {stored.shape}; {what} are expected", where)
    if stored.dtype.kind not in kinds:
        expected = "floating-point numbers" if kinds == "f" else "numbers"
        raise invalid(f"{stored.name} holds {stored.dtype}; {expected} are expected", where)
    return stored.shape[1]


def check_shape(stored: StoredArray, expected: tuple[int, ...], what: str) -> None:
    """Raise Invalid where an array has another shape than `expected`."""
    if stored.shape != expected:
        raise invalid(f"{stored.name} has shape {stored.shape}; {expected} is expected: {what}", f"array {stored.name}")


def check_alike(train: SplitArrays, reference: SplitArrays) -> None:
    """Raise Invalid unless the reference has what the training part has, of the same width."""
    if (train.ids is None) != (reference.ids is None):
        raise invalid("ids of both parts are needed, or of none", "array reference_ids")
    for name, stored in train.vectors.items():
        other = reference.vectors.get(name)
        if other is None:
            raise invalid(f"the array reference_{name} is missing", f"array reference_{name}")
        check_shape(other, (len(reference.labels), stored.shape[1]), f"as wide as {stored.name}")


def check_classes(classes: tuple[str, ...], width: int, columns: str) -> None:
    """Raise Invalid unless the names are usable, and as many as `columns` (the array's name) has."""
    if len(classes) != width:
        raise invalid(f"classes has {len(classes)} names, but {columns} have {width} columns", "array classes")
    counts = Counter(classes)
    unusable = next((name for name in classes if not name or counts[name] > 1), None)
    if unusable is not None:
        why = f"is there {counts[unusable]} times, spaces around it aside" if unusable else "is empty"
        raise invalid(f"classes must be names that differ; {unusable!r} {why}", "array classes")


def classes_of(named: NamedArrays, width: int, columns: str) -> tuple[str, ...]:
    """The names of the classes in the order of the columns; their numbers where nobody named them."""
    limit = named.upload.limits.max_classes
    if width > limit:
        raise invalid(f"{width:,} classes; the limit is {limit:,}", f"array {columns}")
    names = named.texts.get("classes")
    if names is None:
        return tuple(str(place) for place in range(width))
    classes = stripped(names)
    check_classes(classes, width, columns)
    return classes


def stripped(names: Iterable[str]) -> tuple[str, ...]:
    """Names without spaces around them, as the labels are written to the dataset."""
    return tuple(as_text(pa.array(names, pa.string())).to_pylist())


def labels_of(named: NamedArrays, prefix: str, samples: int, columns: str) -> StoredArray:
    """The labels of a part, one for each of its samples."""
    labels = named.arrays.get(f"{prefix}labels")
    if labels is None:
        raise invalid(
            f"the array {prefix}labels is missing: one label for each of the {samples} rows of {columns}",
            f"array {prefix}labels",
        )
    check_shape(labels, (samples,), "one label a sample")
    return labels


def ids_of(named: NamedArrays, prefix: str, samples: int) -> list[str] | None:
    """The ids of a part, where it has some."""
    ids = named.texts.get(f"{prefix}ids")
    if ids is not None and len(ids) != samples:
        raise invalid(f"{prefix}ids has {len(ids)} entries, but {prefix}labels has {samples}", f"array {prefix}ids")
    return ids


def texts_of(stored: StoredArray) -> list[str]:
    """Names from an array of texts or whole numbers; 1.0 is the name 1. Raises Invalid for other numbers, by row."""
    if len(stored.shape) != 1 or stored.dtype.kind not in "USiufb":
        raise invalid(f"{stored.name} must be a row of texts or whole numbers", f"array {stored.name}")
    values = stored.rows(0, len(stored))
    return texts(stored.name, whole_numbers(stored.name, values) if values.dtype.kind == "f" else values)


def whole_numbers(name: str, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Numbers as int64. Raises Invalid naming the row of one that is not whole, a soft label say."""
    strange = np.flatnonzero(~(np.isfinite(values) & (values == np.floor(values)) & (np.abs(values) < _LARGEST_WHOLE)))
    if len(strange):
        row = int(strange[0])
        raise invalid(
            f"{name}, row {row}: {float(values[row]):g} is no whole number. Soft and missing labels are not supported: give "
            "each sample one class, or leave it out",
            f"array {name}",
            f"row {row}",
        )
    return values.astype(np.int64)


def parse_names(name: str, text: str) -> list[str]:
    """Names from the metadata of a safetensors file."""
    where = f"metadata {name}"
    outline = bare(text.encode()).strip()
    flat = outline.rfind(b"[") == 0 and b"{" not in outline
    try:
        values = json.loads(text) if flat else None
    except ValueError:
        values = None
    if not isinstance(values, list) or not all(isinstance(value, str | int) for value in values):
        raise invalid(f"the metadata {name} must be a JSON list of names", where)
    found = [str(value) for value in values]
    check_texts(where, found)
    return found


def _batches(
    parts: Sequence[SplitArrays], classes: tuple[str, ...], read: ReadRows, *, ids: bool, media: bool
) -> Iterator[Batch]:
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
                rows = read(name, stored, start, stop)
                columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])
            yield Batch(
                rows=pa.RecordBatch.from_pydict(columns),
                index=np.arange(index, index + stop - start, dtype=np.int64),
                where=_where(part, start),
            )
            index += stop - start


def _where(part: SplitArrays, start: int) -> Callable[[int], str]:
    return lambda position: f"row {start + position} of {part.prefix}labels"
