"""Jobs whose samples are tasks of a labelling tool: what is to be pulled, what was pushed back, what is to be reconciled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from service.domain.connection import PullSource
from service.domain.dataset import AnnotationPolicy
from service.domain.job import RUNNING, State
from service.store.tables import jobs, pulls, pushes


@dataclass(frozen=True)
class Pull:
    """Where the tasks of a job come from; no connection when it was deleted."""

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


def copy_to_job(connection: sa.Connection, job_id: str, next_job_id: str) -> None:
    """Another job ranks the same tasks, which were pulled already."""
    found = get(connection, job_id)
    if found is not None:
        fresh = {"waiting": False, "asked_at": None, "reconciled_at": None, "seen": None, "trouble": None}
        connection.execute(pulls.insert().values(**{**vars(found), "job_id": next_job_id, **fresh}))


def get(connection: sa.Connection, job_id: str) -> Pull | None:
    """Where a job's tasks come from; None for a job of an upload."""
    return next(iter(_found(connection, pulls.c.job_id == job_id)), None)


def due(connection: sa.Connection, now: datetime) -> list[Pull]:
    """Pulls that nobody is at: their jobs wait, or whoever pulled has fallen silent."""
    open_jobs = sa.select(jobs.c.id).where(
        (jobs.c.state == State.QUEUED) | (jobs.c.state.in_(RUNNING) & (jobs.c.lease_until < now))
    )
    return _found(connection, pulls.c.waiting & pulls.c.job_id.in_(open_jobs))


def completed(connection: sa.Connection, connection_id: str | None = None) -> list[Pull]:
    """The completed jobs over a connection, or over any that is still there, the newest first."""
    mine = pulls.c.connection_id.is_not(None) if connection_id is None else pulls.c.connection_id == connection_id
    rows = connection.execute(
        sa.select(pulls)
        .join(jobs, jobs.c.id == pulls.c.job_id)
        .where(mine, jobs.c.state == State.COMPLETED)
        .order_by(jobs.c.created_at.desc(), jobs.c.id.desc())
    ).mappings()
    return [Pull(**row) for row in rows]


def to_reconcile(connection: sa.Connection) -> list[Pull]:
    """The jobs whose samples people may be deciding on: the newest completed one over each project, and all that were pushed."""
    found = completed(connection)
    newest = {(one.connection_id, one.project): one.job_id for one in reversed(found)}
    pushed = get_pushes(connection, [one.job_id for one in found])
    return [one for one in found if one.job_id in pushed or newest[one.connection_id, one.project] == one.job_id]


def jobs_of_project(connection: sa.Connection, connection_id: str | None, project: int) -> list[str]:
    """Every job over a project."""
    mine = (pulls.c.connection_id == connection_id) & (pulls.c.project == project)
    return list(connection.execute(sa.select(pulls.c.job_id).where(mine)).scalars())


def request_reconcile(connection: sa.Connection, connection_id: str, project: int, now: datetime) -> int:
    """Something happened in a project, or in the project of a job's suspects: its jobs are to be reconciled.

    Asking often is asking once: the first time counts until it is taken up.
    """
    mine = [one for one in to_reconcile(connection) if one.connection_id == connection_id]
    pushed = get_pushes(connection, [one.job_id for one in mine])
    reviewed = {job_id for job_id, push in pushed.items() if push.review_project == project}
    return _ask(connection, [one.job_id for one in mine if one.project == project or one.job_id in reviewed], now)


def request_overdue(connection: sa.Connection, every: timedelta, now: datetime) -> int:
    """Ask for those that nobody looked after for a while."""
    due = [
        one.job_id for one in to_reconcile(connection) if one.reconciled_at is None or one.reconciled_at <= now - every
    ]
    return _ask(connection, due, now)


def _ask(connection: sa.Connection, job_ids: Sequence[str], now: datetime) -> int:
    asked = pulls.c.job_id.in_(job_ids) & pulls.c.asked_at.is_(None)
    return connection.execute(pulls.update().where(asked).values(asked_at=now)).rowcount if job_ids else 0


def requested(connection: sa.Connection, wait: timedelta, now: datetime) -> list[Pull]:
    """Jobs that are to be reconciled and were asked for a while ago: what comes in a burst is done once."""
    return _found(connection, pulls.c.asked_at <= now - wait)


def claim(connection: sa.Connection, one: Pull, now: datetime) -> bool:
    """Whether it is ours to reconcile. What is asked for from now on is done once more."""
    mine = (pulls.c.job_id == one.job_id) & (pulls.c.asked_at == one.asked_at)
    return connection.execute(pulls.update().where(mine).values(asked_at=None, reconciled_at=now)).rowcount > 0


def record_reconciled(connection: sa.Connection, job_id: str, seen: str | None, now: datetime) -> None:
    """It was done; `seen` is what the project looked like before."""
    values = {"seen": seen, "trouble": None, "reconciled_at": now}
    connection.execute(pulls.update().where(pulls.c.job_id == job_id).values(**values))


def record_failure(connection: sa.Connection, job_id: str, trouble: str, again: datetime) -> None:
    """It could not be done, and is tried again then."""
    connection.execute(pulls.update().where(pulls.c.job_id == job_id).values(trouble=trouble, asked_at=again))


def get_push(connection: sa.Connection, job_id: str) -> Push | None:
    """What a job wrote into the tool, or None."""
    row = connection.execute(pushes.select().where(pushes.c.job_id == job_id)).mappings().one_or_none()
    return None if row is None else Push(**row)


def get_pushes(connection: sa.Connection, job_ids: Sequence[str]) -> dict[str, Push]:
    """What these jobs wrote into the tool, by job."""
    rows = connection.execute(pushes.select().where(pushes.c.job_id.in_(job_ids))).mappings()
    return {row["job_id"]: Push(**row) for row in rows}


def save_push(
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
