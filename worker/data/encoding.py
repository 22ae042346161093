"""Canonical datasets to tensors. Statistics come from the training rows alone; no tensor holds NaN."""

import itertools
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Int
from tokenizers import Tokenizer
from torch import Tensor

from worker.data.canonical import Canonical
from worker.data.pixels import Frame, common_frame, pixels
from worker.data.shape import InputShape
from worker.data.standard import FARTHEST, Doubles, Standard
from worker.data.texts import tokens, train_tokenizer, usual_length

Inputs = tuple[Tensor, ...]
_TRIMMED = (
    1 / 1000
)  # of the values on each side are left out of a column's mean and deviation: one absurd value would decide both
_BINS = 48  # between the quantiles of a numeric column
_CATEGORIES = 254  # of one column; rarer values share a code
_MISSING, _OTHER, _FIRST = 0, 1, 2
_SURVEYED = 64  # images at a time, as doubles
_RECORDED = "recorded trainings and predictions are not encoded"
_TOGETHER = 64  # images that one thread decodes before another's turn


@dataclass(frozen=True)
class ColumnEncoding:
    """How one tabular column becomes numbers: categories by code, anything else as (value - mean) / deviation."""

    column: str
    codes: dict[str, int] | None = None
    mean: float = 0.0
    deviation: float = 1.0
    indicator: bool = False


@dataclass(frozen=True)
class Encoder:
    """How rows become tensors, fitted on the training rows.

    `columns` are those of a table in order, `standard` is the scale of embeddings, `tokenizer` that of texts. `white` is the
    brightest value of the training images: images of a reference dataset are brought to the same scale.
    """

    shape: InputShape
    columns: tuple[ColumnEncoding, ...] = ()
    standard: Standard | None = None
    tokenizer: Tokenizer | None = None
    white: float | None = None

    @classmethod
    def fit(cls, dataset: Canonical, rows: Int[Tensor, " n"], params: Mapping[str, Any]) -> "Encoder":
        """Learn statistics and vocabulary from the training rows; `params` are the model's own (`service.domain.models`)."""
        match dataset.header.modality:
            case "tabular":
                return _fit_table(dataset, rows)
            case "embedding":
                return _fit_embedding(dataset, rows)
            case "image":
                return _fit_images(dataset, rows, params.get("image_size"))
            case "text":
                return _fit_texts(dataset, rows, params["vocabulary"], params["length"])
            case "trace" | "predictions":
                raise ValueError(_RECORDED)

    def encode(self, dataset: Canonical, rows: Int[Tensor, " n"]) -> Inputs:
        """Tensors of `rows`, which ascend: one for each part of the model's input, n rows each.

        Tables: numbers [n, k] and category codes [n, c]; embeddings [n, d]; images [n, channels, height, width] in uint8;
        texts: token numbers [n, l]. Raises ValueError for rows that do not ascend, Invalid for a damaged image.
        """
        match self.shape.modality:
            case "tabular":
                return self._encode_table(dataset, rows)
            case "embedding":
                return (self._encode_embedding(dataset, rows),)
            case "image":
                return (self._encode_images(dataset, rows),)
            case "text":
                return (self._encode_texts(dataset, rows),)
            case "trace" | "predictions":
                raise ValueError(_RECORDED)

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
                numeric[part, number] = torch.from_numpy(_standard(np.where(missing, column.mean, x), column))
                number += 1
                if column.indicator:
                    numeric[part, number] = torch.from_numpy(missing.astype(np.float32))
                    number += 1
            done += len(batch)
        return numeric, categorical

    def _encode_embedding(self, dataset: Canonical, rows: Int[Tensor, " n"]) -> Tensor:
        if self.standard is None:
            raise ValueError("fitted on embeddings, but without their statistics")
        result = torch.empty(len(rows), self.standard.width)
        done = 0
        for batch in dataset.batches(["embedding"], rows):
            result[done : done + len(batch)] = torch.from_numpy(self.standard.apply(_matrix(batch)))
            done += len(batch)
        return result

    def _encode_images(self, dataset: Canonical, rows: Int[Tensor, " n"]) -> Tensor:
        if self.shape.image is None:
            raise ValueError("fitted on images, but without their size")
        frame = Frame(*self.shape.image)
        result = torch.empty(len(rows), *self.shape.image, dtype=torch.uint8)

        def decode(start: int, images: pa.Array) -> None:
            for place, value in enumerate(images, start):
                result[place] = dataset.image(
                    int(rows[place]), value, lambda encoded: pixels(encoded, frame, self.white)
                )

        done = 0
        # Pillow decodes without holding Python's lock, so threads share the work.
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            for batch in dataset.batches(["image"], rows):
                images, starts = batch.column("image"), range(0, len(batch), _TOGETHER)
                parts = (images.slice(start, _TOGETHER) for start in starts)
                list(pool.map(decode, (done + start for start in starts), parts))  # raises what a thread raised
                done += len(batch)
        return result

    def _encode_texts(self, dataset: Canonical, rows: Int[Tensor, " n"]) -> Tensor:
        if self.shape.text is None or self.tokenizer is None:
            raise ValueError("fitted on texts, but without their tokenizer")
        return tokens(self.tokenizer, dataset.texts(rows), self.shape.text[1])


