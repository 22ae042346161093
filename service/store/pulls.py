"""Jobs whose samples are tasks of a labelling tool: what is to be pulled, what was pushed back, what is to be reconciled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from service.domain.connection import Policy, PullSource
from service.domain.job import ACTIVE, RUNNING, State
from service.store.tables import jobs, pulls, pushes


@dataclass(frozen=True)
class Pull:
    """Where the tasks of a job come from; no connection when it was deleted."""

    job_id: str
    connection_id: str | None
    project: int
    from_name: str | None
    policy: Policy
    waiting: bool
    origin: str
    asked_at: datetime | None


@dataclass(frozen=True)
class Push:
    """What a job wrote into the tool."""

    job_id: str
    review_project: int | None
    state: dict[str, Any]
    pushed_at: datetime


def add(connection: sa.Connection, job_id: str, source: PullSource) -> None:
    """The tasks of this job are to be pulled first."""
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


def hand_on(connection: sa.Connection, job_id: str, next_job_id: str) -> None:
    """Another job ranks the same tasks, which were pulled already."""
    found = get(connection, job_id)
    if found is not None:
        values = {**vars(found), "job_id": next_job_id, "waiting": False, "asked_at": None}
        connection.execute(pulls.insert().values(**values))


def get(connection: sa.Connection, job_id: str) -> Pull | None:
    """Where a job's tasks come from; None for a job of an upload."""
    return next(iter(_found(connection, pulls.c.job_id == job_id)), None)


def due(connection: sa.Connection, now: datetime) -> list[Pull]:
    """Pulls that nobody is at: their jobs wait, or whoever pulled has fallen silent."""
    open_jobs = sa.select(jobs.c.id).where(
        (jobs.c.state == State.QUEUED) | (jobs.c.state.in_(RUNNING) & (jobs.c.lease_until < now))
    )
    return _found(connection, pulls.c.waiting & pulls.c.job_id.in_(open_jobs))


def of_project(connection: sa.Connection, connection_id: str, project: int) -> list[Pull]:
    """The completed jobs over a project, or whose review project it is; the newest first."""
    reviewed = sa.select(pushes.c.job_id).where(pushes.c.review_project == project)
    completed = sa.select(jobs.c.id).where(jobs.c.state == State.COMPLETED)
    mine = (pulls.c.connection_id == connection_id) & pulls.c.job_id.in_(completed)
    found = _found(connection, mine & ((pulls.c.project == project) | pulls.c.job_id.in_(reviewed)))
    return sorted(found, key=lambda one: one.job_id, reverse=True)


def latest(connection: sa.Connection, connection_id: str, project: int) -> tuple[str, State] | None:
    """The newest job over a project, in whatever state."""
    row = connection.execute(
        sa.select(jobs.c.id, jobs.c.state)
        .join(pulls, pulls.c.job_id == jobs.c.id)
        .where(pulls.c.connection_id == connection_id, pulls.c.project == project)
        .order_by(jobs.c.created_at.desc(), jobs.c.id.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else (row.id, State(row.state))


def active(connection: sa.Connection, connection_id: str, project: int) -> str | None:
    """A job over a project that has not ended, or None."""
    wanted = (
        sa.select(jobs.c.id)
        .join(pulls, pulls.c.job_id == jobs.c.id)
        .where(pulls.c.connection_id == connection_id, pulls.c.project == project, jobs.c.state.in_(ACTIVE))
    )
    return connection.execute(wanted.limit(1)).scalar_one_or_none()


def ask(connection: sa.Connection, connection_id: str, project: int, now: datetime) -> int:
    """Something happened in a project: its jobs are to be reconciled. Asking often is asking once."""
    ids = [one.job_id for one in of_project(connection, connection_id, project)]
    if ids:
        connection.execute(pulls.update().where(pulls.c.job_id.in_(ids)).values(asked_at=now))
    return len(ids)


def asked(connection: sa.Connection, quiet: timedelta, now: datetime) -> list[Pull]:
    """Jobs that are to be reconciled now, nothing having happened for a while."""
    return _found(connection, pulls.c.asked_at <= now - quiet)


def reconciled(connection: sa.Connection, one: Pull) -> None:
    """It was done, unless it was asked for again meanwhile."""
    connection.execute(
        pulls.update().where(pulls.c.job_id == one.job_id, pulls.c.asked_at == one.asked_at).values(asked_at=None)
    )


def push_of(connection: sa.Connection, job_id: str) -> Push | None:
    """What a job wrote into the tool, or None."""
    row = connection.execute(pushes.select().where(pushes.c.job_id == job_id)).mappings().one_or_none()
    return None if row is None else Push(**row)


def pushes_of(connection: sa.Connection, job_ids: Sequence[str]) -> dict[str, Push]:
    """What these jobs wrote into the tool, by job."""
    rows = connection.execute(pushes.select().where(pushes.c.job_id.in_(job_ids))).mappings()
    return {row["job_id"]: Push(**row) for row in rows}


def keep_push(
    connection: sa.Connection, job_id: str, state: Mapping[str, Any], review_project: int | None, now: datetime
) -> None:
    """Write down what was pushed, in place of what was before."""
    connection.execute(pushes.delete().where(pushes.c.job_id == job_id))
    connection.execute(
        pushes.insert().values(job_id=job_id, state=dict(state), review_project=review_project, pushed_at=now)
    )


def _found(connection: sa.Connection, wanted: sa.ColumnElement[bool]) -> list[Pull]:
    rows = connection.execute(pulls.select().where(wanted).order_by(pulls.c.job_id)).mappings()
    return [Pull(**row) for row in rows]
