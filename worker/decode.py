"""Canonical datasets to tensors. Statistics come from the training rows alone; NaN never gets in."""

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from jaxtyping import Int
from PIL import Image, ImageOps
from torch import Tensor

from service.domain.dataset import METADATA_KEY, CanonicalHeader
from service.domain.errors import FieldError, Invalid
from worker.shape import InputShape

Inputs = tuple[Tensor, ...]
Floats = npt.NDArray[np.float32]

_FARTHEST = 10.0  # standard deviations: one absurd value must not decide what a network learns
_CATEGORIES = 254  # of one column; rarer values share a code
_MISSING, _OTHER, _FIRST = 0, 1, 2
_SIDE = 64  # images larger than this are scaled down unless the job says how large
_BATCH = 2048


@dataclass(frozen=True)
class Canonical:
    """A canonical file: what is small is read at once, the samples themselves when they are encoded."""

    path: Path
    header: CanonicalHeader
    ids: list[str]
    splits: list[str]
    index: Int[Tensor, " r"]
    labels: Int[Tensor, " r"]

    def batches(self, columns: Sequence[str], rows: Int[Tensor, " k"] | None = None) -> Iterator[pa.RecordBatch]:
        """The named columns of the named rows (ascending), or of all, a few thousand rows at a time."""
        start = 0
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(_BATCH, columns=list(columns)):
                if rows is None:
                    yield batch
                else:
                    first, last = torch.searchsorted(rows, torch.tensor([start, start + len(batch)])).tolist()
                    if last > first:
                        yield batch.take(pa.array((rows[first:last] - start).numpy()))
                start += len(batch)


def read(path: Path) -> Canonical:
    """Open a canonical file."""
    with pq.ParquetFile(path) as file:
        header = CanonicalHeader.model_validate_json(file.schema_arrow.metadata[METADATA_KEY])
        table = file.read(["id", "split", "index", "label"])
    return Canonical(
        path=path,
        header=header,
        ids=table["id"].to_pylist(),
        splits=table["split"].to_pylist(),
        index=torch.from_numpy(table["index"].to_numpy().astype(np.int64)),
        labels=torch.from_numpy(table["label"].to_numpy().astype(np.int64)),
    )


def align(reference: Canonical, train: Canonical) -> Canonical:
    """The reference in the training set's terms: its columns, its class numbers. Raises Invalid naming what differs."""
    faults: list[FieldError] = []
    if reference.header.modality != train.header.modality:
        faults.append(_fault(f"it holds {reference.header.modality} data, the dataset {train.header.modality}"))
    known = {(f["name"], f["kind"]): f["column"] for f in reference.header.features}
    missing = [f for f in train.header.features if (f["name"], f["kind"]) not in known]
    if train.header.modality == "tabular":
        faults += [_fault(f"it has no {feature['kind']} column {feature['name']}") for feature in missing[:20]]
    strange = sorted(set(reference.header.classes) - set(train.header.classes))
    if strange:
        faults.append(_fault(f"it has classes that the dataset lacks: {', '.join(strange[:20])}"))
    if faults:
        raise Invalid("the reference dataset does not fit: " + "; ".join(f.msg for f in faults), errors=faults)
    numbers = torch.tensor([train.header.classes.index(name) for name in reference.header.classes])
    features = train.header.features
    if train.header.modality == "tabular":
        features = [{**f, "column": known[f["name"], f["kind"]]} for f in features]
    header = reference.header.model_copy(update={"classes": train.header.classes, "features": features})
    return replace(reference, header=header, labels=numbers[reference.labels])


def _fault(message: str) -> FieldError:
    return FieldError(loc=["reference", "dataset"], msg=message)


@dataclass(frozen=True)
class Column:
    """How one tabular column becomes numbers: categories by code, anything else as (value - mean) / deviation."""

    column: str
    codes: dict[str, int] | None = None
    mean: float = 0.0
    deviation: float = 1.0
    indicator: bool = False