def _fit_table(dataset: Canonical, rows: Int[Tensor, " n"]) -> Encoder:
    columns: list[ColumnEncoding] = []
    bins: list[tuple[float, ...]] = []
    for feature in dataset.header.features:
        place = feature["column"]
        values = pa.chunked_array([batch.column(0) for batch in dataset.batches([place], rows)])
        if feature["kind"] == "categorical":
            counts = {pair["values"]: pair["counts"] for pair in pc.value_counts(pc.drop_null(values)).to_pylist()}
            common = sorted(counts, key=lambda value: (-counts[value], value))[:_CATEGORIES]
            columns.append(ColumnEncoding(place, codes={value: _FIRST + rank for rank, value in enumerate(common)}))
            continue
        x = _floats(values)
        there = x[~np.isnan(x)]
        columns.append(ColumnEncoding(place, None, *_spread(there), indicator=len(there) < len(x)))
        bins.append(_bins(_standard(there, columns[-1])))
        if columns[-1].indicator:
            bins.append((0.0, 1.0))
    widths = [1 + column.indicator for column in columns if column.codes is None]
    ends = list(itertools.accumulate(widths))
    cardinalities = tuple(_FIRST + len(column.codes) for column in columns if column.codes is not None)
    shape = InputShape(
        "tabular",
        numeric=sum(widths),
        cardinalities=cardinalities,
        bins=tuple(bins),
        indicators=tuple(end - 1 for end, width in zip(ends, widths, strict=True) if width > 1),
    )
    return Encoder(shape, tuple(columns))


def _bins(values: npt.NDArray[np.float32]) -> tuple[float, ...]:
    """Edges at quantiles, ascending, two at least; as many as there are different ones."""
    if len(values) == 0:
        return (0.0, 1.0)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, _BINS + 1), method="nearest"))
    # Edges closer than a float32 can tell apart at this size would be divided by.
    apart = [float(edges[0])]
    apart.extend(edge for edge, gap in zip(edges[1:].tolist(), np.diff(edges).tolist(), strict=True) if gap > 1e-6)
    return tuple(apart) if len(apart) > 1 else (apart[0], apart[0] + 1.0)


def _spread(values: Doubles) -> tuple[float, float]:
    """Mean and deviation of the trimmed values, or of all where the trimmed ones are all the same."""
    ordered = np.sort(values)
    trimmed = math.ceil(_TRIMMED * len(ordered))
    for part in (ordered[trimmed:-trimmed], ordered):
        largest = float(np.abs(part).max(initial=0.0))
        if largest == 0:
            continue
        unit = part / largest  # whose squares neither overflow nor vanish
        deviation = float(unit.std())
        # Values that differ by rounding alone are constant: dividing by that would make noise of nothing.
        if deviation > 1e-12 and deviation * largest > 0:
            return float(unit.mean()) * largest, deviation * largest
    return (float(ordered[0]), max(1.0, abs(float(ordered[0])))) if len(ordered) else (0.0, 1.0)


