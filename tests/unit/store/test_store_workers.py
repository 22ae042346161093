"""Which workers live and which can compute, on SQLite and on PostgreSQL."""

from datetime import UTC, datetime, timedelta

from service.store import workers
from service.store.clock import database_time
from service.store.engine import Database
from service.store.tables import workers as workers_table
from service.store.workers import PresentWorkers, Takers, WorkerProcess
from tests.builders import NOON

SECOND = timedelta(seconds=1)


def test_a_worker_lives_as_long_as_it_signs_in(database: Database) -> None:
    with database.write() as connection:
        workers.record_heartbeat(connection, "w1", NOON)
        workers.record_heartbeat(connection, "w2", NOON)
        workers.record_heartbeat(connection, "w2", NOON + 10 * SECOND)
        assert workers.presence(connection, 1, NOON + 5 * SECOND) == PresentWorkers(alive=2, ready=0)
        assert workers.presence(connection, 1, NOON + 15 * SECOND) == PresentWorkers(alive=1, ready=0)
        workers.remove(connection, "w2")
        assert workers.presence(connection, 1, NOON + 5 * SECOND) == PresentWorkers(alive=1, ready=0)


def test_queues_without_a_worker_are_told_and_a_worker_of_an_earlier_version_takes_all(database: Database) -> None:
    with database.write() as connection:
        assert workers.takers(connection, 1, NOON) == Takers({"gpu": 0, "cpu": 0}, older=0, missing=[])
        workers.record_heartbeat(connection, "questions", NOON, [])
        assert workers.takers(connection, 1, NOON).missing == ["gpu", "cpu"]
        for number in range(2):
            workers.record_heartbeat(connection, f"w{number}", NOON, ["cpu"])
        workers.record_heartbeat(connection, "silent", NOON - timedelta(hours=1), ["gpu"])
        assert workers.takers(connection, 1, NOON) == Takers({"gpu": 0, "cpu": 2}, older=0, missing=["gpu"])
        connection.execute(workers_table.insert().values(id="old", seen_at=NOON))
        assert workers.takers(connection, 1, NOON) == Takers({"gpu": 1, "cpu": 3}, older=1, missing=[])


def test_who_wrote_before_the_clock_was_set_back_must_write_again(database: Database) -> None:
    with database.write() as connection:
        workers.record_heartbeat(connection, "w1", NOON + timedelta(hours=1))
        assert workers.presence(connection, 1, NOON) == PresentWorkers(alive=0, ready=0)


def test_processes_are_counted_by_the_cores_that_they_share_and_go_with_their_worker(database: Database) -> None:
    with database.write() as connection:
        for number, place in enumerate(("a/0-3", "a/0-3", "b/0-3")):
            workers.record_process(connection, WorkerProcess(f"w{number}/1", f"w{number}", place), NOON)
        assert workers.count_at(connection, "a/0-3", 1, NOON) == 2
        assert workers.count_at(connection, "a/0-3", 1, NOON + 11 * SECOND) == 0
        workers.remove(connection, "w1")
        assert workers.count_at(connection, "a/0-3", 1, NOON) == 1
        workers.forget_silent(connection, NOON + timedelta(days=2))
        assert workers.presence(connection, 1, NOON) == PresentWorkers(alive=0, ready=0)


def test_the_time_of_the_database_is_that_of_now(database: Database) -> None:
    with database.read() as connection:
        found = database_time(connection)
    assert abs(datetime.now(UTC) - found) < timedelta(minutes=1)
    assert found.utcoffset() == timedelta(0)
