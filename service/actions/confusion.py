"""Given against suggested labels of a ranking, counted."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from service.actions.select_suspects import SuspectQuery, passing_rows
from service.services import Services
from service.store.jobs import Job
from service.store.ranking_columns import RankingColumns

Array = npt.NDArray[Any]
_TABLE = 2**22  # pairs of classes that are counted in one array


@dataclass(frozen=True)
class LabelPair:
    """Samples that carry one label and look like another."""

    given: str
    suggested: str
    count: int


@dataclass(frozen=True)
class ConfusionCounts:
    """Counts of a ranking: the commonest pairs of different labels, and by class.

    `samples` counts by given label, `agreeing` those of them whose suggested label is the same.
    """

    pairs: list[LabelPair]
    number_of_pairs: int
    disagreeing: int
    samples: dict[str, int]
    agreeing: dict[str, int]


def count_confusion(services: Services, job: Job, query: SuspectQuery, limit: int) -> ConfusionCounts:
    """Counts over the samples of a completed job that pass the filters of `query`, the `limit` commonest pairs."""
    with services.database.read() as connection:
        ranking = services.open_rankings.get(connection, services.blobs, job.id)
        moment = ranking.standing.now(connection).moment

        def count() -> ConfusionCounts:
            return _counted(ranking.columns, passing_rows(services, connection, job, query), limit)

        return ranking.remembered(("confusion", query, limit, moment), count)


def _counted(columns: RankingColumns, passing: Array | None, limit: int) -> ConfusionCounts:
    chosen = slice(None) if passing is None else passing
    k = len(columns.labels)
    codes = columns.given[chosen].astype(np.int64) * k + columns.suggested[chosen]
    if k * k <= _TABLE:
        counted = np.bincount(codes, minlength=k * k)
        places = np.flatnonzero(counted)
        counts = counted[places]
    else:
        places, counts = np.unique(codes, return_counts=True)
    given, suggested = places // k, places % k
    samples = np.bincount(given, counts, minlength=k).astype(int).tolist()
    same = given == suggested
    agreeing = np.bincount(given[same], counts[same], minlength=k).astype(int).tolist()
    other = np.flatnonzero(~same)
    top = other[np.argsort(-counts[other], kind="stable")[:limit]]  # ties by label
    pairs = zip(given[top].tolist(), suggested[top].tolist(), counts[top].tolist(), strict=True)
    return ConfusionCounts(
        pairs=[LabelPair(columns.labels[one], columns.labels[another], count) for one, another, count in pairs],
        number_of_pairs=len(other),
        disagreeing=int(counts[other].sum()),
        samples=dict(zip(columns.labels, samples, strict=True)),
        agreeing=dict(zip(columns.labels, agreeing, strict=True)),
    )
