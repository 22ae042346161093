"""Possible cut-offs of a ranking: how many samples each flags, and how many of those are expected to be wrong."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from service.domain.confidence import told_confidence
from service.domain.cut_off import Band, EstimatedShare, band_ends, share_by_reviews
from service.domain.estimate import with_statuses
from service.services import Services
from service.store import rankings
from service.store.jobs import Job
from service.store.open_rankings import OpenRanking
from service.store.standing import DECISIONS

Array = npt.NDArray[Any]
Basis = Literal["probability"]
_EACH = 30  # of the first ranks
_BY_FACTOR, _BY_STEP = 160, 60
_ORDER = "How likely labels are wrong was not measured on jobs like this one. Reviews tell how many are."
_ANOMALOUS = "Unusual samples have no probability of being wrong. Reviews tell how many are."


@dataclass(frozen=True)
class CutOff:
    """A score, the number of samples that have at least that, and what is expected of them.

    `expected` is the share of wrong labels among them by the model's probabilities, `reviewed` that by reviews; None where it cannot
    be told.
    """

    score: float
    flagged: int
    expected: float | None
    decided: int
    reviewed: EstimatedShare | None


@dataclass(frozen=True)
class CutOffs:
    """Cut-offs from the strictest on. `basis`: what `expected` is made of; None with the reason in `why_not`."""

    items: list[CutOff]
    basis: Basis | None
    why_not: str | None


def choose_cut_off(services: Services, job: Job, by: str) -> CutOffs:
    """At most some hundred cut-offs of a completed job by a signal: closely spaced at the top of the ranking."""
    with services.database.read() as connection:
        ranking = services.open_rankings.get(connection, services.blobs, job.id)
        held = ranking.standing.now(connection)

        def choose() -> CutOffs:
            order = ranking.columns.order(connection, job.id, by)
            cuts = ranking.remembered(("cuts", by), lambda: _cuts(connection, job.id, ranking, order, by))
            return _judged(job, ranking, order, by, *cuts, held.decisions[order])

        return ranking.remembered(("cut-offs", by, held.moment), choose)


def _judged(
    job: Job, ranking: OpenRanking, order: Array, by: str, scores: list[float], counts: Array, decisions: Array
) -> CutOffs:
    why_not = _ANOMALOUS if by == "anomalous" else _undecided(job)
    basis: Basis | None = None
    expected: list[float | None] = [None] * len(counts)
    if why_not is None and ranking.columns.wrong is not None:
        basis = "probability"
        expected = (np.cumsum(ranking.columns.wrong[order], dtype=np.float64)[counts - 1] / counts).tolist()
    is_wrong = np.isin(decisions, [DECISIONS.index("relabel"), DECISIONS.index("remove")])
    decided = np.concatenate([[0], np.cumsum(is_wrong | (decisions == DECISIONS.index("keep")))])
    found_wrong = np.concatenate([[0], np.cumsum(is_wrong)])
    return CutOffs(
        items=[
            CutOff(score, count, share, int(decided[count]), _by_reviews(count, decided, found_wrong))
            for score, count, share in zip(scores, counts.tolist(), expected, strict=True)
        ],
        basis=basis,
        why_not=why_not,
    )


def _cuts(
    connection: sa.Connection, job_id: str, ranking: OpenRanking, order: Array, by: str
) -> tuple[list[float], Array]:
    """Scores, the highest first, and how many samples have at least each of them."""
    n = len(order)
    if not n:
        return [], np.zeros(0, np.int64)
    flagged = ranking.columns.counts.get(by, 0)
    spread = np.concatenate(
        [np.arange(1, _EACH + 1), np.geomspace(1, n, _BY_FACTOR), np.linspace(1, n, _BY_STEP), [max(1, flagged)]]
    )
    ranks = np.unique(np.clip(np.round(spread).astype(np.int64), 1, n))
    # With the rank after each: a cut-off between two equal scores is none.
    wanted = np.unique(np.concatenate([ranks, np.minimum(ranks + 1, n)]))
    places = ranking.columns.index[order[wanted - 1]].tolist()
    known = dict(zip(wanted.tolist(), rankings.scores_by_index(connection, job_id, places, by), strict=True))
    scores = list(dict.fromkeys(known[rank] for rank in ranks.tolist()))
    return scores, np.array(rankings.count_scoring(connection, job_id, ranking.columns, by, scores), np.int64)


def _undecided(job: Job) -> str | None:
    """Why the probabilities of this job say nothing, if they do."""
    if ((job.result or {}).get("rescored") or {}).get("recalibrated"):
        return None  # reviews tell them
    estimate = with_statuses(job.result or {})["estimates"]["mislabeled"]
    if estimate["status"] == "unknown":
        return str(estimate["reason"])
    return None if told_confidence(job.result) == "probability" else _ORDER


def _by_reviews(count: int, decided: Array, wrong: Array) -> EstimatedShare | None:
    ends = band_ends(count)
    starts = [0, *ends[:-1]]
    return share_by_reviews(
        [
            Band(end - start, int(decided[end] - decided[start]), int(wrong[end] - wrong[start]))
            for start, end in zip(starts, ends, strict=True)
        ]
    )
