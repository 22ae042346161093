"""Decisions that hold of a job's ranked samples, kept in memory and brought up to date by the reviews written since.

A page of a ranking asks which samples were reviewed at every request; reading 100,000 reviews each time would take a second.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from service.domain.review import StandingDecision
from service.store import chains, reviews
from service.store.ranking_columns import RankingColumns
from service.store.tables import reviews as table
from service.store.tables import suspects

Array = npt.NDArray[Any]
DECISIONS: tuple[str, ...] = get_args(StandingDecision)
_NONE = -1


class Standing:
    """The decision on each ranked sample of one job, in terms of its labels. Threads may share it."""

    def __init__(self, job_id: str, columns: RankingColumns) -> None:
        self._job_id, self._columns = job_id, columns
        self._codes = np.full(len(columns), _NONE, np.int8)
        self._seen: dict[str, int] = {}
        self._lock = threading.Lock()

    def decisions(self, connection: sa.Connection) -> Array:
        """The place in DECISIONS of what holds now of each row, -1 where nothing does: int8 n."""
        with self._lock:
            chain = chains.job_ids(connection, self._job_id)
            numbers = {job_id: reviews.last_number(connection, job_id) for job_id in chain}
            if any(numbers.get(job_id, 0) < seen for job_id, seen in self._seen.items()):
                # A job of the chain was deleted, its reviews with it.
                self._codes, self._seen = np.full_like(self._codes, _NONE), {}
            if numbers != self._seen:
                found = self._changed(connection, chain, numbers)
                codes = self._codes.copy()  # another thread may be reading the array
                rows = self._columns.rows_at(list(found))
                codes[rows] = list(found.values())
                self._codes, self._seen = codes, numbers
            return self._codes

    def _changed(self, connection: sa.Connection, chain: Sequence[str], numbers: Mapping[str, int]) -> dict[int, int]:
        """What holds now of each sample that was reviewed since, by index."""
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
            sa.select(suspects.c.index, _code())
            .join(suspects, ranked)
            .where(wanted)
            .order_by(table.c.created_at, place, table.c.seq)
        )
        return {row[0]: row[1] for row in rows}  # the last of a sample stays


def _code() -> sa.ColumnElement[int]:
    """The decision restated for the label that the job ranked, as `Review.about` does, as a place in DECISIONS."""
    decision, now = table.c.decision, suspects.c.given_label
    kept = (decision == "keep") & (sa.func.coalesce(table.c.given_label, now) == now)
    return sa.case(
        (kept | ((decision == "relabel") & (table.c.label == now)), DECISIONS.index("keep")),
        (decision.in_(("keep", "relabel")), DECISIONS.index("relabel")),
        (decision == "remove", DECISIONS.index("remove")),
        (decision == "plausible", DECISIONS.index("plausible")),
        (decision == "unsure", DECISIONS.index("unsure")),
        else_=_NONE,
    )
