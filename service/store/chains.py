"""Chains of jobs: a job and its reruns. All rank the same samples, with the labels that these had when each job began."""

from typing import Any

import sqlalchemy as sa

from service.store.tables import loops, reviews


def job_ids(connection: sa.Connection, job_id: str) -> list[str]:
    """Ids of the jobs of a chain, the oldest first: those before `job_id`, itself, and those after it.

    Some of them may have been deleted.
    """
    return list(connection.execute(_IDS, {"job_id": job_id}).scalars())


def last_reviews(connection: sa.Connection, job_id: str) -> dict[str, int]:
    """The jobs of a chain, the oldest first, each with the number of the latest review in its list; 0 where there is none."""
    return {each: number or 0 for each, number in connection.execute(_LAST_REVIEWS, {"job_id": job_id})}


def _every() -> sa.Subquery:
    start = sa.bindparam("job_id", type_=sa.String)
    before = sa.select(sa.cast(start, sa.String).label("id"), sa.literal(0).label("place")).cte(
        "before", recursive=True
    )
    before = before.union_all(
        sa.select(loops.c.job_id, before.c.place - 1).where(loops.c.next_job_id == before.c.id),
    )
    after = sa.select(sa.cast(start, sa.String).label("id"), sa.literal(0).label("place")).cte("after", recursive=True)
    after = after.union_all(
        sa.select(loops.c.next_job_id, after.c.place + 1).where(
            loops.c.job_id == after.c.id, loops.c.next_job_id.is_not(None)
        )
    )
    return sa.union(sa.select(before), sa.select(after)).subquery()


def _of_chain(*columns: Any) -> sa.Select[Any]:
    return sa.select(_EVERY.c.id, *columns).order_by(_EVERY.c.place)


# Asked at almost every request, and so built once.
_EVERY = _every()
_IDS = _of_chain()
# One look at the end of an index for each job: to group would be to read every review.
_LAST_REVIEWS = _of_chain(
    sa.select(sa.func.max(reviews.c.seq)).where(reviews.c.job_id == _EVERY.c.id).scalar_subquery()
)
