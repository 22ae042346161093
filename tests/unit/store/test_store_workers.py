"""Which workers live, on SQLite and on PostgreSQL."""

from datetime import timedelta

from service.store import workers
from service.store.engine import Database
from tests.builders import NOON


def test_a_worker_lives_as_long_as_it_signs_in(database: Database) -> None:
    later = NOON + timedelta(seconds=10)
    with database.write() as connection:
        workers.record_heartbeat(connection, "w1", NOON)
        workers.record_heartbeat(connection, "w2", NOON)
        workers.record_heartbeat(connection, "w2", later)
        assert workers.count_alive(connection, NOON - timedelta(seconds=1)) == 2
        assert workers.count_alive(connection, NOON) == 1
        workers.remove(connection, "w2")
        assert workers.count_alive(connection, NOON) == 0
