"""What is counted of jobs, on SQLite and on PostgreSQL."""

from datetime import timedelta

import pytest

from service.domain.job import JobError
from service.store import counters, jobs, leases
from service.store.counters import Count
from service.store.engine import Database
from tests.builders import LEASE, NOON, add_dataset, add_job


def counted(database: Database) -> dict[tuple[str, str], Count]:
    with database.read() as connection:
        return counters.counted(connection)


def test_a_lost_lease_counts_as_a_restart_and_by_the_time_until_the_next_claim(database: Database) -> None:
    add_job(database, add_dataset(database))
    with database.write() as connection:
        assert jobs.claim(connection, "job_1", "w1", LEASE, NOON)
    assert counted(database) == {}
    with database.write() as connection:
        (lease,) = leases.held(connection)
        assert leases.end(connection, lease, NOON + timedelta(seconds=40))
    for attempt in (2, 3):
        with database.write() as connection:
            held = jobs.claim(connection, "job_1", f"w{attempt}", LEASE, NOON + timedelta(seconds=47))
            assert held is not None
            assert held.attempt == attempt
            jobs.requeue(connection, held, NOON, counted=True)
    assert counted(database) == {("recovered", ""): Count(1, 7.0), ("restarted", ""): Count(2, 0.0)}


def test_ended_jobs_are_counted_by_state_and_phases_by_seconds(database: Database) -> None:
    info = add_dataset(database)
    for job_id in ("job_1", "job_2", "job_3"):
        add_job(database, info, job_id)
    with database.write() as connection:
        held = jobs.claim(connection, "job_1", "w", LEASE, NOON)
        assert held is not None
        jobs.fail(connection, held, JobError(code="x", detail="y"), NOON)
        assert jobs.cancel(connection, "job_2", NOON)
        assert not jobs.cancel(connection, "job_2", NOON)
        assert jobs.claim(connection, "job_3", "w", LEASE, NOON)
        for lease in leases.held(connection):
            assert leases.end(connection, lease, NOON)
        jobs.take_due(connection, LEASE, 1, NOON)
        for seconds in (1.5, 2.0):
            counters.count_completed(connection, {"training_s": seconds})
    found = counted(database)
    assert {label: one.number for (name, label), one in found.items() if name == "ended"} == {
        "failed": 2,
        "cancelled": 1,
        "completed": 2,
    }
    assert found["phase", "training"] == Count(2, 3.5)


def test_what_a_transaction_counts_is_undone_with_it(database: Database) -> None:
    def count_and_fail() -> None:
        with database.write() as connection:
            counters.count(connection, counters.EXPIRED)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        count_and_fail()
    assert counted(database) == {}
