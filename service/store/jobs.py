"""The ledger of jobs. A state has one writer at a time and changes by compare-and-set.

Everything a worker writes is fenced by its `Claim`: when another worker took the job over, or the client cancelled
it, the same call finds no row to change and raises `LeaseLost`. Nothing else needs to be locked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict

from service.domain.dataset import ClientWarning, DatasetInfo, Inferred, Modality
from service.domain.job import ACTIVE, ENDED, RUNNING, JobError, Progress, State, states_before
from service.domain.specs import JobSpec, Reference
from service.store import loops, networks, webhooks
from service.store.tables import datasets, job_events, jobs, pulls
from service.store.tables import loops as loops_table


class LeaseLost(Exception):
    """The job is no longer this worker's: it was cancelled, deleted, or another worker has it."""


@dataclass(frozen=True)
class Claim:
    """The right to write to a job, as long as nobody else has claimed it since.

    `owner` must differ from claim to claim: a cancelled job that is queued again counts its attempts anew.
    """

    job_id: str
    owner: str
    attempt: int


class Job(BaseModel):
    """A row of the ledger."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    dataset_id: str
    reference_dataset_id: str | None
    spec: JobSpec
    priority: int
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


class JobEvent(BaseModel):
    """One thing that happened to a job; `seq` counts from 1 within the job."""

    model_config = ConfigDict(frozen=True)

    seq: int
    kind: str
    data: dict[str, Any]
    created_at: datetime


def add(connection: sa.Connection, job_id: str, spec: JobSpec, now: datetime) -> None:
    """Write a new job as queued. The queue is told by the caller, after the commit."""
    reference = spec.reference.dataset if spec.reference else None
    progress = Progress(detail="waiting for a worker")
    connection.execute(
        jobs.insert().values(
            id=job_id,
            name=spec.name,
            dataset_id=spec.dataset,
            reference_dataset_id=reference,
            spec=spec.model_dump(mode="json"),
            priority=spec.priority,
            state=State.QUEUED,
            progress=progress.model_dump(),
            attempts=0,
            created_at=now,
            woken_at=now,
        )
    )
    record_event(connection, job_id, "state", {"state": State.QUEUED}, now)
    if spec.model.network is not None:
        networks.link_job(connection, job_id, spec.model.network)
    if spec.loop is not None:
        loops.add(connection, job_id, spec.loop)


def get(connection: sa.Connection, job_id: str) -> Job | None:
    """One job, or None."""
    row = connection.execute(jobs.select().where(jobs.c.id == job_id)).mappings().one_or_none()
    return Job.model_validate(dict(row)) if row else None


def claim(
    connection: sa.Connection, job_id: str, owner: str, lease: timedelta, now: datetime, *, to_pull: bool = False
) -> Claim | None:
    """Take a job that waits, or one whose worker has fallen silent; None when there is nothing to take.

    A job whose tasks are still in a labelling tool is taken by whoever comes `to_pull` them, and by nobody else.
    """
    waiting = jobs.c.state == State.QUEUED
    abandoned = jobs.c.state.in_(RUNNING) & (jobs.c.lease_until < now)
    fitting = _to_be_pulled() if to_pull else ~_to_be_pulled()
    attempt = connection.execute(
        jobs.update()
        .where(jobs.c.id == job_id, waiting | abandoned, fitting)
        .values(
            state=State.PREPARING,
            owner=owner,
            attempts=jobs.c.attempts + 1,
            lease_until=now + lease,
            started_at=sa.func.coalesce(jobs.c.started_at, now),
            progress=Progress(phase=State.PREPARING, detail="loading the dataset").model_dump(),
        )
        .returning(jobs.c.attempts)
    ).scalar_one_or_none()
    if attempt is None:
        return None
    record_event(connection, job_id, "state", {"state": State.PREPARING, "attempt": attempt}, now)
    return Claim(job_id, owner, attempt)


def renew(connection: sa.Connection, held: Claim, progress: Progress, lease: timedelta, now: datetime) -> None:
    """Heartbeat: prolong the lease and show the progress. Raises LeaseLost."""
    _write(connection, held, lease_until=now + lease, progress=progress.model_dump())


def advance(connection: sa.Connection, held: Claim, state: State, progress: Progress, now: datetime) -> None:
    """Enter the next state of the computation. Raises LeaseLost."""
    _write(connection, held, state=state, progress=progress.model_dump())
    record_event(connection, held.job_id, "state", {"state": state}, now)


def complete(connection: sa.Connection, held: Claim, result: Mapping[str, Any], now: datetime) -> None:
    """Finish; call it in the transaction that writes the ranking. Raises LeaseLost."""
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
    record_event(connection, held.job_id, "state", {"state": State.COMPLETED}, now)


def queue_pulled(
    connection: sa.Connection, held: Claim, dataset: str, reference: Reference | None, now: datetime
) -> None:
    """The tasks of a job are in this dataset now: put it into the queue, with this reference. Raises LeaseLost."""
    _write(connection, held, dataset_id=dataset)
    spec = connection.execute(sa.select(jobs.c.spec).where(jobs.c.id == held.job_id)).scalar_one()
    chosen = None if reference is None else reference.model_dump()
    _write(connection, held, spec={**spec, "dataset": dataset, "reference": chosen})
    connection.execute(pulls.update().where(pulls.c.job_id == held.job_id).values(waiting=False))
    requeue(connection, held, now)


def fail(connection: sa.Connection, held: Claim, error: JobError, now: datetime) -> None:
    """End with an error. Raises LeaseLost."""
    _write(
        connection,
        held,
        state=State.FAILED,
        error=error.model_dump(),
        finished_at=now,
        owner=None,
        lease_until=None,
    )
    record_event(connection, held.job_id, "state", {"state": State.FAILED, "error": error.model_dump()}, now)


def requeue(connection: sa.Connection, held: Claim, now: datetime) -> None:
    """Put a job back into the queue, because this worker is stopping. Raises LeaseLost."""
    # An orderly stop is no failure of the job: it does not use up an attempt.
    _write(
        connection,
        held,
        state=State.QUEUED,
        attempts=held.attempt - 1,
        progress=Progress(detail="waiting for a worker").model_dump(),
        owner=None,
        lease_until=None,
        woken_at=None,
    )
    record_event(connection, held.job_id, "state", {"state": State.QUEUED}, now)


def cancel(connection: sa.Connection, job_id: str, now: datetime) -> bool:
    """Cancel a job that has not ended; its worker notices at its next write. False when it had ended."""
    return _move(connection, job_id, State.CANCELLED, now, finished_at=now, owner=None, lease_until=None)


def retry(connection: sa.Connection, job_id: str, now: datetime) -> bool:
    """Queue a failed or cancelled job again, its attempts counted anew. False when it was neither."""
    return _move(
        connection,
        job_id,
        State.QUEUED,
        now,
        among=frozenset({State.FAILED, State.CANCELLED}),
        error=None,
        started_at=None,
        finished_at=None,
        woken_at=now,
        progress=Progress(detail="waiting for a worker").model_dump(),
    )


def remove(connection: sa.Connection, job_id: str) -> bool:
    """Delete a job that has ended, with its ranking, events and reviews. False when it has not.

    The job that it followed is then followed by its own next one, where there is one.
    """
    following = connection.execute(sa.select(loops_table.c.next_job_id).where(loops_table.c.job_id == job_id)).scalar()
    gone = connection.execute(jobs.delete().where(jobs.c.id == job_id, jobs.c.state.not_in(ACTIVE)))
    if gone.rowcount and following is not None:
        bridged = loops_table.update().where(loops_table.c.next_job_id == job_id)
        connection.execute(bridged.values(next_job_id=following))
    # What was never pulled is no dataset.
    if gone.rowcount:
        connection.execute(datasets.delete().where(datasets.c.digest == placeholder_digest(job_id)))
    return gone.rowcount > 0


def placeholder_digest(job_id: str) -> str:
    """Stands for the digest of a dataset as long as this job's tasks are still to be pulled."""
    return f"pull:{job_id}"


