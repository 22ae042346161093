"""Jobs and their states. A state has one writer at a time and changes by compare-and-set.

Everything a worker writes is fenced by its `Claim`: when another worker took the job over, or the client cancelled
it, the same call finds no row to change and raises `LeaseLost`. Nothing else needs to be locked.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, field_validator

from service.domain.estimate import with_statuses
from service.domain.job import ACTIVE, ENDED, RUNNING, JobError, Progress, State, states_before
from service.domain.job_queue import JobQueue, queue_of
from service.domain.specs import JobSpec
from service.store import counters, job_events, leases, loops, networks
from service.store.projects import project_of_new_rows, unique_in, visible
from service.store.pulls import placeholder_digest
from service.store.tables import datasets, jobs, pulls
from service.store.tables import loops as loops_table

_BATCH = 500  # ids in one statement
_WAITING = "waiting for a worker"


class LeaseLost(Exception):
    """The claim no longer holds: the job was cancelled or deleted, or another worker has claimed it."""


@dataclass(frozen=True)
class Claim:
    """The right to write to a job, until another worker claims it.

    `owner` must differ from claim to claim, because `attempt` starts from 1 again when a cancelled job is queued again.
    """

    job_id: str
    owner: str
    attempt: int


class Job(BaseModel):
    """A job as it is stored."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    project: str
    dataset_id: str
    reference_dataset_id: str | None
    spec: JobSpec
    priority: int
    queue: JobQueue
    state: State
    progress: Progress
    attempts: int
    owner: str | None
    lease_until: datetime | None
    error: JobError | None
    result: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @field_validator("result", mode="before")
    @classmethod
    def _add_statuses(cls, result: dict[str, Any] | None) -> dict[str, Any] | None:
        return None if result is None else with_statuses(result)


def add(connection: sa.Connection, job_id: str, spec: JobSpec, now: datetime) -> None:
    """Write a new job as queued. The caller sends the message to the queue after the commit."""
    reference = spec.reference.dataset if spec.reference else None
    progress = Progress(detail=_WAITING)
    connection.execute(
        jobs.insert().values(
            id=job_id,
            name=spec.name,
            project=project_of_new_rows(connection),
            dataset_id=spec.dataset,
            reference_dataset_id=reference,
            spec=spec.model_dump(mode="json"),
            priority=spec.priority,
            queue=queue_of(spec),
            state=State.QUEUED,
            progress=progress.model_dump(),
            attempts=0,
            created_at=now,
            woken_at=now,
        )
    )
    job_events.record(connection, job_id, "state", {"state": State.QUEUED}, now)
    if spec.model.network is not None:
        networks.link_job(connection, job_id, spec.model.network)
    if spec.loop is not None:
        loops.add(connection, job_id, spec.loop)


def get(connection: sa.Connection, job_id: str) -> Job | None:
    """One job, or None."""
    wanted = jobs.select().where(jobs.c.id == job_id, visible(connection, jobs))
    row = connection.execute(wanted).mappings().one_or_none()
    return Job.model_validate(dict(row)) if row else None


def exists(connection: sa.Connection, job_id: str) -> bool:
    """Whether a job is there: neither unknown nor deleted."""
    wanted = sa.select(jobs.c.id).where(jobs.c.id == job_id, visible(connection, jobs))
    return connection.execute(wanted).first() is not None


def claim(
    connection: sa.Connection, job_id: str, owner: str, lease: timedelta, now: datetime, *, to_pull: bool = False
) -> Claim | None:
    """Claim a job that is queued, or whose lease has run out (`leases.end`); None where the job is neither.

    A job whose tasks are still in a labelling tool can be claimed only with `to_pull`, other jobs only without it.
    """
    waiting = jobs.c.state == State.QUEUED
    fitting = to_be_pulled() if to_pull else ~to_be_pulled()
    claimed = connection.execute(
        jobs.update()
        .where(jobs.c.id == job_id, waiting | leases.abandoned(), fitting)
        .values(
            state=State.PREPARING,
            owner=owner,
            attempts=jobs.c.attempts + 1,
            lease_until=now + lease,
            started_at=sa.func.coalesce(jobs.c.started_at, now),
            progress=Progress(phase=State.PREPARING, detail="loading the dataset").model_dump(),
        )
        .returning(jobs.c.attempts, jobs.c.lost_at)
    ).one_or_none()
    if claimed is None:
        return None
    attempt = int(claimed.attempts)
    job_events.record(connection, job_id, "state", {"state": State.PREPARING, "attempt": attempt}, now)
    if claimed.lost_at is not None:
        connection.execute(jobs.update().where(jobs.c.id == job_id).values(lost_at=None))
        waited = max((now - claimed.lost_at).total_seconds(), 0.0)
        counters.count(connection, counters.RECOVERED, seconds=waited)
    if attempt > 1:
        counters.count(connection, counters.RESTARTED)
    return Claim(job_id, owner, attempt)


