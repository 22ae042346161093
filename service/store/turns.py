"""Order in which waiting jobs are begun: a fair share for each project.

The project with the fewest jobs at work comes first; of several such, the one whose last job began the longest ago. Within a project the
higher priority comes first, then the older job. So no project waits behind all jobs of another, whatever their number and priority.

Only jobs of the queues that the worker takes are looked at and counted. What a project has at work on GPUs does not delay its other jobs.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

import sqlalchemy as sa

from service.domain.job import ACTIVE, RUNNING, State
from service.domain.job_queue import JOB_QUEUES, JobQueue
from service.store import jobs as jobs_store
from service.store.jobs import Claim
from service.store.projects import visible
from service.store.tables import jobs


def claim_next(
    connection: sa.Connection,
    owner: str,
    lease: timedelta,
    now: datetime,
    queues: Collection[JobQueue] = JOB_QUEUES,
) -> Claim | None:
    """Claim the job of these queues that is next; None where none waits."""
    refused: set[str] = set()
    while (job_id := next_job(connection, queues)) is not None and job_id not in refused:
        held = jobs_store.claim(connection, job_id, owner, lease, now)
        if held is not None:
            return held
        # Another worker was quicker, and the next question sees what it has claimed.
        refused.add(job_id)
    return None


def next_job(connection: sa.Connection, queues: Collection[JobQueue] = JOB_QUEUES) -> str | None:
    """Id of the job that a worker of these queues would begin now; None where none waits."""
    # Left out for all queues: their jobs have an index without it.
    taken = sa.true() if set(queues) == set(JOB_QUEUES) else jobs.c.queue.in_(queues)
    columns = (jobs.c.id, jobs.c.project, jobs.c.priority, jobs.c.state, jobs.c.lease_until, jobs.c.created_at)
    # Materialized, so that ended jobs, which are most, are looked for in no other way than by their state.
    active = (
        sa.select(*columns)
        .where(jobs.c.state.in_(ACTIVE), taken, ~jobs_store.to_be_pulled(), visible(connection, jobs))
        .cte("active")
        .prefix_with("MATERIALIZED")
    )
    at_work = active.c.state.in_(RUNNING) & active.c.lease_until.is_not(None)
    began = sa.select(sa.func.max(jobs.c.started_at)).where(jobs.c.project == active.c.project, taken)
    last_began = began.correlate(active).scalar_subquery()
    turn = (
        sa.select(active.c.project)
        .group_by(active.c.project)
        .having(sa.func.count().filter(~at_work) > 0)
        .order_by(sa.func.count().filter(at_work), last_began.nulls_first(), active.c.project)
        .limit(1)
        .scalar_subquery()
    )
    # The same table under another name: a subquery would otherwise take the rows of the query around it.
    waiting = active.alias("waiting")
    idle = (waiting.c.state == State.QUEUED) | waiting.c.lease_until.is_(None)
    order = (waiting.c.priority.desc(), waiting.c.created_at, waiting.c.id)
    wanted = sa.select(waiting.c.id).where(idle, waiting.c.project == turn).order_by(*order).limit(1)
    return connection.execute(wanted).scalar_one_or_none()


def count_by_queue(connection: sa.Connection) -> dict[JobQueue, int]:
    """Number of jobs of each queue that workers may begin, over all projects."""
    counted = sa.select(jobs.c.queue, sa.func.count()).where(jobs.c.state == State.QUEUED, ~jobs_store.to_be_pulled())
    found = {str(queue): int(number) for queue, number in connection.execute(counted.group_by(jobs.c.queue))}
    return {queue: found.get(queue, 0) for queue in JOB_QUEUES}
