"""Rescorings: completed jobs whose samples are scored again, without a training, by what people have verified since.

Each makes another version of the ranking, from 1; the job itself made version 0, and before that, perhaps, a first one while it ran. As
with jobs, a state changes by compare-and-set, and a worker writes by its claim alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict

from service.domain.job import ACTIVE, JobError, State
from service.domain.rescoring import UNDER_WAY, RescoringState
from service.domain.stage import FIRST
from service.store.blobs import Blobs, ranking_name
from service.store.tables import jobs, rescorings, reviews

_WRITER = (rescorings.c.owner, rescorings.c.attempts)
# Made once: every request asks for it, and to make a statement takes longer than to execute it.
_NEWEST = (
    sa.select(sa.func.max(rescorings.c.version))
    .where(rescorings.c.job_id == sa.bindparam("job_id"), rescorings.c.state == "completed")
    .scalar_subquery()
)
_JOB_VERSION = sa.select(jobs.c.state, _NEWEST.label("newest")).where(jobs.c.id == sa.bindparam("job_id"))


class RescoringLost(Exception):
    """The claim no longer holds: the job was deleted, or another worker has claimed the rescoring."""


@dataclass(frozen=True)
class RescoringClaim:
    """The right to write a version of a job's ranking, until another worker claims it."""

    job_id: str
    version: int
    owner: str
    attempt: int


class Rescoring(BaseModel):
    """A rescoring as it is stored. `reviews`: number of the job's last review when it was asked for; `samples`: verified ones."""

    model_config = ConfigDict(frozen=True)

    version: int
    state: RescoringState
    reviews: int
    samples: int | None
    error: JobError | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class JobVersion:
    """The state of a job, and the version of the ranking that it has now; 0 is that of the job itself, FIRST one that it gives before."""

    state: State
    version: int


def job_version(connection: sa.Connection, job_id: str) -> JobVersion | None:
    """Those of a job, or None where it is not there."""
    row = connection.execute(_JOB_VERSION, {"job_id": job_id}).one_or_none()
    if row is None:
        return None
    return JobVersion(State(row.state), FIRST if row.state in ACTIVE else row.newest or 0)


def version(connection: sa.Connection, job_id: str) -> int:
    """The version of the ranking that a job has now; 0 also where it is not there."""
    found = job_version(connection, job_id)
    return 0 if found is None else found.version


def folder(connection: sa.Connection, blobs: Blobs, job_id: str, version: int) -> Path:
    """The folder of a version of a job's ranking that was completed: that of the attempt which completed it."""
    if version <= 0:
        return blobs.ranking(job_id, version)
    mine = (rescorings.c.job_id == job_id) & (rescorings.c.version == version)
    row = connection.execute(sa.select(*_WRITER).where(mine)).one_or_none()
    return blobs.ranking(job_id, version, 1 if row is None else _attempt(row.owner, row.attempts))


def folder_names(connection: sa.Connection, job_ids: Sequence[str]) -> set[tuple[str, str]]:
    """Jobs, and names of the folders of those versions of their rankings that were completed, or are being written."""
    wanted = rescorings.c.job_id.in_(job_ids) & rescorings.c.state.in_(("running", "completed"))
    rows = connection.execute(sa.select(rescorings.c.job_id, rescorings.c.version, *_WRITER).where(wanted))
    return {(row.job_id, ranking_name(row.version, _attempt(row.owner, row.attempts))) for row in rows}


def latest(connection: sa.Connection, job_id: str) -> Rescoring | None:
    """The last one that was asked for."""
    return latest_of(connection, [job_id]).get(job_id)


def latest_of(connection: sa.Connection, job_ids: Sequence[str]) -> dict[str, Rescoring]:
    """The last ones of these jobs, by job."""
    wanted = rescorings.select().where(rescorings.c.job_id.in_(job_ids)).order_by(rescorings.c.version)
    rows = connection.execute(wanted).mappings()
    return {row["job_id"]: Rescoring.model_validate(dict(row)) for row in rows}


def request(connection: sa.Connection, job_id: str, reviewed: int, now: datetime) -> Rescoring:
    """Ask for a rescoring, and give it, or the one that waits already. The caller tells the queue after the commit.

    One that a worker computes has read its reviews, so that another follows it.
    """
    # Two who ask at once would otherwise get the same version.
    connection.execute(sa.select(jobs.c.id).where(jobs.c.id == job_id).with_for_update())
    last = latest(connection, job_id)
    if last is not None and last.state == "queued":
        return last
    following = 1 if last is None else last.version + 1
    connection.execute(
        rescorings.insert().values(
            job_id=job_id,
            version=following,
            state="queued",
            reviews=reviewed,
            attempts=0,
            created_at=now,
            woken_at=now,
        )
    )
    return Rescoring(
        version=following,
        state="queued",
        reviews=reviewed,
        samples=None,
        error=None,
        created_at=now,
        finished_at=None,
    )