def placeholder_dataset(
    dataset_id: str, job_id: str, name: str, modality: Modality, classes: Sequence[str], now: datetime
) -> DatasetInfo:
    """Stands for the dataset that the tasks of a job will be."""
    return DatasetInfo(
        id=dataset_id,
        name=name,
        modality=modality,
        rows=0,
        classes=sorted(classes),
        class_counts=dict.fromkeys(sorted(classes), 0),
        features=[],
        splits={"train": 0},
        digest=placeholder_digest(job_id),
        skipped_rows=0,
        inferred=Inferred(modality=modality, format="label studio"),
        warnings=[ClientWarning(code="pulling", detail="its tasks are still being read; rows are counted afterwards")],
        created_at=now,
    )


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
    wanted: sa.ColumnElement[bool] = sa.true()
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


def count_by_state(connection: sa.Connection) -> dict[State, int]:
    """How many jobs stand in each state that occurs."""
    rows = connection.execute(sa.select(jobs.c.state, sa.func.count()).group_by(jobs.c.state))
    return {State(state): count for state, count in rows}


def take_due(
    connection: sa.Connection, waited: timedelta, max_attempts: int, now: datetime, *, again: bool = True
) -> list[tuple[str, int]]:
    """Ids and priorities of the jobs to tell the queue of, which are marked as told.

    They were abandoned by their worker, handed back, or are queued and were last told of before `now - waited`; the
    latter only if `again`, since a message may well still wait. A job that was abandoned `max_attempts` times is failed instead: whatever kills its workers would do so for ever.
    """
    abandoned = jobs.c.state.in_(RUNNING) & (jobs.c.lease_until < now)
    _fail_hopeless(connection, abandoned & (jobs.c.attempts >= max_attempts), max_attempts, now)
    untold = jobs.c.woken_at.is_(None)
    silent = untold | (jobs.c.woken_at < now - waited)
    waiting = (jobs.c.state == State.QUEUED) & (silent if again else untold)
    woken = connection.execute(
        jobs.update()
        .where(waiting | (abandoned & silent), ~_to_be_pulled())
        .values(woken_at=now)
        .returning(jobs.c.id, jobs.c.priority)
    )
    return [(job_id, priority) for job_id, priority in woken]


