"""Counts over a ranking."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from service.domain.verdict import FLAGGED
from service.store import rankings
from service.store.ranking_columns import RankingColumns


@dataclass(frozen=True)
class ClassTally:
    """The samples that carry one label, by verdict."""

    label: str
    verdicts: Mapping[str, int]

    @property
    def samples(self) -> int:
        """How many there are in all."""
        return sum(self.verdicts.values())

    @property
    def flagged(self) -> int:
        """How many of them are mislabeled or anomalous."""
        return sum(self.verdicts.get(verdict, 0) for verdict in FLAGGED)


@dataclass(frozen=True)
class Confusion:
    """How many samples flagged as mislabeled carry one label and look like another."""

    given: str
    suggested: str
    count: int


def by_class(columns: RankingColumns) -> list[ClassTally]:
    """Every given label, by name."""
    width = max(1, len(columns.verdicts))
    codes = columns.given.astype(np.int64) * width + columns.verdict
    counted = np.bincount(codes, minlength=width * len(columns.labels)).reshape(-1, width).tolist()
    return [
        ClassTally(label, {name: number for name, number in zip(columns.verdicts, numbers, strict=True) if number})
        for label, numbers in zip(columns.labels, counted, strict=True)
        if any(numbers)
    ]


def confusions(columns: RankingColumns, limit: int) -> list[Confusion]:
    """The commonest pairs of given and suggested label, of samples flagged as mislabeled."""
    rows = np.flatnonzero(columns.with_verdict("mislabeled"))
    given, suggested, names = columns.given[rows].astype(np.int64), columns.suggested[rows], columns.labels
    differ = given != suggested
    codes, counts = np.unique(given[differ] * len(names) + suggested[differ], return_counts=True)
    # Labels are sorted, so that ties are by label.
    first = np.argsort(-counts, kind="stable")[:limit]
    pairs = zip((codes[first] // len(names)).tolist(), (codes[first] % len(names)).tolist(), strict=True)
    return [
        Confusion(names[one], names[another], count)
        for (one, another), count in zip(pairs, counts[first].tolist(), strict=True)
    ]


def histogram(
    connection: sa.Connection, job_id: str, columns: RankingColumns, by: str, edges: Sequence[float]
) -> dict[str, list[int]]:
    """Number of scores in each interval between two `edges`, by verdict; values outside count in the first or last interval."""
    verdicts = columns.verdict[columns.order(connection, job_id, by)]
    inner = rankings.count_scoring(connection, job_id, columns, by, edges[1:-1])
    # The highest scores come first in the order, and last among the intervals.
    ends = [*inner[::-1], len(verdicts)]
    counted = [
        np.bincount(verdicts[start:end], minlength=len(columns.verdicts))
        for start, end in zip([0, *ends[:-1]], ends, strict=True)
    ]
    return {
        name: numbers
        for name, numbers in zip(columns.verdicts, np.array(counted[::-1]).T.tolist(), strict=True)
        if any(numbers)
    }
