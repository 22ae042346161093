"""Slices of a table in which a model is clearly worse: a value of a column, a fifth of its numbers, or its missing values.

Worse is a larger share of labels that differ from a guess which has not seen them: classes are harder to tell apart there, or more labels are wrong. A slice is reported
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
_MOST, _LISTED = 10, 25  # slices whose samples are listed, and samples of each
_WIDE = 1.96  # deviations on either side of a 95 % interval
_DIGITS = 6  # of an edge, where they tell it from the others
_NUMBERS = ("numeric", "datetime")

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Slice:
    """One slice. `inside` and `outside`: shares of labels that differ from the guess; `low` to `high`: 95 % of their difference.

    `members` says of each sample whether it is one, 8 of them in a byte; `first` are places of members whose label differs, as many as are listed.
    """

    name: str
    members: npt.NDArray[np.uint8]
    first: Rows
    inside: float
    outside: float
    low: float
    high: float
    probability: float

    @property
    def difference(self) -> float:
        """How much larger the share is than elsewhere."""
        return self.inside - self.outside


def slices(samples: TrainingSamples, wrong: Flags, examined: Rows) -> DataIssue:
    """Compare slices of the samples at the places `examined`; `wrong` says for each of these whether its label differs from the guess.

    Score: the largest difference of a slice that is worse. Listed are samples of the worst ten whose label differs, worst slice first; `flagged` counts all samples of all
    slices that are worse.
    """
    worse = _worse(samples, wrong, examined)
    if not worse:
        return DataIssue("slices", 0.0, 0, "The model is about as good everywhere.", found=False)
    listed: list[IssueSample] = []
    for number, one in enumerate(worse[:_MOST]):
        listed += [samples.sample(int(place), number, one.name) for place in examined[one.first]]
    members = np.bitwise_or.reduce([one.members for one in worse])
    worst, flagged = worse[0], int(np.unpackbits(members).sum())
    detail = (
        f"Where {worst.name}, {worst.inside:.0%} of the labels differ from what the model says without them, and {worst.outside:.0%} elsewhere "
        f"(95 % interval of the difference: {worst.low:.0%} to {worst.high:.0%}). Slices in which it is worse: {len(worse):,}."
    )
    return DataIssue("slices", worst.difference, flagged, detail, listed, found=True)


def _worse(samples: TrainingSamples, wrong: Flags, examined: Rows) -> list[Slice]:
    """Slices in which the model is worse, worst first."""
    compared, found = 0, []
    for compared, (name, members) in enumerate(_members(samples, examined), 1):
        one = _compared(name, members, wrong)
        # What fails by the slices so far fails by all of them, too: only the others are held.
        if _is_worse(one, compared):
            found.append(one)
    return sorted((one for one in found if _is_worse(one, compared)), key=lambda one: -one.difference)


def _compared(name: str, members: Flags, wrong: Flags) -> Slice:
    inside, outside = int(members.sum()), int((~members).sum())
    first, second = float(wrong[members].mean()), float(wrong[~members].mean())
    pooled = float(wrong.mean())
    spread = (pooled * (1 - pooled) * (1 / inside + 1 / outside)) ** 0.5
    away = (first - second) / spread if spread else 0.0
    probability = float(torch.special.ndtr(torch.tensor(-away, dtype=torch.float64)))
    margin = _WIDE * (first * (1 - first) / inside + second * (1 - second) / outside) ** 0.5
    difference = first - second
    places = np.flatnonzero(members & wrong)[:_LISTED].copy()
    return Slice(
        name, np.packbits(members), places, first, second, difference - margin, difference + margin, probability
    )


def _is_worse(one: Slice, compared: int) -> bool:
    large = one.difference >= _DIFFERENCE and one.inside >= _TIMES * one.outside
    return large and one.probability * compared < _SURE


def _members(samples: TrainingSamples, examined: Rows) -> Iterator[tuple[str, Flags]]:
    """Every slice that is large enough, and leaves as many samples elsewhere."""
    rows = torch.from_numpy(samples.rows.numpy()[examined])
    fewest = max(_FEWEST, round(_SHARE * len(examined)))
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
    shown = (
        [str(np.datetime64(int(edge), "us").astype("datetime64[s]")) for edge in edges] if is_time else _written(edges)
    )
    place = np.searchsorted(edges[1:-1], values, side="right")
    for part in range(len(edges) - 1):
        yield f"is {shown[part]} to {shown[part + 1]}", ~missing & (place == part)


def _written(edges: npt.NDArray[np.float64]) -> list[str]:
    """Different numbers with as many digits as tell them apart, 6 at least; 17 tell any two apart."""
    forms = ([f"{edge:.{digits}g}" for edge in edges] for digits in range(_DIGITS, 18))
    return next(words for words in forms if len(set(words)) == len(edges))