def is_held(connection: sa.Connection, held: Claim) -> bool:
    """Whether a claim holds: no other worker has claimed the job."""
    mine = (jobs.c.id == held.job_id) & (jobs.c.owner == held.owner) & jobs.c.state.in_(RUNNING)
    return connection.execute(sa.select(jobs.c.id).where(mine)).first() is not None


def renew(connection: sa.Connection, held: Claim, progress: Progress, lease: timedelta, now: datetime) -> None:
    """Extend the lease and write the progress. Raises LeaseLost."""
    _write(connection, held, lease_until=now + lease, progress=progress.model_dump())


def advance(connection: sa.Connection, held: Claim, state: State, progress: Progress, now: datetime) -> None:
    """Enter the next state of the computation. Raises LeaseLost."""
    _write(connection, held, state=state, progress=progress.model_dump())
    job_events.record(connection, held.job_id, "state", {"state": state}, now)


def decide_model(connection: sa.Connection, held: Claim, spec: JobSpec) -> None:
    """Record the spec with the model that the job trains, for this attempt and all later ones. Raises LeaseLost."""
    _write(connection, held, spec=spec.model_dump(mode="json"), queue=queue_of(spec))


def record_first(connection: sa.Connection, held: Claim, result: Mapping[str, Any], now: datetime) -> None:
    """Write the result of a first ranking, in the transaction that writes the ranking. Raises LeaseLost."""
    _write(connection, held, result=dict(result))
    job_events.record(connection, held.job_id, "ranking", {"stage": result["stage"]}, now)


def complete(connection: sa.Connection, held: Claim, result: Mapping[str, Any], now: datetime) -> None:
    """End a job as completed, in the transaction that writes its ranking. Raises LeaseLost."""
    progress = Progress(fraction=1, phase=State.COMPLETED, eta_seconds=0)
    _write(
        connection,
        held,
        state=State.COMPLETED,
        result=dict(result),
        progress=progress.model_dump(),
        finished_at=now,
        owner=None,
        lease_until=None,
    )
    job_events.record(connection, held.job_id, "state", {"state": State.COMPLETED}, now)


def replace_result(connection: sa.Connection, job_id: str, result: Mapping[str, Any]) -> None:
    """Write another result of a completed job, in the transaction that changes its ranking."""
    connection.execute(jobs.update().where(jobs.c.id == job_id).values(result=dict(result)))


def queue_pulled(connection: sa.Connection, held: Claim, spec: JobSpec, now: datetime) -> None:
    """Put a job whose tasks were pulled into the queue, with the spec that names their dataset. Raises LeaseLost."""
    _write(connection, held, dataset_id=spec.dataset, spec=spec.model_dump(mode="json"), queue=queue_of(spec))
    connection.execute(pulls.update().where(pulls.c.job_id == held.job_id).values(waiting=False))
    requeue(connection, held, now)


def fail(connection: sa.Connection, held: Claim, error: JobError, now: datetime) -> None:
    """End a job as failed. Raises LeaseLost."""
    _write(
        connection,
        held,
        state=State.FAILED,
        error=error.model_dump(),
        result=sa.null(),
        finished_at=now,
        owner=None,
        lease_until=None,
    )
    job_events.record(connection, held.job_id, "state", {"state": State.FAILED, "error": error.model_dump()}, now)
    counters.count(connection, counters.ENDED, State.FAILED)


def requeue(
    connection: sa.Connection,
    held: Claim,
    now: datetime,
    *,
    counted: bool = False,
    waits_for: str = "a worker",
) -> None:
    """Put a job back into the queue, because this worker is stopping, or cannot go on now. Raises LeaseLost.

    An orderly stop is no failure of the job: it does not use up an attempt, unless it is `counted`.
    """
    _write(
        connection,
        held,
        state=State.QUEUED,
        attempts=held.attempt if counted else held.attempt - 1,
        progress=Progress(detail=f"waiting for {waits_for}").model_dump(),
        owner=None,
        lease_until=None,
        woken_at=None,
    )
    job_events.record(connection, held.job_id, "state", {"state": State.QUEUED}, now)