@dataclass(frozen=True)
class Encoder:
    """What the training rows teach about reading any row."""

    shape: InputShape
    columns: tuple[Column, ...] = ()
    mean: Floats | None = None
    scale: Floats | None = None

    @classmethod
    def fit(cls, dataset: Canonical, rows: Int[Tensor, " n"], image_size: int | None) -> "Encoder":
        """Learn the statistics of the training rows. Raises Invalid for a modality that no model takes."""
        match dataset.header.modality:
            case "tabular":
                return _fit_table(dataset, rows)
            case "embedding":
                return _fit_embedding(dataset, rows)
            case "image":
                return _fit_images(dataset, rows, image_size)
            case modality:
                raise Invalid(f"no model for {modality} data is built yet; see GET /models")

    def encode(self, dataset: Canonical, rows: Int[Tensor, " n"]) -> Inputs:
        """Tensors of the named rows; `rows` ascend."""
        match self.shape.modality:
            case "tabular":
                return self._encode_table(dataset, rows)
            case "embedding":
                return (self._encode_embedding(dataset, rows),)
            case _:
                return (self._encode_images(dataset, rows),)

    def _encode_table(self, dataset: Canonical, rows: Int[Tensor, " n"]) -> Inputs:
        # The columns of another dataset may stand elsewhere; its header says where, in the same order.
        places = [feature["column"] for feature in dataset.header.features]
        numeric = torch.zeros(len(rows), self.shape.numeric)
        categorical = torch.zeros(len(rows), len(self.shape.cardinalities), dtype=torch.int64)
        done = 0
        for batch in dataset.batches(places, rows):
            part = slice(done, done + len(batch))
            number = category = 0
            for column, place in zip(self.columns, places, strict=True):
                values = batch.column(place)
                if column.codes is not None:
                    categorical[part, category] = torch.from_numpy(_codes(values, column.codes))
                    category += 1
                    continue
                x = _floats(values)
                missing = np.isnan(x)
                standard = np.clip((x - column.mean) / column.deviation, -_FARTHEST, _FARTHEST)
                numeric[part, number] = torch.from_numpy(np.where(missing, 0, standard).astype(np.float32))
                number += 1
                if column.indicator:
                    numeric[part, number] = torch.from_numpy(missing.astype(np.float32))
                    number += 1
            done += len(batch)
        return numeric, categorical

    def _encode_embedding(self, dataset: Canonical, rows: Int[Tensor, " n"]) -> Tensor:
        result = torch.empty(len(rows), self.shape.embedding or 0)
        done = 0
        for batch in dataset.batches(["embedding"], rows):
            x = (_matrix(batch) - self.mean) * self.scale
            result[done : done + len(x)] = torch.from_numpy(np.clip(x, -_FARTHEST, _FARTHEST))
            done += len(x)
        return result

    def _encode_images(self, dataset: Canonical, rows: Int[Tensor, " n"]) -> Tensor:
        if self.shape.image is None:
            raise ValueError("fitted on images, but without their size")
        channels, height, width = self.shape.image
        result = torch.empty(len(rows), channels, height, width, dtype=torch.uint8)
        done = 0
        for batch in dataset.batches(["image"], rows):
            for value in batch.column("image"):
                result[done] = torch.from_numpy(_pixels(value.as_py(), channels, (width, height)))
                done += 1
        return result


def _fit_table(dataset: Canonical, rows: Int[Tensor, " n"]) -> Encoder:
    columns: list[Column] = []
    for feature in dataset.header.features:
        place = feature["column"]
        values = pa.chunked_array([batch.column(0) for batch in dataset.batches([place], rows)])
        if feature["kind"] == "categorical":
            counts = Counter(pc.drop_null(values).to_pylist())
            common = sorted(counts, key=lambda value: (-counts[value], value))[:_CATEGORIES]
            columns.append(Column(place, codes={value: _FIRST + rank for rank, value in enumerate(common)}))
            continue
        x = _floats(values)
        there = x[~np.isnan(x)]
        mean, deviation = (float(there.mean()), float(there.std())) if len(there) else (0.0, 1.0)
        # Values that differ by rounding alone are constant: dividing by that would make noise of nothing.
        constant = deviation <= 1e-9 * max(1.0, abs(mean))
        columns.append(Column(place, None, mean, 1.0 if constant else deviation, bool(len(there) < len(x))))
    numeric = sum(1 + column.indicator for column in columns if column.codes is None)
    cardinalities = tuple(_FIRST + len(column.codes) for column in columns if column.codes is not None)
    return Encoder(InputShape("tabular", numeric=numeric, cardinalities=cardinalities), tuple(columns))


