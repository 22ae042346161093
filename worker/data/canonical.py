"""Canonical files as the worker reads them: labels and ids at once, inputs batch by batch."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from service.domain.dataset import WHITE_KEY, CanonicalHeader
from service.domain.errors import FieldError, Invalid
from service.store.seal import open_parquet

_BATCH = 2048


@dataclass(frozen=True)
class Canonical:
    """A canonical file of r rows (see service.domain.dataset). Inputs are read when they are encoded, the rest at once.

    `index` are positions in the upload, `labels` positions in `header.classes`. `white` is the brightest pixel value of
    greyscale images of more than 8 bits; None where there are none. `groups` are the names of the groups that samples belong
    to, None for a sample of none, and empty where the file has none.
    """

    path: Path
    header: CanonicalHeader
    ids: list[str]
    splits: list[str]
    index: Int[Tensor, " r"]
    labels: Int[Tensor, " r"]
    white: float | None = None
    groups: Sequence[str | None] = ()

    def batches(self, columns: Sequence[str], rows: Int[Tensor, " k"] | None = None) -> Iterator[pa.RecordBatch]:
        """The named columns of `rows`, or of all rows, in batches of 2,048 rows of the file at most.

        Raises ValueError unless `rows` ascend and exist: other rows would be given without notice.
        """
        edges = torch.tensor([-1, len(self.labels)])
        if rows is not None and bool((torch.cat([edges[:1], rows, edges[1:]]).diff() <= 0).any()):
            raise ValueError(f"rows must ascend, without repeats, within 0 to {len(self.labels) - 1}")
        start = 0
        with open_parquet(self.path) as file:
            for batch in file.iter_batches(_BATCH, columns=list(columns)):
                if rows is None:
                    yield batch
                else:
                    first, last = torch.searchsorted(rows, torch.tensor([start, start + len(batch)])).tolist()
                    if last > first:
                        yield batch.take(pa.array((rows[first:last] - start).numpy()))
                start += len(batch)

    def width(self, column: str) -> int:
        """Numbers in each vector of a column."""
        with open_parquet(self.path) as file:
            return int(file.schema_arrow.field(column).type.list_size)

    def digest(self, column: str) -> str:
        """SHA-256 of all values of a column of texts or bytes, in their order."""
        found = hashlib.sha256()
        for batch in self.batches([column]):
            for value in batch.column(0):
                content = value.as_buffer()
                found.update(len(content).to_bytes(8, "little"))
                found.update(content)
        return found.hexdigest()

    def image(self, row: int, encoded: pa.Scalar, read: Callable[[bytes], UInt8[np.ndarray, "c h w"]]) -> Tensor:
        """Pixels of the image of `row`, as `read` decodes them. Raises Invalid naming the sample where it is damaged."""
        try:
            return torch.from_numpy(read(encoded.as_py()))
        except (OSError, ValueError) as error:
            raise Invalid(f"the image of sample {self.ids[row]} cannot be read: {error}") from error

    def texts(self, rows: Int[Tensor, " k"]) -> Iterator[str]:
        """The texts of `rows`, which ascend."""
        return (value.as_py() for batch in self.batches(["text"], rows) for value in batch.column("text"))


def open_canonical(path: Path) -> Canonical:
    """Open a canonical file and read all but the inputs."""
    with open_parquet(path) as file:
        header = CanonicalHeader.from_metadata(file.schema_arrow.metadata)
        named = "group" in file.schema_arrow.names
        table = file.read(["id", "split", "index", "label", *(["group"] if named else [])])
        white = file.metadata.metadata.get(WHITE_KEY)
    return Canonical(
        path=path,
        header=header,
        ids=table["id"].to_pylist(),
        splits=table["split"].to_pylist(),
        index=torch.from_numpy(table["index"].to_numpy().astype(np.int64)),
        labels=torch.from_numpy(table["label"].to_numpy().astype(np.int64)),
        white=None if white is None else float(white),
        groups=table["group"].to_pylist() if named else (),
    )


def align_reference(reference: Canonical, train: Canonical) -> Canonical:
    """The reference with the columns and class numbers of the training set.

    Raises Invalid naming each feature, width or class that does not fit.
    """
    found = _misfits(reference, train)
    if found:
        faults = [FieldError(loc=["reference", "dataset"], msg=message) for message in found[:20]]
        raise Invalid("the reference dataset does not fit: " + "; ".join(fault.msg for fault in faults), errors=faults)
    places = {name: place for place, name in enumerate(train.header.classes)}
    numbers = torch.tensor([places[name] for name in reference.header.classes])
    features = train.header.features
    if train.header.modality == "tabular":
        known = {(f["name"], f["kind"]): f["column"] for f in reference.header.features}
        features = [{**f, "column": known[f["name"], f["kind"]]} for f in features]
    header = reference.header.model_copy(update={"classes": train.header.classes, "features": features})
    return replace(reference, header=header, labels=numbers[reference.labels])


def _misfits(reference: Canonical, train: Canonical) -> list[str]:
    theirs, ours = reference.header, train.header
    if theirs.modality != ours.modality:
        return [f"it holds {theirs.modality} data, the dataset {ours.modality}"]
    found: list[str] = []
    if ours.modality == "tabular":
        kinds = {feature["name"]: feature["kind"] for feature in theirs.features}
        for name, kind in ((feature["name"], feature["kind"]) for feature in ours.features):
            if name not in kinds:
                found.append(f"it has no column {name}")
            elif kinds[name] != kind:
                found.append(f"its column {name} is {kinds[name]}, the dataset's is {kind}")
    elif ours.modality == "embedding" and reference.width("embedding") != train.width("embedding"):
        widths = reference.width("embedding"), train.width("embedding")
        found.append(f"its embeddings have {widths[0]} numbers, the dataset's {widths[1]}")
    strange = sorted(set(theirs.classes) - set(ours.classes))
    if strange:
        found.append(f"it has classes that the dataset lacks: {', '.join(strange[:20])}")
    return found
