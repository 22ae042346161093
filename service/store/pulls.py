"""Jobs over the tasks of a labelling tool: pulls of tasks, pushes of results, and requests to reconcile decisions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from service.domain.connection import PullSource
from service.domain.dataset import AnnotationPolicy, ClientWarning, DatasetInfo, Inferred, Modality
from service.domain.job import State
from service.store import leases
from service.store.tables import jobs, pulls, pushes


@dataclass(frozen=True)
class Pull:
    """The source of a job's tasks. `connection_id` is None where the connection was deleted.

    `waiting`: the tasks are not pulled yet. `origin` is the job that pulled them. `asked_at` is when reconciling was requested,
    `reconciled_at` when it was last done or tried, `seen` the state of the project then, `trouble` why it failed.
    """

    job_id: str
    connection_id: str | None
    project: int
    from_name: str | None
    policy: AnnotationPolicy
    waiting: bool
    origin: str
    asked_at: datetime | None
    reconciled_at: datetime | None
    seen: str | None
    trouble: str | None


@dataclass(frozen=True)
class Push:
    """Record of what a job wrote into the tool."""

    job_id: str
    review_project: int | None
    state: dict[str, Any]
    pushed_at: datetime


def placeholder_digest(job_id: str) -> str:
    """Digest of the placeholder dataset of a job whose tasks are not pulled yet."""
    return f"pull:{job_id}"


def placeholder_dataset(
    dataset_id: str, job_id: str, name: str, modality: Modality, classes: Sequence[str], now: datetime
) -> DatasetInfo:
    """Dataset without rows, which stands for the tasks of a job until they are pulled."""
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
        warnings=[ClientWarning(code="pulling", detail="the tasks are still being read; rows are counted afterwards")],
        created_at=now,
    )


def add(connection: sa.Connection, job_id: str, source: PullSource) -> None:
    """Record that the tasks of a job are to be pulled before it can be queued."""
    connection.execute(
        pulls.insert().values(
            job_id=job_id,
            connection_id=source.connection,
            project=source.project,
            from_name=source.from_name,
            policy=source.annotation_policy,
            waiting=True,
            origin=job_id,
        )
    )


def copy_to_job(connection: sa.Connection, job_id: str, next_job_id: str) -> None:
    """Record that another job ranks the same tasks, which were pulled already."""
    found = get(connection, job_id)
    if found is not None:
        fresh = {"waiting": False, "asked_at": None, "reconciled_at": None, "seen": None, "trouble": None}
        connection.execute(pulls.insert().values(**{**vars(found), "job_id": next_job_id, **fresh}))


def get(connection: sa.Connection, job_id: str) -> Pull | None:
    """The pull of a job; None for a job over an uploaded dataset."""
    return next(iter(_found(connection, pulls.c.job_id == job_id)), None)


def due(connection: sa.Connection) -> list[Pull]:
    """Pulls to be done now: their jobs are queued, or the lease of the process that pulled has run out."""
    open_jobs = sa.select(jobs.c.id).where((jobs.c.state == State.QUEUED) | leases.abandoned())
    return _found(connection, pulls.c.waiting & pulls.c.job_id.in_(open_jobs))


def completed(connection: sa.Connection, connection_id: str | None = None) -> list[Pull]:
    """Pulls of the completed jobs over a connection, or over every existing connection, the newest job first."""
    mine = pulls.c.connection_id.is_not(None) if connection_id is None else pulls.c.connection_id == connection_id
    rows = connection.execute(
        sa.select(pulls)
        .join(jobs, jobs.c.id == pulls.c.job_id)
        .where(mine, jobs.c.state == State.COMPLETED)
        .order_by(jobs.c.created_at.desc(), jobs.c.id.desc())
    ).mappings()
    return [Pull(**row) for row in rows]


def to_reconcile(connection: sa.Connection) -> list[Pull]:
    """Pulls of the jobs whose samples people may be reviewing: the newest completed job over each project, and all pushed ones."""
    found = completed(connection)
    newest = {(one.connection_id, one.project): one.job_id for one in reversed(found)}
    pushed = get_pushes(connection, [one.job_id for one in found])
    return [one for one in found if one.job_id in pushed or newest[one.connection_id, one.project] == one.job_id]


def jobs_of_project(connection: sa.Connection, connection_id: str | None, project: int) -> list[str]:
    """Ids of all jobs over a project."""
    mine = (pulls.c.connection_id == connection_id) & (pulls.c.project == project)
    return list(connection.execute(sa.select(pulls.c.job_id).where(mine)).scalars())


def request_reconcile(connection: sa.Connection, connection_id: str, project: int, now: datetime) -> int:
    """Ask to reconcile the jobs over a project, or over the review project `project`, and give how many were asked for.

    Until a request is claimed, later ones change nothing.
    """
    mine = [one for one in to_reconcile(connection) if one.connection_id == connection_id]
    pushed = get_pushes(connection, [one.job_id for one in mine])
    reviewed = {job_id for job_id, push in pushed.items() if push.review_project == project}
    return _ask(connection, [one.job_id for one in mine if one.project == project or one.job_id in reviewed], now)


def request_again(connection: sa.Connection, job_id: str, now: datetime) -> None:
    """Ask to reconcile a job that was claimed and could not be read yet."""
    _ask(connection, [job_id], now)


def request_overdue(connection: sa.Connection, every: timedelta, now: datetime) -> int:
    """Ask to reconcile the jobs that were last reconciled before `now - every`, and give how many were asked for."""
    due = [
        one.job_id for one in to_reconcile(connection) if one.reconciled_at is None or one.reconciled_at <= now - every
    ]
    return _ask(connection, due, now)


def _ask(connection: sa.Connection, job_ids: Sequence[str], now: datetime) -> int:
    asked = pulls.c.job_id.in_(job_ids) & pulls.c.asked_at.is_(None)
    return connection.execute(pulls.update().where(asked).values(asked_at=now)).rowcount if job_ids else 0


def requested(connection: sa.Connection, wait: timedelta, now: datetime) -> list[Pull]:
    """Pulls whose reconciling was requested before `now - wait`: a burst of events is then handled once."""
    return _found(connection, pulls.c.asked_at <= now - wait)


def claim(connection: sa.Connection, one: Pull, now: datetime) -> bool:
    """Claim a request to reconcile; False where another process was quicker. Later requests are new ones."""
    mine = (pulls.c.job_id == one.job_id) & (pulls.c.asked_at == one.asked_at)
    return connection.execute(pulls.update().where(mine).values(asked_at=None, reconciled_at=now)).rowcount > 0


def record_reconciled(connection: sa.Connection, job_id: str, seen: str | None, now: datetime) -> None:
    """Record a reconciling that was done; `seen` is the state of the project before it."""
    values = {"seen": seen, "trouble": None, "reconciled_at": now}
    connection.execute(pulls.update().where(pulls.c.job_id == job_id).values(**values))


def record_failure(connection: sa.Connection, job_id: str, trouble: str, retry_at: datetime) -> None:
    """Record why reconciling failed; it is tried again at `retry_at`."""
    connection.execute(pulls.update().where(pulls.c.job_id == job_id).values(trouble=trouble, asked_at=retry_at))


def get_push(connection: sa.Connection, job_id: str) -> Push | None:
    """The push of a job, or None."""
    row = connection.execute(pushes.select().where(pushes.c.job_id == job_id)).mappings().one_or_none()
    return None if row is None else Push(**row)


def get_pushes(connection: sa.Connection, job_ids: Sequence[str]) -> dict[str, Push]:
    """The pushes of these jobs, by job."""
    rows = connection.execute(pushes.select().where(pushes.c.job_id.in_(job_ids))).mappings()
    return {row["job_id"]: Push(**row) for row in rows}


def save_push(
    connection: sa.Connection, job_id: str, state: Mapping[str, Any], review_project: int | None, now: datetime
) -> None:
    """Write the push of a job in place of an earlier one."""
    connection.execute(pushes.delete().where(pushes.c.job_id == job_id))
    connection.execute(
        pushes.insert().values(job_id=job_id, state=dict(state), review_project=review_project, pushed_at=now)
    )


def _found(connection: sa.Connection, wanted: sa.ColumnElement[bool]) -> list[Pull]:
    rows = connection.execute(pulls.select().where(wanted).order_by(pulls.c.job_id)).mappings()
    return [Pull(**row) for row in rows]
