"""Jobs that are run again once enough labels have changed. Each is followed by one job at most."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from service.domain.job import State
from service.domain.specs import Loop
from service.store import chains, outcomes
from service.store.tables import dataset_versions, jobs, loops, reviews

_LABELS = ("relabel", "remove")


@dataclass(frozen=True)
class _Waiting:
    """A loop whose job is completed and was not followed yet; `said_at` is the time of the last review of its chain.

    `said` are the reviews that may change something: no fewer than the samples that are changed.
    """

    job_id: str
    after: int | None
    quiet: timedelta
    cool_down: timedelta
    asked_at: datetime | None
    finished_at: datetime
    said_at: datetime | None
    said: int

    def is_ripe(self, now: datetime) -> bool:
        """Whether enough may have changed, nobody is in the middle of it, and the last run is long enough ago."""
        last = max((moment for moment in (self.said_at, self.asked_at) if moment is not None), default=None)
        wanted = self.asked_at is not None or (self.after is not None and self.said >= self.after)
        if last is None or not wanted:
            return False
        return last + self.quiet <= now and self.finished_at + self.cool_down <= now


def add(connection: sa.Connection, job_id: str, loop: Loop) -> None:
    """Run this job again by these rules."""
    connection.execute(
        loops.insert().values(
            job_id=job_id,
            after=loop.after,
            quiet_seconds=loop.quiet_seconds,
            cool_down_seconds=loop.cool_down_seconds,
        )
    )


def request_rerun(connection: sa.Connection, job_id: str, now: datetime, loop: Loop, *, afresh: bool = False) -> bool:
    """Run this job again however few labels changed; False when another job followed it already, and did not fail.

    A job without a loop of its own gets the pauses of `loop`, and no number of changes. Asking often is asking once.
    With `afresh` its tasks are pulled once more.
    """
    # One asks after the other, so that only the first begins the loop.
    connection.execute(sa.select(jobs.c.id).where(jobs.c.id == job_id).with_for_update())
    found = connection.execute(sa.select(loops.c.next_job_id).where(loops.c.job_id == job_id)).one_or_none()
    if found is None:
        add(connection, job_id, loop)
        connection.execute(loops.update().where(loops.c.job_id == job_id).values(after=None))
    alive = sa.select(jobs.c.id).where(jobs.c.state.not_in((State.FAILED, State.CANCELLED)))
    free = loops.c.next_job_id.is_(None) | loops.c.next_job_id.not_in(alive)
    values = {"asked_at": now, "trouble": None, "next_job_id": None, "afresh": afresh}
    return connection.execute(loops.update().where(loops.c.job_id == job_id, free).values(**values)).rowcount > 0


def due_reruns(connection: sa.Connection, now: datetime) -> list[str]:
    """Ids of the jobs to run again now."""
    return [
        one.job_id
        for one in _waiting(connection)
        if one.is_ripe(now)
        and (one.asked_at is not None or outcomes.count_changed_labels(connection, one.job_id) >= (one.after or 0))
    ]


def pulls_again(connection: sa.Connection, job_id: str) -> bool:
    """Whether a job is to be run again over what its labelling tool has now."""
    return bool(connection.execute(sa.select(loops.c.afresh).where(loops.c.job_id == job_id)).scalar_one_or_none())


def set_next_job(connection: sa.Connection, job_id: str, next_job_id: str) -> bool:
    """Note which job follows; False when another was quicker. Call it in the transaction that adds the next job."""
    done = connection.execute(
        loops.update().where(loops.c.job_id == job_id, loops.c.next_job_id.is_(None)).values(next_job_id=next_job_id)
    )
    return done.rowcount > 0


def is_rerun(connection: sa.Connection, job_id: str) -> bool:
    """Whether this job is another one run again."""
    return bool(connection.execute(sa.select(sa.exists().where(loops.c.next_job_id == job_id))).scalar_one())


def record_failure(connection: sa.Connection, job_id: str, trouble: str) -> None:
    """Note why the job cannot be run again; the next review, or being asked again, tries anew."""
    connection.execute(
        loops.update().where(loops.c.job_id == job_id).values(trouble=trouble, asked_at=None, afresh=False)
    )


@dataclass(frozen=True)
class LoopStatus:
    """How far a loop is: the job that follows, or why none can."""

    next_job_id: str | None
    trouble: str | None


def statuses(connection: sa.Connection, job_ids: Sequence[str]) -> dict[str, LoopStatus]:
    """How the loops of these jobs stand, of those that have one."""
    wanted = sa.select(loops.c.job_id, loops.c.next_job_id, loops.c.trouble).where(loops.c.job_id.in_(job_ids))
    return {row.job_id: LoopStatus(row.next_job_id, row.trouble) for row in connection.execute(wanted)}


def _waiting(connection: sa.Connection) -> list[_Waiting]:
    corrected = sa.exists().where(dataset_versions.c.dataset_id == jobs.c.dataset_id).label("corrected")
    rows = connection.execute(
        sa.select(loops, jobs.c.created_at, jobs.c.finished_at, corrected)
        .join(jobs, jobs.c.id == loops.c.job_id)
        .where(loops.c.next_job_id.is_(None), loops.c.trouble.is_(None), jobs.c.state == State.COMPLETED)
    ).all()
    found = []
    for row in rows:
        quiet = timedelta(seconds=row.quiet_seconds)
        # It was begun when nobody had said anything for the quiet time: older reviews of the others are in its labels,
        # unless these were pulled anew.
        said_at, said = _said(connection, row.job_id, row.created_at - quiet if row.corrected else None)
        found.append(
            _Waiting(
                job_id=row.job_id,
                after=row.after,
                quiet=quiet,
                cool_down=timedelta(seconds=row.cool_down_seconds),
                asked_at=row.asked_at,
                finished_at=row.finished_at,
                said_at=said_at,
                said=said,
            )
        )
    return found


def _said(connection: sa.Connection, job_id: str, since: datetime | None) -> tuple[datetime | None, int]:
    """When a review was given to the chain last, and how many may change labels of its newest job.

    To keep a sample in another job may be to change it here. Of the others only reviews after `since` count.
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
