"""Transactions, migrations and times, on SQLite and on PostgreSQL."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from service.domain.review import Decision
from service.store import reviews, workers
from service.store.engine import Database, migrate, migration_config, open_database
from service.store.tables import UTCDateTime, metadata
from service.store.tables import workers as worker_rows
from tests.builders import NOON, add_dataset, add_job, finish


def test_the_migrations_make_the_tables_that_the_code_declares(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_every_migration_can_be_taken_back_and_applied_again(database: Database, database_url: str) -> None:
    config = migration_config(database_url)
    command.downgrade(config, "base")
    with database.read() as connection:
        assert set(sa.inspect(connection).get_table_names()) <= {"alembic_version"}
    migrate(database_url)
    add_dataset(database)


def test_migrating_twice_changes_nothing(database: Database, database_url: str) -> None:
    add_dataset(database)
    migrate(database_url)
    with database.read() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM datasets")).scalar_one() == 1


@pytest.mark.slow
def test_processes_that_start_at_once_migrate_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    program = "import sys; from service.store.engine import migrate; migrate(sys.argv[1])"
    started = [subprocess.Popen([sys.executable, "-c", program, url]) for _ in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    database = open_database(url)
    add_dataset(database)
    database.close()


def test_a_server_whose_host_is_gone_is_given_up_and_the_url_may_say_when(empty_postgres: str) -> None:
    for url, idle in ((empty_postgres, "4"), (f"{empty_postgres}&keepalives_idle=60", "60")):
        database = open_database(url, silence_s=12)
        with database.read() as connection:
            found = connection.connection.dbapi_connection.info.get_parameters()  # type: ignore[union-attr]
        database.close()
        asked = [found[name] for name in ("keepalives_idle", "keepalives_interval", "tcp_user_timeout")]
        assert asked == [idle, "2", "12000"]


def test_whoever_stands_still_in_a_transaction_keeps_no_row_from_the_others(empty_postgres: str) -> None:
    stopped, other = open_database(empty_postgres, silence_s=0.2), open_database(empty_postgres)
    with stopped.write() as connection:
        workers.record_heartbeat(connection, "w1", NOON)

    def stand_still() -> None:
        with stopped.write() as connection:
            workers.record_heartbeat(connection, "w1", NOON + timedelta(hours=1))
            with other.write() as others:  # waits for the row
                workers.record_heartbeat(others, "w1", NOON + timedelta(hours=2))
            workers.record_heartbeat(connection, "w1", NOON + timedelta(hours=3))

    with pytest.raises(sa.exc.OperationalError, match="idle-in-transaction"):
        stand_still()
    with other.read() as connection:
        assert connection.execute(sa.select(worker_rows.c.seen_at)).scalar_one() == NOON + timedelta(hours=2)
        # Who reads may take the time that its client takes.
        assert connection.execute(sa.text("SHOW idle_in_transaction_session_timeout")).scalar_one() == "0"
    stopped.close()
    other.close()


def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    def sign_in_and_fall() -> None:
        with database.write() as connection:
            workers.record_heartbeat(connection, "w1", NOON)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        sign_in_and_fall()
    with database.read() as connection:
        assert workers.worker_ids(connection) == []


def test_looking_commits_nothing(database: Database) -> None:
    with database.read() as connection:
        workers.record_heartbeat(connection, "w1", NOON)
    with database.read() as connection:
        assert workers.worker_ids(connection) == []


def test_times_keep_their_instant_and_come_back_in_utc(database: Database) -> None:
    there = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=timezone(timedelta(hours=9)))
    add_dataset(database, created_at=there)
    with database.read() as connection:
        found = connection.execute(
            sa.select(sa.column("created_at", UTCDateTime())).select_from(sa.table("datasets"))
        ).scalar_one()
    assert found == there
    assert found.tzinfo == UTC


def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    with pytest.raises(sa.exc.StatementError, match="without a zone"):
        add_dataset(database, created_at=datetime(2026, 1, 1))


def test_what_earlier_reviews_were_about_is_taken_from_the_ranking(database: Database, database_url: str) -> None:
    info = add_dataset(database)
    add_job(database, info)
    finish(database, "job_1", info)
    said = [Decision(sample_id=name, decision="keep") for name in ("row-1", "row-99")]
    with database.write() as connection:
        reviews.add(connection, "job_1", said, "api", NOON)
    command.downgrade(migration_config(database_url), "0006")
    migrate(database_url)
    with database.read() as connection:
        found, _ = reviews.page(connection, "job_1", 0, 9)
    assert [one.given_label for one in found] == ["dog", None]