def cancel(connection: sa.Connection, job_id: str, now: datetime) -> bool:
    """Cancel a job that has not ended, and give whether there was one; its worker notices at its next write."""
    cancelled = _move(
        connection, job_id, State.CANCELLED, now, result=sa.null(), finished_at=now, owner=None, lease_until=None
    )
    if cancelled:
        counters.count(connection, counters.ENDED, State.CANCELLED)
    return cancelled


def retry(connection: sa.Connection, job_id: str, now: datetime) -> bool:
    """Queue a failed or cancelled job again with no attempts counted. False where the job is neither."""
    return _move(
        connection,
        job_id,
        State.QUEUED,
        now,
        among=frozenset({State.FAILED, State.CANCELLED}),
        error=None,
        started_at=None,
        finished_at=None,
        lost_at=None,
        woken_at=now,
        progress=Progress(detail=_WAITING).model_dump(),
    )


def remove(connection: sa.Connection, job_id: str) -> bool:
    """Delete a job that has ended, with its ranking, events and reviews. False where it has not ended.

    In its chain, the job before it is then followed by the job after it.
    """
    following = connection.execute(sa.select(loops_table.c.next_job_id).where(loops_table.c.job_id == job_id)).scalar()
    ended = jobs.delete().where(jobs.c.id == job_id, jobs.c.state.not_in(ACTIVE), visible(connection, jobs))
    project = connection.execute(ended.returning(jobs.c.project)).scalar_one_or_none()
    if project is None:
        return False
    if following is not None:
        bridged = loops_table.update().where(loops_table.c.next_job_id == job_id)
        connection.execute(bridged.values(next_job_id=following))
    # A dataset whose tasks were never pulled goes with its job.
    placeholder = unique_in(project, placeholder_digest(job_id))
    connection.execute(datasets.delete().where(datasets.c.digest == placeholder))
    return True


def page(
    connection: sa.Connection,
    *,
    state: State | None = None,
    dataset: str | None = None,
    name: str | None = None,
    before: tuple[datetime, str] | None = None,
    limit: int = 50,
) -> tuple[list[Job], int]:
    """The newest jobs first, older than `before` (created_at, id), and how many there are in all."""
    wanted = visible(connection, jobs)
    if state is not None:
        wanted &= jobs.c.state == state
    if dataset is not None:
        wanted &= jobs.c.dataset_id == dataset
    if name is not None:
        wanted &= jobs.c.name == name
    total = connection.execute(sa.select(sa.func.count()).select_from(jobs).where(wanted)).scalar_one()
    older = sa.true() if before is None else sa.tuple_(jobs.c.created_at, jobs.c.id) < sa.tuple_(*before)
    rows = connection.execute(
        jobs.select().where(wanted & older).order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(limit)
    ).mappings()
    return [Job.model_validate(dict(row)) for row in rows], total


def ended_before(connection: sa.Connection, before: datetime) -> Sequence[str]:
    """Ids of the jobs that ended before then, the oldest first."""
    wanted = sa.select(jobs.c.id).where(jobs.c.state.in_(ENDED), jobs.c.finished_at < before)
    return connection.execute(wanted.order_by(jobs.c.finished_at)).scalars().all()


def count_by_state(connection: sa.Connection) -> dict[State, int]:
    """Number of jobs in each state that occurs."""
    rows = connection.execute(sa.select(jobs.c.state, sa.func.count()).group_by(jobs.c.state))
    return {State(state): count for state, count in rows}


def count_waiting(connection: sa.Connection) -> int:
    """Number of queued jobs of the project whose rows the connection writes."""
    mine = (jobs.c.state == State.QUEUED) & (jobs.c.project == project_of_new_rows(connection))
    return connection.execute(sa.select(sa.func.count()).select_from(jobs).where(mine)).scalar_one()


def any_due(connection: sa.Connection, waited: timedelta, now: datetime) -> bool:
    """Whether `take_due` may find something."""
    found = sa.select(jobs.c.id).where(_is_due(waited, now)).limit(1)
    return connection.execute(found).first() is not None


