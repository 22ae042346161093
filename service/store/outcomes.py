"""Outcomes: the reviews of a job's chain, compared with its ranking."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from service.domain.review import WRONG, Outcome, Review, review_outcome
from service.domain.verdict import FLAGGED
from service.store import rankings, reviews
from service.store.open_rankings import OpenRanking
from service.store.ranking_columns import RankingColumns
from service.store.rankings import Row
from service.store.standing import OUTCOMES, Held

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Outcomes:
    """Outcomes of all ranked samples of a job, counted; those without a review are pending."""

    columns: RankingColumns
    held: Held
    by_verdict: Mapping[str, Counter[Outcome]]

    @property
    def every(self) -> Counter[Outcome]:
        """Of all samples."""
        return sum(self.by_verdict.values(), Counter[Outcome]())

    @property
    def flagged(self) -> Counter[Outcome]:
        """Of the flagged samples."""
        return sum((found for verdict, found in self.by_verdict.items() if verdict in FLAGGED), Counter[Outcome]())

    @property
    def reviewed(self) -> int:
        """Of how many samples a decision holds."""
        every = self.every
        return every.total() - every[Outcome.PENDING]

    def first(self, order: Array, count: int) -> Sequence[Outcome]:
        """The outcomes of the first `count` rows of an order."""
        return [OUTCOMES[place] for place in self.held.outcomes[order[:count]].tolist()]

    def flagged_by_day(self) -> dict[date, Counter[Outcome]]:
        """Of the flagged samples on which a decision holds, by the day on which it was made, in UTC."""
        flags = [place for place, name in enumerate(self.columns.verdicts) if name in FLAGGED]
        rows = np.flatnonzero(np.isin(self.columns.verdict, flags) & (self.held.decisions >= 0))
        width = len(OUTCOMES)
        codes, counts = np.unique(
            self.held.days[rows].astype(np.int64) * width + self.held.outcomes[rows], return_counts=True
        )
        found: dict[date, Counter[Outcome]] = {}
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            found.setdefault(date.fromordinal(code // width), Counter())[OUTCOMES[code % width]] = count
        return found


def of_ranking(connection: sa.Connection, ranking: OpenRanking) -> Outcomes:
    """Outcomes of a completed job. Reviews of other jobs of its chain count too, one a sample."""
    held = ranking.standing.now(connection)
    counted = ranking.remembered(("outcomes", held.moment), lambda: _by_verdict(ranking.columns, held))
    return Outcomes(ranking.columns, held, counted)


def _by_verdict(columns: RankingColumns, held: Held) -> dict[str, Counter[Outcome]]:
    width = len(OUTCOMES)
    codes = columns.verdict.astype(np.int64) * width + held.outcomes
    counted = np.bincount(codes, minlength=width * len(columns.verdicts)).reshape(-1, width).tolist()
    return {
        verdict: Counter(dict(zip(OUTCOMES, numbers, strict=True)))
        for verdict, numbers in zip(columns.verdicts, counted, strict=True)
    }


def count_changed_labels(connection: sa.Connection, job_id: str) -> int:
    """Number of ranked samples that reviews remove or give another label."""
    held, rows = reviewed(connection, job_id)
    return sum(
        review_outcome(held[name], row["given_label"], row["suggested_label"]) in WRONG for name, row in rows.items()
    )


def reviewed(connection: sa.Connection, job_id: str) -> tuple[dict[str, Review], dict[str, Row]]:
    """The latest reviews of a job's ranked samples, restated for the labels that the job ranked, and their labels; both by id."""
    held = reviews.latest(connection, job_id)
    rows = rankings.labels_by_id(connection, job_id, list(held))
    return {name: held[name].about(row["given_label"]) for name, row in rows.items()}, rows
