"""Laws of leases: who is silent loses a job, and nobody else does. On SQLite and on PostgreSQL."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from service.domain.job import JobError, Progress, State
from service.domain.job_queue import JobQueue
from service.store import jobs, leases
from service.store.engine import Database
from service.store.jobs import Claim, LeaseLost
from service.store.leases import LeaseWatch
from tests.builders import LEASE, NOON, add_dataset, add_job, end_leases
from tests.unit.store.claims import LATE, SECOND, advance, claim, claimed, kinds, read


@pytest.fixture(autouse=True)
def queued(database: Database) -> None:
    add_job(database, add_dataset(database))


def test_a_silent_worker_loses_its_job_and_can_no_longer_write(database: Database) -> None:
    first = claimed(database)
    # A time that is over says nothing: the clocks of two hosts may differ.
    assert claim(database, "w2", NOON + 100 * LEASE) is None
    end_leases(database)
    second = claimed(database, "w2", LATE)
    assert second.attempt == 2
    for write in writes(first):
        with pytest.raises(LeaseLost), database.write() as connection:
            write(connection)
    job = read(database)
    assert (job.state, job.owner, job.started_at) == (State.PREPARING, "w2", NOON)


def test_an_earlier_attempt_of_the_same_worker_cannot_write(database: Database) -> None:
    first = claimed(database)
    end_leases(database)
    second = claimed(database, now=LATE)
    for write in writes(first):
        with pytest.raises(LeaseLost), database.write() as connection:
            write(connection)
    advance(database, second, State.TRAINING)


def writes(held: Claim) -> list[Callable[[sa.Connection], None]]:
    return [
        lambda connection: jobs.renew(connection, held, Progress(), LEASE, LATE),
        lambda connection: jobs.advance(connection, held, State.TRAINING, Progress(), LATE),
        lambda connection: jobs.complete(connection, held, {}, LATE),
        lambda connection: jobs.fail(connection, held, JobError(code="x", detail="y"), LATE),
        lambda connection: jobs.requeue(connection, held, LATE),
    ]


def test_a_heartbeat_keeps_the_job(database: Database) -> None:
    held = claimed(database)
    with database.write() as connection:
        jobs.renew(connection, held, Progress(fraction=0.25), LEASE, NOON + 20 * SECOND)
    assert claim(database, "w2", LATE) is None
    assert read(database).progress.fraction == 0.25


def due(database: Database, now: datetime, *besides: str, attempts: int = 5) -> list[tuple[str, int, JobQueue]]:
    with database.write() as connection:
        return jobs.take_due(connection, LEASE, attempts, now, besides=besides)


def test_a_job_just_told_is_not_due_and_an_old_one_is_once(database: Database) -> None:
    assert due(database, NOON + SECOND) == []
    assert due(database, LATE, "job_1") == []  # its message waits
    assert due(database, LATE) == [("job_1", 0, "cpu")]
    assert due(database, LATE + SECOND) == []
    assert due(database, LATE + LEASE + SECOND) == [("job_1", 0, "cpu")]
    assert due(database, NOON) == [("job_1", 0, "cpu")]  # the clock was set back


def test_a_running_job_is_due_only_when_its_worker_fell_silent(database: Database) -> None:
    held = claimed(database, now=NOON)
    with database.write() as connection:
        (seen,) = leases.held(connection)
        jobs.renew(connection, held, Progress(), LEASE, LATE)
        assert not leases.end(connection, seen, NOON)
    assert due(database, LATE + 100 * LEASE) == []
    end_leases(database)
    assert due(database, NOON) == [("job_1", 0, "cpu")]


def test_a_worker_that_was_judged_silent_and_lives_keeps_its_job_until_another_has_it(database: Database) -> None:
    held = claimed(database)
    end_leases(database)
    with database.write() as connection:
        jobs.renew(connection, held, Progress(), LEASE, NOON)
    assert claim(database, "w2") is None
    end_leases(database)
    claimed(database, "w2")
    with pytest.raises(LeaseLost), database.write() as connection:
        jobs.renew(connection, held, Progress(), LEASE, NOON)


@pytest.mark.parametrize("jump", [timedelta(hours=-5), timedelta(hours=5)])
def test_a_lease_that_is_renewed_holds_whatever_the_clocks_say(database: Database, jump: timedelta) -> None:
    held, clock = claimed(database), [0.0]
    watch = LeaseWatch(lambda: clock[0])
    for second in range(100):
        clock[0] += 1
        with database.write() as connection:
            jobs.renew(connection, held, Progress(), LEASE, NOON + (jump if second % 7 else 0 * jump) + second * SECOND)
            assert watch.run_out(leases.held(connection), LEASE.total_seconds()) == []
    # Its worker ends, after its clock was set wrong.
    silent = 0
    while True:
        clock[0] += 1
        silent += 1
        with database.read() as connection:
            if watch.run_out(leases.held(connection), LEASE.total_seconds()):
                break
    assert silent == LEASE.total_seconds()


def test_a_machine_that_slept_gives_workers_time_to_renew(database: Database) -> None:
    claimed(database)
    clock = [0.0]
    watch = LeaseWatch(lambda: clock[0])
    looks = []
    for _ in range(4):
        with database.read() as connection:
            looks.append(len(watch.run_out(leases.held(connection), LEASE.total_seconds())))
        clock[0] += 1000
    assert looks == [0, 0, 0, 1]


def test_a_job_that_kills_its_workers_fails(database: Database) -> None:
    now = NOON
    for attempt in range(1, 4):
        assert claimed(database, f"w{attempt}", now).attempt == attempt
        now += LEASE + SECOND
        end_leases(database)
        assert due(database, now, attempts=3) == ([("job_1", 0, "cpu")] if attempt < 3 else [])
    job = read(database)
    assert job.state == State.FAILED
    assert job.error is not None
    assert job.error.code == "worker_lost"
    assert kinds(database)[-1][1:] == ("state", "failed")


def test_the_last_attempt_of_a_job_is_left_alone_while_its_lease_holds(database: Database) -> None:
    claimed(database)
    with database.write() as connection:
        assert jobs.take_due(connection, LEASE, 1, NOON + 100 * LEASE) == []
    assert read(database).state == State.PREPARING
    end_leases(database)
    with database.write() as connection:
        assert jobs.take_due(connection, LEASE, 1, LATE) == []
    assert read(database).state == State.FAILED