def take_due(
    connection: sa.Connection,
    waited: timedelta,
    max_attempts: int,
    now: datetime,
    *,
    besides: Collection[str] = (),
) -> list[tuple[str, int, JobQueue]]:
    """Ids, priorities and queues of jobs that need a message in the queue; they are marked as sent at `now`.

    These are jobs whose lease has run out, jobs that were put back, and queued jobs whose last message was sent before
    `now - waited`; not those in `besides`, whose messages wait. A job that was abandoned `max_attempts` times is failed
    instead, because it would stop every worker.
    """
    failed = _fail_abandoned(connection, leases.abandoned() & (jobs.c.attempts >= max_attempts), max_attempts, now)
    found = connection.execute(sa.select(jobs.c.id).where(_is_due(waited, now), ~to_be_pulled())).scalars()
    wanted = [job_id for job_id in found if job_id not in besides]
    woken: list[tuple[str, int, JobQueue]] = []
    for start in range(0, len(wanted), _BATCH):
        chosen = jobs.c.id.in_(wanted[start : start + _BATCH]) & _is_due(waited, now)
        marked = jobs.update().where(chosen).values(woken_at=now).returning(jobs.c.id, jobs.c.priority, jobs.c.queue)
        woken += [(row.id, row.priority, row.queue) for row in connection.execute(marked)]
    if failed:
        counters.count(connection, counters.ENDED, State.FAILED, number=failed)
    return woken


def say_untaken(connection: sa.Connection, queue: JobQueue) -> None:
    """Write into the progress of the waiting jobs of a queue that no worker alive takes them."""
    waiting = (jobs.c.queue == queue) & (jobs.c.state == State.QUEUED)
    unsaid = jobs.c.progress["detail"].as_string() == _WAITING
    progress = Progress(detail=f"{_WAITING} of the queue {queue}").model_dump()
    connection.execute(jobs.update().where(waiting, unsaid, ~to_be_pulled()).values(progress=progress))


def _is_due(waited: timedelta, now: datetime) -> sa.ColumnElement[bool]:
    # A time in the future was written before the clock was set back.
    overdue = jobs.c.woken_at.is_(None) | (jobs.c.woken_at < now - waited) | (jobs.c.woken_at > now)
    return ((jobs.c.state == State.QUEUED) | leases.abandoned()) & overdue


def _fail_abandoned(connection: sa.Connection, abandoned: sa.ColumnElement[bool], attempts: int, now: datetime) -> int:
    error = JobError(
        code="worker_lost",
        detail=f"{attempts} workers were lost while computing this job, most often because memory ran out",
    ).model_dump()
    failed = connection.execute(
        jobs.update()
        .where(abandoned)
        .values(state=State.FAILED, error=error, result=sa.null(), finished_at=now, owner=None, lease_until=None)
        .returning(jobs.c.id)
    )
    ids = failed.scalars().all()
    for job_id in ids:
        job_events.record(connection, job_id, "state", {"state": State.FAILED, "error": error}, now)
    return len(ids)


def to_be_pulled() -> sa.ColumnElement[bool]:
    """Whether the tasks of a job are still in a labelling tool, so that no worker can do it."""
    return sa.exists().where(pulls.c.job_id == jobs.c.id, pulls.c.waiting)


def _write(connection: sa.Connection, held: Claim, **values: Any) -> None:
    allowed = states_before(values["state"]) & RUNNING if "state" in values else RUNNING
    changed = connection.execute(
        jobs.update()
        .where(
            jobs.c.id == held.job_id,
            jobs.c.owner == held.owner,
            jobs.c.attempts == held.attempt,
            jobs.c.state.in_(allowed),
        )
        .values(**values)
    )
    if changed.rowcount == 0:
        raise LeaseLost(held.job_id)


def _move(
    connection: sa.Connection,
    job_id: str,
    state: State,
    now: datetime,
    *,
    among: frozenset[State] | None = None,
    **values: Any,
) -> bool:
    allowed = states_before(state) if among is None else states_before(state) & among
    if state == State.QUEUED:
        values["attempts"] = 0
    changed = connection.execute(
        jobs.update()
        .where(jobs.c.id == job_id, jobs.c.state.in_(allowed), visible(connection, jobs))
        .values(state=state, **values)
    )
    if changed.rowcount == 0:
        return False
    job_events.record(connection, job_id, "state", {"state": state}, now)
    return True
