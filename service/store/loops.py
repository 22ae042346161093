"""Reruns: jobs that are run again once enough labels have changed. At most one job follows each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from service.domain.job import State
from service.domain.specs import Loop
from service.store import chains, outcomes
from service.store.tables import dataset_versions, jobs, loops, reviews

_LABELS = ("relabel", "remove")


@dataclass(frozen=True)
class _Waiting:
    """A loop whose job is completed and has no next job.

    `reviewed_at` is the time of the last review in its chain; `reviews` is the number of reviews that may change labels, an upper
    bound of the changed labels. `after` is the number of changes that starts a rerun, None for a rerun on request alone.
    """

    job_id: str
    after: int | None
    quiet: timedelta
    cool_down: timedelta
    asked_at: datetime | None
    finished_at: datetime
    reviewed_at: datetime | None
    reviews: int

    @property
    def due_at(self) -> datetime | None:
        """When the pauses after the last review and the last run are over; None where too few labels can have changed."""
        last = max((moment for moment in (self.reviewed_at, self.asked_at) if moment is not None), default=None)
        wanted = self.asked_at is not None or (self.after is not None and self.reviews >= self.after)
        if last is None or not wanted:
            return None
        return max(last + self.quiet, self.finished_at + self.cool_down)


def add(connection: sa.Connection, job_id: str, loop: Loop) -> None:
    """Record the rules by which a job is run again."""
    connection.execute(
        loops.insert().values(
            job_id=job_id,
            after=loop.after,
            quiet_seconds=loop.quiet_seconds,
            cool_down_seconds=loop.cool_down_seconds,
        )
    )


def is_requested(connection: sa.Connection, job_id: str) -> bool:
    """Whether a rerun was requested that has not begun. Requests after this one wait until the transaction ends."""
    connection.execute(sa.select(jobs.c.id).where(jobs.c.id == job_id).with_for_update())
    wanted = (loops.c.job_id == job_id) & loops.c.asked_at.is_not(None)
    return bool(connection.execute(sa.select(sa.exists().where(wanted, loops.c.next_job_id.is_(None)))).scalar_one())


def request_rerun(
    connection: sa.Connection, job_id: str, now: datetime, loop: Loop, *, afresh: bool = False, at_once: bool = False
) -> bool:
    """Ask for a rerun however few labels changed; False where a next job exists that has not failed.

    A job without a loop gets the pauses of `loop`. Repeated requests start one rerun. With `afresh` its tasks are pulled again,
    with `at_once` it waits for no pause.
    """
    # The row lock lets one request pass at a time, so that only the first adds the loop.
    connection.execute(sa.select(jobs.c.id).where(jobs.c.id == job_id).with_for_update())
    found = connection.execute(sa.select(loops.c.next_job_id).where(loops.c.job_id == job_id)).one_or_none()
    if found is None:
        add(connection, job_id, loop)
        connection.execute(loops.update().where(loops.c.job_id == job_id).values(after=None))
    alive = sa.select(jobs.c.id).where(jobs.c.state.not_in((State.FAILED, State.CANCELLED)))
    free = loops.c.next_job_id.is_(None) | loops.c.next_job_id.not_in(alive)
    values: dict[str, Any] = {"asked_at": now, "trouble": None, "next_job_id": None, "afresh": afresh}
    if at_once:
        values |= {"quiet_seconds": 0.0, "cool_down_seconds": 0.0}
    return connection.execute(loops.update().where(loops.c.job_id == job_id, free).values(**values)).rowcount > 0


def due_reruns(connection: sa.Connection, now: datetime) -> list[str]:
    """Ids of the jobs whose rerun is due now."""
    return [
        one.job_id
        for one in _waiting(connection)
        if one.due_at is not None
        and one.due_at <= now
        and (one.asked_at is not None or outcomes.count_changed_labels(connection, one.job_id) >= (one.after or 0))
    ]


def pulls_again(connection: sa.Connection, job_id: str) -> bool:
    """Whether the rerun of a job pulls its tasks again from the labelling tool."""
    return bool(connection.execute(sa.select(loops.c.afresh).where(loops.c.job_id == job_id)).scalar_one_or_none())


def set_next_job(connection: sa.Connection, job_id: str, next_job_id: str) -> bool:
    """Record the next job, in the transaction that adds it; False where another process was quicker."""
    done = connection.execute(
        loops.update().where(loops.c.job_id == job_id, loops.c.next_job_id.is_(None)).values(next_job_id=next_job_id)
    )
    return done.rowcount > 0


def is_rerun(connection: sa.Connection, job_id: str) -> bool:
    """Whether a job is the rerun of another."""
    return bool(connection.execute(sa.select(sa.exists().where(loops.c.next_job_id == job_id))).scalar_one())


def record_failure(connection: sa.Connection, job_id: str, trouble: str) -> None:
    """Record why a job cannot be run again. The next review or request tries again."""
    connection.execute(
        loops.update().where(loops.c.job_id == job_id).values(trouble=trouble, asked_at=None, afresh=False)
    )


@dataclass(frozen=True)
class LoopStatus:
    """State of a loop: the next job, or why there can be none, or when one starts that was asked for."""

    next_job_id: str | None
    trouble: str | None
    starts_at: datetime | None = None


def statuses(connection: sa.Connection, job_ids: Sequence[str]) -> dict[str, LoopStatus]:
    """The states of the loops of these jobs, by job; jobs without a loop are left out."""
    columns = (loops.c.job_id, loops.c.next_job_id, loops.c.trouble, loops.c.asked_at)
    wanted = sa.select(*columns).where(loops.c.job_id.in_(job_ids))
    rows = connection.execute(wanted).all()
    asked = [row.job_id for row in rows if row.asked_at is not None and row.next_job_id is None]
    starts = {one.job_id: one.due_at for one in _waiting(connection, asked)} if asked else {}
    return {row.job_id: LoopStatus(row.next_job_id, row.trouble, starts.get(row.job_id)) for row in rows}


def previous_jobs(connection: sa.Connection, job_ids: Sequence[str]) -> dict[str, str]:
    """The jobs that these are reruns of, by the rerun; others are left out."""
    wanted = sa.select(loops.c.next_job_id, loops.c.job_id).where(loops.c.next_job_id.in_(job_ids))
    return {row.next_job_id: row.job_id for row in connection.execute(wanted)}


def _waiting(connection: sa.Connection, job_ids: Sequence[str] | None = None) -> list[_Waiting]:
    corrected = sa.exists().where(dataset_versions.c.dataset_id == jobs.c.dataset_id).label("corrected")
    rows = connection.execute(
        sa.select(loops, jobs.c.created_at, jobs.c.finished_at, corrected)
        .join(jobs, jobs.c.id == loops.c.job_id)
        .where(loops.c.next_job_id.is_(None), loops.c.trouble.is_(None), jobs.c.state == State.COMPLETED)
        .where(sa.true() if job_ids is None else loops.c.job_id.in_(job_ids))
        .order_by(jobs.c.created_at, jobs.c.id)
    ).all()
    found = []
    for row in rows:
        quiet = timedelta(seconds=row.quiet_seconds)
        # A rerun begins after a quiet time without reviews, so its labels contain all earlier reviews of the chain,
        # unless its tasks were pulled again.
        reviewed_at, count = _last_review(connection, row.job_id, row.created_at - quiet if row.corrected else None)
        found.append(
            _Waiting(
                job_id=row.job_id,
                after=row.after,
                quiet=quiet,
                cool_down=timedelta(seconds=row.cool_down_seconds),
                asked_at=row.asked_at,
                finished_at=row.finished_at,
                reviewed_at=reviewed_at,
                reviews=count,
            )
        )
    return found


def _last_review(connection: sa.Connection, job_id: str, since: datetime | None) -> tuple[datetime | None, int]:
    """Time of the last review in the chain of a job, and the number of reviews that may change the job's labels.

    "keep" in another job of the chain may change a label here. Reviews of other jobs count only after `since`.
    """
    own = (reviews.c.job_id == job_id) & reviews.c.decision.in_(_LABELS)
    late = (reviews.c.job_id != job_id) & reviews.c.decision.in_((*_LABELS, "keep"))
    if since is not None:
        late &= reviews.c.created_at > since
    found = connection.execute(
        sa.select(
            sa.func.max(reviews.c.created_at, type_=reviews.c.created_at.type).label("at"),
            sa.func.count().filter(own | late).label("number"),
        ).where(reviews.c.job_id.in_(chains.job_ids(connection, job_id)))
    ).one()
    return found.at, found.number
