"""Two rankings side by side, sample by sample, from their columns: to join their rows in the database takes seconds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from service.domain.verdict import FLAGGED
from service.store.ranking_columns import RankingColumns

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class SampleList:
    """Ids of the first samples of a list; `total` is the length of the whole list."""

    ids: list[str]
    total: int


@dataclass(frozen=True)
class RankedSide:
    """One of two rankings of n and m samples. `ids`: the n sample ids, by row; `order`: the rows by a signal, most suspicious first."""

    columns: RankingColumns
    ids: pa.ChunkedArray
    order: Array

    @property
    def is_flagged(self) -> Array:
        """Of each row, whether its label is flagged: bool n."""
        verdicts = self.columns.verdicts
        return np.isin(self.columns.verdict, [place for place, name in enumerate(verdicts) if name in FLAGGED])

    def labels_as(self, names: Sequence[str]) -> Array:
        """The given labels as places in `names`, which has all of them: int n."""
        places = {name: place for place, name in enumerate(names)}
        return np.array([places[name] for name in self.columns.labels], np.int64)[self.columns.given]

    def first(self, wanted: Array, limit: int) -> SampleList:
        """Of the wanted rows (bool n), the first ones by the signal."""
        ordered = self.order[wanted[self.order]]
        if len(self.order) < len(wanted):  # those without a score come last
            unordered = wanted.copy()
            unordered[self.order] = False
            ordered = np.concatenate([ordered, np.flatnonzero(unordered)])
        return SampleList(self.ids.take(pa.array(ordered[:limit])).to_pylist(), len(ordered))


class Differences:
    """What differs between a ranking and a later one; samples are the same by their ids."""

    def __init__(self, before: RankedSide, after: RankedSide) -> None:
        self._before, self._after = before, after
        # Of each row the row of the other side, -1 where that has not ranked the sample.
        self._in_after = pc.index_in(before.ids, value_set=after.ids).fill_null(-1).to_numpy()
        rows = np.flatnonzero(self._in_after >= 0)
        self._in_before = np.full(len(after.ids), -1)
        self._in_before[self._in_after[rows]] = rows

    def counts(self) -> tuple[int, int, int]:
        """How many samples both jobs ranked, the first job alone, the second alone."""
        shared = int((self._in_after >= 0).sum())
        return shared, len(self._in_after) - shared, len(self._in_before) - shared

    def appeared(self, limit: int) -> SampleList:
        """Samples that the later ranking flags, and the earlier one does not flag or does not rank. The order is that of the later one."""
        return _flagged_only_in(self._after, self._before, self._in_before, limit)

    def vanished(self, limit: int) -> SampleList:
        """Samples that the earlier ranking flags, and the later one does not flag or does not rank. The order is that of the earlier one."""
        return _flagged_only_in(self._before, self._after, self._in_after, limit)

    def relabelled(self, limit: int) -> SampleList:
        """Samples whose given labels differ, in the order of the earlier ranking."""
        names = [*self._before.columns.labels, *self._after.columns.labels]
        before, after = self._before.labels_as(names), self._after.labels_as(names)
        return self._before.first((self._in_after >= 0) & (before != _of_other(after, self._in_after, -1)), limit)


def _flagged_only_in(mine: RankedSide, other: RankedSide, rows: Array, limit: int) -> SampleList:
    return mine.first(mine.is_flagged & ~_of_other(other.is_flagged, rows, False), limit)


def _of_other(values: Array, rows: Array, absent: object) -> Array:
    """Of each row the value of the other side, `absent` where that has not ranked the sample."""
    found = np.full(len(rows), absent, values.dtype)
    there = rows >= 0
    found[there] = values[rows[there]]
    return found
