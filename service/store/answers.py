"""Answers of reviewers to whether labels are wrong, and what they make of the ranks: the probability of a wrong label at each."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from service.audit.measure import Answer
from service.audit.working_model import bin_ends, bins_by_rank, fit_model
from service.domain.review import Review
from service.store import audits, rankings, reviews
from service.store.ranking_columns import RankingColumns
from service.store.standing import DECISIONS, Standing

Array = npt.NDArray[Any]

ENOUGH_DRAWN = 30  # reviews of drawn samples from which on a number is measured
_ANSWERS = {
    "keep": Answer.RIGHT,
    "relabel": Answer.WRONG,
    "remove": Answer.WRONG,
    "plausible": Answer.PLAUSIBLE,
    "unsure": Answer.UNSURE,
}
# By the place of a decision; -1, the last, is none.
_BY_DECISION = np.array([*(_ANSWERS[name] for name in DECISIONS), Answer.NONE], np.int8)


@dataclass(frozen=True)
class ReviewerAnswers:
    """An Answer of each row of a ranking (int8 n). `unconfirmed`: rows that too few people call wrong yet, and who does; they have none."""

    of_row: Array
    unconfirmed: Mapping[int, set[str | None]]


def answers(
    connection: sa.Connection, job_id: str, columns: RankingColumns, standing: Standing, confirm: int
) -> ReviewerAnswers:
    """What reviewers say of the labels of a job; `confirm` people must call a label wrong."""
    found = _BY_DECISION[standing.decisions(connection)]
    unconfirmed = _unconfirmed(connection, job_id, columns, found) if confirm > 1 else {}
    found[list(unconfirmed)] = Answer.NONE
    return ReviewerAnswers(found, unconfirmed)


def _unconfirmed(
    connection: sa.Connection, job_id: str, columns: RankingColumns, found: Array
) -> dict[int, set[str | None]]:
    """Rows that one person alone calls wrong."""
    rows = np.flatnonzero(found == Answer.WRONG)
    ids = rankings.ids_by_index(connection, job_id, columns.index[rows].tolist())
    people: dict[str, set[str | None]] = defaultdict(set)
    for review in restated(connection, job_id, ids):
        if review.decision in ("relabel", "remove"):
            people[review.sample_id].add(review.reviewer)
    return {
        int(row): people.get(name, set()) for row, name in zip(rows, ids, strict=True) if len(people.get(name, ())) < 2
    }


def restated(connection: sa.Connection, job_id: str, sample_ids: Sequence[str]) -> list[Review]:
    """What each person said last, in terms of the labels that the job ranked."""
    given = rankings.given_labels(connection, job_id, sample_ids)
    found = reviews.latest_by_reviewer(connection, job_id, [name for name in sample_ids if name in given])
    return [review.about(given[review.sample_id]) for review in found]


def is_measured(connection: sa.Connection, job_id: str, columns: RankingColumns, of_row: Array) -> bool:
    """Whether enough samples that the audit of a job drew are reviewed."""
    index, _, is_drawn = audits.entries_after(connection, job_id, 0)
    drawn = columns.rows_at(index[is_drawn])
    return int((of_row[drawn] != Answer.NONE).sum()) >= ENOUGH_DRAWN


def probability_by_rank(order: Array, of_row: Array) -> Array:
    """Probability that the label of each row is wrong, by its place in `order` (rows, the most suspicious first) and all answers.

    That of the working model of audits, made to fall steadily between the middles of its bins.
    """
    samples = len(order)
    bins = np.empty(samples, np.int8)
    bins[order] = bins_by_rank(samples)
    ends = bin_ends(samples)
    reviewed, wrong, left = (
        np.bincount(bins[rows], minlength=len(ends))
        for rows in (of_row != Answer.NONE, of_row == Answer.WRONG, of_row == Answer.NONE)
    )
    model = fit_model(0, reviewed, wrong, left, samples)
    middles = ends - np.diff(ends, prepend=0) / 2 + 0.5
    found = np.empty(samples)
    found[order] = np.interp(np.log(np.arange(1, samples + 1)), np.log(middles), model.probability)
    return found
