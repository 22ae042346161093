"""How well signals find the errors that a job planted: precision and recall at each length of the list."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.domain.errors import invalid
from service.services import Services
from service.store import rankings
from service.store.jobs import Job

_POINTS = 80


@dataclass(frozen=True)
class CurvePoint:
    """The first `flagged` samples of a ranking: the share of them that was planted, and the share of the planted ones among them."""

    flagged: int
    precision: float
    recall: float


@dataclass(frozen=True)
class PlantedErrors:
    """Numbers of planted errors by kind, and a curve for each signal."""

    kinds: dict[str, int]
    curves: dict[str, list[CurvePoint]]


def planted_errors(services: Services, job: Job, signals: Sequence[str], kind: str | None = None) -> PlantedErrors:
    """Curves of at most 81 points over the planted errors of one kind or of all; those of other kinds are left out.

    Raises Invalid for a kind that was not planted.
    """
    with services.database.read() as connection:
        ranking = services.open_rankings.get(connection, services.blobs, job.id)
        # No index leads to them: they are looked for once.
        planted = ranking.remembered("planted", lambda: rankings.planted(connection, job.id))
        columns = ranking.columns
        kinds = dict(sorted(Counter(planted.values()).items()))
        if kind is not None and kind not in kinds:
            raise invalid(["query", "kind"], f"not planted in this job; {', '.join(kinds) or 'nothing was'}")
        if not planted:
            return PlantedErrors({}, {})
        wanted, others = np.zeros(len(columns), bool), np.zeros(len(columns), bool)
        wanted[columns.rows_at([index for index, one in planted.items() if kind in (None, one)])] = True
        others[columns.rows_at([index for index, one in planted.items() if kind not in (None, one)])] = True
        curves = {}
        for name in signals:
            order = columns.order(connection, job.id, name)
            hits = np.cumsum(wanted[order[~others[order]]])
            ends = np.unique(np.geomspace(1, len(hits), _POINTS).round().astype(np.int64))
            ends = np.union1d(ends, [int(wanted.sum())])
            curves[name] = [
                CurvePoint(end, hit / end, hit / int(wanted.sum()))
                for end, hit in zip(ends.tolist(), hits[ends - 1].tolist(), strict=True)
            ]
    return PlantedErrors(kinds, curves)