def _fail_hopeless(connection: sa.Connection, hopeless: sa.ColumnElement[bool], attempts: int, now: datetime) -> None:
    error = JobError(
        code="worker_lost",
        detail=f"{attempts} workers vanished while computing this job, most often because memory ran out",
    ).model_dump()
    failed = connection.execute(
        jobs.update()
        .where(hopeless)
        .values(state=State.FAILED, error=error, finished_at=now, owner=None, lease_until=None)
        .returning(jobs.c.id)
    )
    for job_id in failed.scalars().all():
        record_event(connection, job_id, "state", {"state": State.FAILED, "error": error}, now)


def record_event(connection: sa.Connection, job_id: str, kind: str, data: Mapping[str, Any], now: datetime) -> None:
    """Append an event; `kind` is state, progress or metrics."""
    # Two writers of one job would otherwise draw the same number.
    connection.execute(sa.select(jobs.c.id).where(jobs.c.id == job_id).with_for_update())
    last = sa.select(sa.func.coalesce(sa.func.max(job_events.c.seq), 0) + 1).where(job_events.c.job_id == job_id)
    connection.execute(
        job_events.insert().values(
            job_id=job_id, seq=last.scalar_subquery(), kind=kind, data=dict(data), created_at=now
        )
    )
    if kind == "state" and data["state"] in ENDED:
        webhooks.add_delivery(connection, job_id, str(data["state"]), data.get("error"), now)


def events_after(connection: sa.Connection, job_id: str, after: int) -> Sequence[JobEvent]:
    """What happened after event number `after`, in order."""
    wanted = job_events.select().where(job_events.c.job_id == job_id, job_events.c.seq > after)
    rows = connection.execute(wanted.order_by(job_events.c.seq)).mappings()
    return [JobEvent.model_validate(dict(row)) for row in rows]


def last_epoch(connection: sa.Connection, job_id: str) -> int:
    """The last epoch whose metrics were recorded, by whichever attempt; 0 when none was."""
    metrics = sa.select(job_events.c.data).where(job_events.c.job_id == job_id, job_events.c.kind == "metrics")
    return max((int(data["epoch"]) for data in connection.execute(metrics).scalars()), default=0)


def _to_be_pulled() -> sa.ColumnElement[bool]:
    return jobs.c.id.in_(sa.select(pulls.c.job_id).where(pulls.c.waiting))


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
        jobs.update().where(jobs.c.id == job_id, jobs.c.state.in_(allowed)).values(state=state, **values)
    )
    if changed.rowcount == 0:
        return False
    record_event(connection, job_id, "state", {"state": state}, now)
    return True