def _fit_embedding(dataset: Canonical, rows: Int[Tensor, " n"]) -> Encoder:
    total, squares, count = 0.0, 0.0, 0
    for batch in dataset.batches(["embedding"], rows):
        x = _matrix(batch).astype(np.float64)
        total, squares, count = total + x.sum(0), squares + np.square(x).sum(0), count + len(x)
    mean = np.asarray(total / count)
    deviation = np.sqrt(np.maximum(np.asarray(squares / count) - mean**2, 0))
    width = len(mean)
    # Many standardised dimensions make long vectors, and steps that are too large for them.
    scale = min(1.0, (64 / width) ** 0.5) / np.where(deviation > 1e-9, deviation, 1.0)
    shape = InputShape("embedding", embedding=width)
    return Encoder(shape, mean=mean.astype(np.float32), scale=scale.astype(np.float32))


def _fit_images(dataset: Canonical, rows: Int[Tensor, " n"], image_size: int | None) -> Encoder:
    sizes: Counter[tuple[int, int]] = Counter()
    grey = True
    for batch in dataset.batches(["image"], rows):
        for value in batch.column("image"):
            with Image.open(io.BytesIO(value.as_py())) as image:
                turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
                sizes[image.size[::-1] if turned else image.size] += 1
                grey = grey and image.mode in ("1", "L", "LA", "I", "F", "I;16", "I;16B", "I;16L")
    width, height = sizes.most_common(1)[0][0]
    if image_size is not None:
        width = height = image_size
    elif max(width, height) > _SIDE:
        width, height = (max(8, round(side * _SIDE / max(width, height))) for side in (width, height))
    channels = 1 if grey else 3
    bare = Encoder(InputShape("image", image=(channels, height, width)))
    total, squares, count = torch.zeros(channels).double(), torch.zeros(channels).double(), 0
    for part in rows[:: max(1, len(rows) // 4096)].split(_BATCH):
        (pixels,) = bare.encode(dataset, part)
        x = pixels.double()
        total, squares = total + x.sum((0, 2, 3)), squares + x.square().sum((0, 2, 3))
        count += x[:, 0].numel()
    mean = total / count
    deviation = (squares / count - mean**2).clamp(min=1.0).sqrt()
    return Encoder(replace(bare.shape, pixel_mean=tuple(mean.tolist()), pixel_deviation=tuple(deviation.tolist())))


def _floats(values: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.float64]:
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp("us")).cast(pa.int64())
    result = np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.where(np.isfinite(result), result, np.nan)


def _codes(values: pa.Array, codes: dict[str, int]) -> npt.NDArray[np.int64]:
    return np.array(
        [_MISSING if value is None else codes.get(value, _OTHER) for value in values.to_pylist()], dtype=np.int64
    )


def _matrix(batch: pa.RecordBatch) -> Floats:
    values = batch.column("embedding")
    width = values.type.list_size
    flat = values.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    result: Floats = flat.reshape(-1, width)
    return result


def _pixels(encoded: bytes, channels: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(encoded)) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I") or image.mode == "F":
            # Deep greyscale: its own range becomes 0 … 255, for want of a better scale.
            deep = np.asarray(image, dtype=np.float64)
            top = 65535.0 if image.mode.startswith("I") else max(float(deep.max()), 1e-9)
            image = Image.fromarray((np.clip(deep / top, 0, 1) * 255).astype(np.uint8))
        image = image.convert("L" if channels == 1 else "RGB")
        if image.size != size:
            image = image.resize(size, Image.Resampling.BILINEAR)
        array = np.array(image, dtype=np.uint8)
    return array[None] if channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))
