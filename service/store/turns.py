"""Order in which waiting jobs and rescorings are begun: a fair share for each project.

The project with the fewest jobs at work comes first; of several such, the one whose last job began the longest ago. Within a project the
higher priority comes first, then the older job. So no project waits behind all jobs of another, whatever their number and priority.

Only jobs of the queues that the worker takes are looked at and counted. What a project has at work on GPUs does not delay its other jobs.

Rescorings are ordered among themselves in the same way. The database does not keep when one began. So of several projects the one whose
last rescoring ended the longest ago comes first.
"""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import TypeVar

import sqlalchemy as sa

from service.domain.job import ACTIVE, RUNNING, State
from service.domain.job_queue import JOB_QUEUES, JobQueue
from service.domain.rescoring import UNDER_WAY
from service.store import jobs as jobs_store
from service.store import rescorings as rescorings_store
from service.store.jobs import Claim
from service.store.projects import visible
from service.store.rescorings import RescoringClaim
from service.store.tables import jobs, rescorings

Held = TypeVar("Held", Claim, RescoringClaim)


def claim_next(
    connection: sa.Connection,
    owner: str,
    lease: timedelta,
    now: datetime,
    queues: Collection[JobQueue] = JOB_QUEUES,
) -> Claim | None:
    """Claim the job of these queues that is next; None where none waits."""
    return _claimed(
        lambda: next_job(connection, queues),
        lambda job_id: jobs_store.claim(connection, job_id, owner, lease, now),
    )


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


def claim_next_rescoring(
    connection: sa.Connection, owner: str, lease: timedelta, now: datetime
) -> RescoringClaim | None:
    """Claim the rescoring that is next; None where none waits."""
    return _claimed(
        lambda: next_rescoring(connection, now),
        lambda job_id: rescorings_store.claim(connection, job_id, owner, lease, now),
    )


def next_rescoring(connection: sa.Connection, now: datetime) -> str | None:
    """Id of the job that a worker would score again now; None where none waits. One whose lease has run out waits, too."""
    columns = (jobs.c.id, jobs.c.project, jobs.c.priority)
    under_way = (
        sa.select(*columns, rescorings.c.version, rescorings.c.created_at, rescorings_store.waits(now).label("waits"))
        .join(jobs, jobs.c.id == rescorings.c.job_id)
        .where(rescorings.c.state.in_(UNDER_WAY), visible(connection, jobs))
        .cte("under_way")
    )
    # One after the other for each job: its oldest alone is at work or waits for a worker.
    oldest = under_way.alias("oldest")
    first = sa.select(sa.func.min(oldest.c.version)).where(oldest.c.id == under_way.c.id).scalar_subquery()
    at_work = under_way.alias("at_work")
    busy = sa.select(sa.func.count()).where(at_work.c.project == under_way.c.project, ~at_work.c.waits)
    ended = (
        sa.select(sa.func.max(rescorings.c.finished_at))
        .join(jobs, jobs.c.id == rescorings.c.job_id)
        .where(jobs.c.project == under_way.c.project)
    )
    turn = (busy.scalar_subquery(), ended.scalar_subquery().nulls_first(), under_way.c.project)
    within = (under_way.c.priority.desc(), under_way.c.created_at, under_way.c.id)
    wanted = sa.select(under_way.c.id).where(under_way.c.waits, under_way.c.version == first)
    return connection.execute(wanted.order_by(*turn, *within).limit(1)).scalar_one_or_none()


def _claimed(following: Callable[[], str | None], claim: Callable[[str], Held | None]) -> Held | None:
    """The claim of whatever follows; None where nothing does."""
    refused: set[str] = set()
    while (job_id := following()) is not None and job_id not in refused:
        held = claim(job_id)
        if held is not None:
            return held
        # Another worker was quicker, and the next question sees what it has claimed.
        refused.add(job_id)
    return None


def count_by_queue(connection: sa.Connection) -> dict[JobQueue, int]:
    """Number of jobs of each queue that workers may begin, over all projects."""
    counted = sa.select(jobs.c.queue, sa.func.count()).where(jobs.c.state == State.QUEUED, ~jobs_store.to_be_pulled())
    found = {str(queue): int(number) for queue, number in connection.execute(counted.group_by(jobs.c.queue))}
    return {queue: found.get(queue, 0) for queue in JOB_QUEUES}
