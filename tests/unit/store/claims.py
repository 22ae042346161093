"""What a worker does to the job of a test: claim it, and go through its states."""

from datetime import datetime, timedelta

from service.domain.job import Progress, State
from service.store import job_events, jobs
from service.store.engine import Database
from service.store.jobs import Claim, Job
from tests.builders import LEASE, NOON

SECOND = timedelta(seconds=1)
LATE = NOON + LEASE + SECOND


def read(database: Database, job_id: str = "job_1") -> Job:
    with database.read() as connection:
        job = jobs.get(connection, job_id)
    assert job is not None
    return job


def claim(database: Database, owner: str = "w1", now: datetime = NOON, job_id: str = "job_1") -> Claim | None:
    with database.write() as connection:
        return jobs.claim(connection, job_id, owner, LEASE, now)


def claimed(database: Database, owner: str = "w1", now: datetime = NOON) -> Claim:
    held = claim(database, owner, now)
    assert held is not None
    return held


def advance(database: Database, held: Claim, *states: State) -> None:
    for state in states:
        with database.write() as connection:
            jobs.advance(connection, held, state, Progress(phase=state), NOON)


def kinds(database: Database, after: int = 0) -> list[tuple[int, str, object]]:
    with database.read() as connection:
        found = job_events.after_number(connection, "job_1", after)
    return [(event.seq, event.kind, event.data.get("state")) for event in found]
