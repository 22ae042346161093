"""Decisions that hold of a job's ranked samples, kept in memory and brought up to date by the reviews written since.

A page of a ranking asks which samples were reviewed at every request; reading 100,000 reviews each time would take a second.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from service.domain.review import Outcome, StandingDecision
from service.store import chains, reviews
from service.store.ranking_columns import RankingColumns
from service.store.tables import reviews as table
from service.store.tables import suspects

Array = npt.NDArray[Any]
DECISIONS: tuple[str, ...] = get_args(StandingDecision)
OUTCOMES: tuple[Outcome, ...] = tuple(Outcome)
_NONE = -1
_PENDING = OUTCOMES.index(Outcome.PENDING)
_DECISION_OF = {
    Outcome.RELABELLED_TO_SUGGESTION: "relabel",
    Outcome.RELABELLED_OTHERWISE: "relabel",
    Outcome.REMOVED: "remove",
    Outcome.CONFIRMED: "keep",
    Outcome.PLAUSIBLE: "plausible",
    Outcome.UNSURE: "unsure",
}
# By the place of an outcome.
_DECISIONS = np.array(
    [DECISIONS.index(_DECISION_OF[one]) if one in _DECISION_OF else _NONE for one in OUTCOMES], np.int8
)


@dataclass(frozen=True)
class Held:
    """What holds of the n rows of a ranking at one moment. Nobody changes these arrays.

    `moment`: which reviews count, by the number of the latest in each list of the chain. `decisions` int8: places in DECISIONS, -1
    for none. `outcomes` int8: places in OUTCOMES. `days` int32: the day of the decision in UTC, counted as `date.toordinal` does; 0
    for none. `held_out`: how many samples that the job has not ranked have a decision that was given to it.
    """

    moment: tuple[tuple[str, int], ...]
    decisions: Array
    outcomes: Array
    days: Array
    held_out: int


class Standing:
    """The decision on each ranked sample of one job, in terms of its labels. Threads may share it."""

    def __init__(self, job_id: str, columns: RankingColumns) -> None:
        self._job_id, self._columns = job_id, columns
        self._held = self._nothing()
        self._seen: dict[str, int] = {}
        self._held_out: dict[str, bool] = {}  # whether a decision of this job holds, by the id of the sample
        self._lock = threading.Lock()

    def decisions(self, connection: sa.Connection) -> Array:
        """The place in DECISIONS of what holds now of each row, -1 where nothing does: int8 n."""
        return self.now(connection).decisions

    def now(self, connection: sa.Connection) -> Held:
        """What holds now of each row: the same object as long as nothing was decided."""
        with self._lock:
            numbers = chains.last_reviews(connection, self._job_id)
            if any(numbers.get(job_id, 0) < seen for job_id, seen in self._seen.items()):
                # A job of the chain was deleted, its reviews with it.
                self._held, self._seen, self._held_out = self._nothing(), {}, {}
            if numbers != self._seen:
                found = self._changed(connection, list(numbers), numbers)
                # Other threads may be reading the arrays that there are.
                outcomes, days = self._held.outcomes.copy(), self._held.days.copy()
                rows = self._columns.rows_at(list(found))
                outcomes[rows] = [outcome for outcome, _ in found.values()]
                days[rows] = [day for _, day in found.values()]
                moment, held_out = tuple(numbers.items()), sum(self._held_out.values())
                self._held = Held(moment, _DECISIONS[outcomes], outcomes, days, held_out)
                self._seen = numbers
            return self._held

    def _nothing(self) -> Held:
        count = len(self._columns)
        return Held((), np.full(count, _NONE, np.int8), np.full(count, _PENDING, np.int8), np.zeros(count, np.int32), 0)

    def _changed(
        self, connection: sa.Connection, chain: Sequence[str], numbers: Mapping[str, int]
    ) -> dict[int, tuple[int, int]]:
        """Outcome and day of what holds now of each sample that was reviewed since, by index."""
        new: sa.ColumnElement[bool] = sa.false()
        for job_id, number in numbers.items():
            seen = self._seen.get(job_id, 0)
            if number > seen:
                new |= (table.c.job_id == job_id) & table.c.seq.between(seen + 1, number)
        wanted = reviews.counting_for(self._job_id, chain)
        if self._seen:
            wanted &= table.c.sample_id.in_(sa.select(table.c.sample_id).where(new))
        ranked = (suspects.c.job_id == self._job_id) & (suspects.c.sample_id == table.c.sample_id)
        place = sa.case({job_id: place for place, job_id in enumerate(chain)}, value=table.c.job_id)
        rows = connection.execute(
            sa.select(suspects.c.index, _outcome(), table.c.created_at, table.c.sample_id, table.c.job_id)
            .join(suspects, ranked, isouter=True)
            .where(wanted)
            .order_by(table.c.created_at, place, table.c.seq)
        )
        # The last of a sample stays.
        found: dict[int, tuple[int, int]] = {}
        for index, outcome, created_at, sample_id, job_id in rows:
            if index is None:
                self._held_out[sample_id] = outcome != _PENDING and job_id == self._job_id
            else:
                found[index] = (outcome, 0 if outcome == _PENDING else created_at.date().toordinal())
        return found


def _outcome() -> sa.ColumnElement[int]:
    """What `review_outcome` says of the decision, restated for the label that the job ranked as `Review.about` does."""
    decision, now, suggested = table.c.decision, suspects.c.given_label, suspects.c.suggested_label
    right = sa.case((decision == "keep", sa.func.coalesce(table.c.given_label, now)), else_=table.c.label)
    names_class = decision.in_(("keep", "relabel"))
    places = {one: OUTCOMES.index(one) for one in OUTCOMES}
    return sa.case(
        (names_class & (right == now), places[Outcome.CONFIRMED]),
        (names_class & (right == suggested), places[Outcome.RELABELLED_TO_SUGGESTION]),
        (names_class, places[Outcome.RELABELLED_OTHERWISE]),
        (decision == "remove", places[Outcome.REMOVED]),
        (decision == "plausible", places[Outcome.PLAUSIBLE]),
        (decision == "unsure", places[Outcome.UNSURE]),
        else_=_PENDING,
    )