def claim(connection: sa.Connection, job_id: str, owner: str, lease: timedelta, now: datetime) -> RescoringClaim | None:
    """Claim the rescoring of a job that waits, or whose worker has let its lease run out; None where there is none."""
    earlier = rescorings.alias("earlier")
    # One at a time, the oldest first: a later version must not be replaced by an earlier one.
    first = sa.select(sa.func.min(earlier.c.version)).where(earlier.c.job_id == job_id, earlier.c.state.in_(UNDER_WAY))
    row = connection.execute(
        rescorings.update()
        .where(rescorings.c.job_id == job_id, rescorings.c.version == first.scalar_subquery(), waits(now))
        .values(state="running", owner=owner, attempts=rescorings.c.attempts + 1, lease_until=now + lease)
        .returning(rescorings.c.version, rescorings.c.attempts)
    ).one_or_none()
    return None if row is None else RescoringClaim(job_id, row.version, owner, row.attempts)


def waits(now: datetime) -> sa.ColumnElement[bool]:
    """The condition that a rescoring waits for a worker: nobody has taken it, or its worker has let the lease run out."""
    return (rescorings.c.state == "queued") | ((rescorings.c.state == "running") & (rescorings.c.lease_until < now))


def is_held(connection: sa.Connection, held: RescoringClaim) -> bool:
    """Whether a claim holds: no other worker has claimed the rescoring."""
    mine = (rescorings.c.job_id == held.job_id) & (rescorings.c.owner == held.owner) & (rescorings.c.state == "running")
    return connection.execute(sa.select(rescorings.c.job_id).where(mine)).first() is not None


def owners(connection: sa.Connection, job_ids: Sequence[str]) -> list[str]:
    """Who scores these jobs again now."""
    running = rescorings.c.job_id.in_(job_ids) & (rescorings.c.state == "running")
    return list(connection.execute(sa.select(rescorings.c.owner).where(running)).scalars())


def renew(connection: sa.Connection, held: RescoringClaim, lease: timedelta, now: datetime) -> None:
    """Extend the lease. Raises RescoringLost."""
    _write(connection, held, lease_until=now + lease)


def complete(connection: sa.Connection, held: RescoringClaim, samples: int, reviewed: int, now: datetime) -> None:
    """End it as completed, in the transaction that writes the ranking; `reviewed` is the last review read. Raises RescoringLost."""
    done = {"state": "completed", "samples": samples, "reviews": reviewed, "finished_at": now}
    _write(connection, held, **done, lease_until=None)


def fail(connection: sa.Connection, held: RescoringClaim, error: JobError, now: datetime) -> None:
    """End it as failed; the ranking stays as it is. Raises RescoringLost."""
    _write(connection, held, state="failed", error=error.model_dump(), owner=None, lease_until=None, finished_at=now)


def put_back(connection: sa.Connection, held: RescoringClaim) -> None:
    """Put it back into the queue, because this worker is stopping. Raises RescoringLost."""
    _write(connection, held, state="queued", attempts=held.attempt - 1, owner=None, lease_until=None, woken_at=None)


def take_due(connection: sa.Connection, waited: timedelta, max_attempts: int, now: datetime) -> list[tuple[str, int]]:
    """Ids and priorities of jobs whose rescoring needs a message in the queue; they are marked as sent at `now`.

    One that was abandoned `max_attempts` times is failed instead.
    """
    abandoned = (rescorings.c.state == "running") & (rescorings.c.lease_until < now)
    lost = JobError(
        code="worker_lost",
        detail=f"{max_attempts} workers were lost while scoring again, most often because memory ran out",
    )
    connection.execute(
        rescorings.update()
        .where(abandoned, rescorings.c.attempts >= max_attempts)
        .values(state="failed", error=lost.model_dump(), owner=None, lease_until=None, finished_at=now)
    )
    overdue = rescorings.c.woken_at.is_(None) | (rescorings.c.woken_at < now - waited)
    woken = connection.execute(
        rescorings.update()
        .where((rescorings.c.state == "queued") | abandoned, overdue)
        .values(woken_at=now)
        .returning(rescorings.c.job_id)
    )
    found = sorted(set(woken.scalars()))
    rows = connection.execute(sa.select(jobs.c.id, jobs.c.priority).where(jobs.c.id.in_(found)))
    priorities = {row.id: row.priority for row in rows}
    return [(job_id, priorities[job_id]) for job_id in found if job_id in priorities]


def due(connection: sa.Connection, after: int) -> list[str]:
    """Completed jobs with at least so many reviews since the last rescoring, whatever became of it."""
    last = sa.select(sa.func.max(reviews.c.seq)).where(reviews.c.job_id == jobs.c.id).scalar_subquery()
    known = sa.select(sa.func.max(rescorings.c.reviews)).where(rescorings.c.job_id == jobs.c.id).scalar_subquery()
    new = sa.func.coalesce(last, 0) - sa.func.coalesce(known, 0)
    wanted = sa.select(jobs.c.id).where(jobs.c.state == State.COMPLETED, new >= after)
    return list(connection.execute(wanted).scalars())


def _attempt(owner: str | None, attempts: int) -> int:
    """Whose files those of a version are. Earlier versions of this software kept no owner, and all attempts wrote into one folder."""
    return 1 if owner is None else attempts


def _write(connection: sa.Connection, held: RescoringClaim, **values: Any) -> None:
    changed = connection.execute(
        rescorings.update()
        .where(
            rescorings.c.job_id == held.job_id,
            rescorings.c.version == held.version,
            rescorings.c.owner == held.owner,
            rescorings.c.attempts == held.attempt,
            rescorings.c.state == "running",
        )
        .values(**values)
    )
    if changed.rowcount == 0:
        raise RescoringLost(held.job_id)
