"""Outcomes: the reviews of a job's chain, compared with its ranking."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from service.domain.review import WRONG, Outcome, Review, review_outcome
from service.domain.verdict import FLAGGED
from service.store import rankings, reviews
from service.store.rankings import Row


@dataclass(frozen=True)
class Outcomes:
    """Reviewed samples of a job by id: their reviews, rows of the ranking, and outcomes (`found`).

    `by_verdict` counts all ranked samples by verdict.
    """

    by_verdict: Mapping[str, int]
    reviews: Mapping[str, Review]
    rows: Mapping[str, Row]
    found: Mapping[str, Outcome]

    @property
    def flagged(self) -> dict[str, Outcome]:
        """Outcomes of the flagged samples that were reviewed."""
        return {name: self.found[name] for name, row in self.rows.items() if row["verdict"] in FLAGGED}

    def of_flagged(self) -> dict[Outcome, int]:
        """Number of flagged samples by outcome; those without a review are pending."""
        counted = Counter(self.flagged.values())
        every = sum(self.by_verdict.get(verdict, 0) for verdict in FLAGGED)
        counted[Outcome.PENDING] = every - len(self.flagged)
        return {one: counted[one] for one in Outcome}


def of_job(connection: sa.Connection, job_id: str) -> Outcomes:
    """Outcomes of a completed job. Reviews of other jobs of its chain count too, one a sample."""
    held, rows = reviewed(connection, job_id)
    found = {name: review_outcome(held[name], row["given_label"], row["suggested_label"]) for name, row in rows.items()}
    return Outcomes(rankings.count_by_verdict(connection, job_id), held, rows, found)


def count_changed_labels(connection: sa.Connection, job_id: str) -> int:
    """Number of ranked samples that reviews remove or give another label."""
    held, rows = reviewed(connection, job_id)
    return sum(
        review_outcome(held[name], row["given_label"], row["suggested_label"]) in WRONG for name, row in rows.items()
    )


def reviewed(connection: sa.Connection, job_id: str) -> tuple[dict[str, Review], dict[str, Row]]:
    """The latest reviews of a job's ranked samples, restated for the labels that the job ranked, and their rows; both by id."""
    held = reviews.latest(connection, job_id)
    rows = rankings.rows_by_id(connection, job_id, list(held))
    return {name: held[name].about(row["given_label"]) for name, row in rows.items()}, rows
