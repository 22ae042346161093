"""Slices of a table in which a model is clearly worse: a value of a column, a fifth of its numbers, or its missing values.

Worse is a larger share of labels that differ from a guess which has not seen them: classes are harder to tell apart there, or more labels are wrong. A slice is told
where the difference of the two shares is 5 points and more, the share is one and a half times that of the rest, and chance gives such a difference less
often than once in 1,000 tables: a one-sided test of two proportions, corrected for the number of slices that were compared (Bonferroni).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from worker.issues.data_issue import DataIssue, IssueSample
from worker.issues.inputs import Rows, TrainingSamples

_FEWEST, _SHARE = 50, 0.01  # samples of a slice at least, and their share
_PARTS, _VALUES = 5, 50  # parts of numbers, and commonest values of a column
_DIFFERENCE, _TIMES, _SURE = 0.05, 1.5, 1e-3
_TOLD, _LISTED = 10, 25  # slices, and samples of each
_WIDE = 1.96  # deviations on either side of a 95 % interval
_NUMBERS = ("numeric", "datetime")

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Slice:
    """Samples of a slice, by their place. `inside` and `outside`: shares of labels that differ from the guess; `low` to `high`: 95 % of their difference."""

    name: str
    members: Flags
    inside: float
    outside: float
    low: float
    high: float
    probability: float

    @property
    def difference(self) -> float:
        """How much larger the share is than elsewhere."""
        return self.inside - self.outside


def slices(samples: TrainingSamples, wrong: Flags, looked_at: Rows) -> DataIssue:
    """Compare slices of the samples at the places `looked_at`; `wrong` says for each of these whether its label differs from the guess.

    Score: the largest difference of a slice that is told. Listed are its samples whose label differs, worst slice first; `flagged` counts all samples of all slices.
    """
    compared = [_compared(name, members, wrong) for name, members in _members(samples, looked_at)]
    told = [one for one in compared if _is_worse(one, len(compared))]
    told = sorted(told, key=lambda one: -one.difference)[:_TOLD]
    if not told:
        return DataIssue("slices", 0.0, 0, "The model is about as good everywhere.", found=False)
    listed: list[IssueSample] = []
    for number, one in enumerate(told):
        places = looked_at[np.flatnonzero(one.members & wrong)[:_LISTED]]
        listed += [samples.sample(int(place), number, one.name) for place in places]
    worst, flagged = told[0], int(np.any([one.members for one in told], axis=0).sum())
    detail = (
        f"Where {worst.name}, {worst.inside:.0%} of the labels differ from what the model says without them, and {worst.outside:.0%} elsewhere "
        f"(95 % interval of the difference: {worst.low:.0%} to {worst.high:.0%}). Slices in which it is worse: {len(told):,}."
    )
    return DataIssue("slices", worst.difference, flagged, detail, listed, found=True)


def _compared(name: str, members: Flags, wrong: Flags) -> Slice:
    inside, outside = int(members.sum()), int((~members).sum())
    first, second = float(wrong[members].mean()), float(wrong[~members].mean())
    pooled = float(wrong.mean())
    spread = (pooled * (1 - pooled) * (1 / inside + 1 / outside)) ** 0.5
    away = (first - second) / spread if spread else 0.0
    probability = float(torch.special.ndtr(torch.tensor(-away, dtype=torch.float64)))
    margin = _WIDE * (first * (1 - first) / inside + second * (1 - second) / outside) ** 0.5
    return Slice(name, members, first, second, first - second - margin, first - second + margin, probability)


def _is_worse(one: Slice, compared: int) -> bool:
    large = one.difference >= _DIFFERENCE and one.inside >= _TIMES * one.outside
    return large and one.probability * compared < _SURE


def _members(samples: TrainingSamples, looked_at: Rows) -> Iterator[tuple[str, Flags]]:
    """Every slice that is large enough, and leaves as many samples elsewhere."""
    rows = torch.from_numpy(samples.rows.numpy()[looked_at])
    fewest = max(_FEWEST, round(_SHARE * len(looked_at)))
    for feature in samples.dataset.header.features:
        parts = [batch.column(0) for batch in samples.dataset.batches([feature["column"]], rows)]
        column = pa.chunked_array(parts).combine_chunks()
        found = _of_numbers(column) if feature["kind"] in _NUMBERS else _of_values(column)
        for name, members in found:
            if fewest <= members.sum() <= len(members) - fewest:
                yield f"{feature['name']} {name}", members


def _of_values(column: pa.Array) -> Iterator[tuple[str, Flags]]:
    codes = column.dictionary_encode()
    numbers = codes.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    values = codes.dictionary.to_pylist()
    for code in np.bincount(numbers + 1, minlength=1).argsort(kind="stable")[::-1][:_VALUES].tolist():
        yield "is missing" if code == 0 else f"is {values[code - 1]}", numbers == code - 1


def _of_numbers(column: pa.Array) -> Iterator[tuple[str, Flags]]:
    missing = column.is_null().to_numpy(zero_copy_only=False)
    yield "is missing", missing
    if missing.all():
        return
    is_time = not pa.types.is_floating(column.type)
    numbers = column.cast(pa.int64()).cast(pa.float64(), safe=False) if is_time else column
    values = numbers.fill_null(np.nan).to_numpy(zero_copy_only=False)
    edges = np.unique(np.quantile(values[~missing], np.linspace(0, 1, _PARTS + 1)))
    shown = [str(np.datetime64(int(edge), "us").astype("datetime64[s]")) if is_time else f"{edge:g}" for edge in edges]
    place = np.searchsorted(edges[1:-1], values, side="right")
    for part in range(len(edges) - 1):
        yield f"is {shown[part]} to {shown[part + 1]}", ~missing & (place == part)
