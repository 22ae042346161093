"""Chains of jobs: a job and its reruns. All rank the same samples, with the labels that these had when each job began."""

import sqlalchemy as sa

from service.store.tables import loops


def job_ids(connection: sa.Connection, job_id: str) -> list[str]:
    """Ids of the jobs of a chain, the oldest first: those before `job_id`, itself, and those after it.

    Some of them may have been deleted.
    """
    before = sa.select(sa.literal(job_id).label("id"), sa.literal(0).label("place")).cte("before", recursive=True)
    before = before.union_all(
        sa.select(loops.c.job_id, before.c.place - 1).where(loops.c.next_job_id == before.c.id),
    )
    after = sa.select(sa.literal(job_id).label("id"), sa.literal(0).label("place")).cte("after", recursive=True)
    after = after.union_all(
        sa.select(loops.c.next_job_id, after.c.place + 1).where(
            loops.c.job_id == after.c.id, loops.c.next_job_id.is_not(None)
        )
    )
    every = sa.union(sa.select(before), sa.select(after)).subquery()
    return list(connection.execute(sa.select(every.c.id).order_by(every.c.place)).scalars())