def _standard(x: Doubles, column: ColumnEncoding) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return np.clip((x - column.mean) / column.deviation, -FARTHEST, FARTHEST).astype(np.float32)


def _fit_embedding(dataset: Canonical, rows: Int[Tensor, " n"]) -> Encoder:
    standard = Standard.fit(lambda: map(_matrix, dataset.batches(["embedding"], rows)))
    return Encoder(InputShape("embedding", embedding=standard.width), standard=standard)


def _fit_texts(dataset: Canonical, rows: Int[Tensor, " n"], vocabulary: int, longest: int) -> Encoder:
    tokenizer = train_tokenizer(dataset.texts(rows), vocabulary)
    length = usual_length(tokenizer, dataset.texts(rows), longest)
    return Encoder(InputShape("text", text=(tokenizer.get_vocab_size(), length)), tokenizer=tokenizer)


def _fit_images(dataset: Canonical, rows: Int[Tensor, " n"], image_size: int | None) -> Encoder:
    images = (value.as_py() for batch in dataset.batches(["image"], rows) for value in batch.column("image"))
    frame = common_frame(images, image_size)
    bare = Encoder(InputShape("image", image=(frame.channels, frame.height, frame.width)), white=dataset.white)
    total, squares, count = torch.zeros(frame.channels).double(), torch.zeros(frame.channels).double(), 0
    # A few thousand images tell the mean and deviation of a pixel well enough.
    for part in torch.split(rows[:: max(1, len(rows) // 4096)], _SURVEYED):
        (sample,) = bare.encode(dataset, part)
        x = sample.double()
        total, squares = total + x.sum((0, 2, 3)), squares + x.square().sum((0, 2, 3))
        count += x[:, 0].numel()
    mean = total / count
    deviation = (squares / count - mean**2).clamp(min=1.0).sqrt()
    shape = replace(bare.shape, pixel_mean=tuple(mean.tolist()), pixel_deviation=tuple(deviation.tolist()))
    return replace(bare, shape=shape)


def _floats(values: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.float64]:
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
    if pa.types.is_time(values.type):
        values = values.cast(pa.int64())  # microseconds since midnight
    # Unsafe: dates such as 9999-12-31 are more microseconds than a double counts one by one.
    result = np.asarray(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.where(np.isfinite(result), result, np.nan)


def _codes(values: pa.Array, codes: dict[str, int]) -> npt.NDArray[np.int64]:
    places = pc.index_in(values, value_set=pa.array(list(codes), pa.string()))  # null where there is none
    found = pc.fill_null(pc.add(places, _FIRST), _OTHER)
    result: npt.NDArray[np.int64] = (
        pc.if_else(values.is_null(), _MISSING, found).to_numpy(zero_copy_only=False).astype(np.int64)
    )
    return result


def numeric_batches(dataset: Canonical, rows: Int[Tensor, " k"] | None = None) -> Iterator[tuple[Doubles, list[str]]]:
    """Embeddings or the columns of a table as float64 [n, k], batch by batch, and the k names; missing values are NaN."""
    if dataset.header.modality == "embedding":
        for batch in dataset.batches(["embedding"], rows):
            matrix = _matrix(batch)
            yield matrix, [f"number {place} of the embedding" for place in range(matrix.shape[1])]
        return
    features = dataset.header.features
    for batch in dataset.batches([one["column"] for one in features], rows):
        # The columns of another dataset stand elsewhere, and batches have them in their file's order.
        yield (
            np.stack([_floats(batch.column(one["column"])) for one in features], 1),
            [one["name"] for one in features],
        )


def _matrix(batch: pa.RecordBatch) -> Doubles:
    values = batch.column("embedding")
    flat: Doubles = values.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
    return flat.reshape(len(values), values.type.list_size)
