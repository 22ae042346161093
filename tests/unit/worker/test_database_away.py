"""A job goes on once its database is back, and waits for no lease."""

import threading
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from service.domain.job import State
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.engine import open_database
from tests.builders import add_dataset
from tests.servers import administer
from tests.unit.worker.test_damaged_jobs import again, interrupted, run
from worker.job import tasks
from worker.job.context import WorkerContext
from worker.job.endings import database_answers
from worker.machine.devices import CPU

LEASE_S = 60.0


@pytest.fixture
def context(empty_postgres: str, blobs: Blobs) -> Iterator[WorkerContext]:
    settings = Settings(home=blobs.home, max_attempts=2, lease_seconds=LEASE_S)
    database = open_database(empty_postgres)
    yield WorkerContext(settings, database, blobs, CPU, lambda: False)
    database.close()


def let_in(server: str, url: str, *, allowed: bool) -> None:
    """Let connections to a database of this server in; or end every one, and let nobody in."""
    name = sa.make_url(url).database
    statements = [f"ALTER DATABASE {name} ALLOW_CONNECTIONS {str(allowed).lower()}"]
    if not allowed:
        statements.append(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    administer(server, *statements)


def test_a_job_whose_database_is_away_for_seconds_goes_on_and_no_attempt_is_counted(
    context: WorkerContext, postgres_url: str, empty_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = add_dataset(context.database, blobs=context.blobs, rows=60)
    interrupted(monkeypatch, lambda: let_in(postgres_url, empty_postgres, allowed=False))

    def noticed(context: WorkerContext) -> bool:
        found = database_answers(context)
        threading.Timer(1.5, let_in, args=(postgres_url, empty_postgres), kwargs={"allowed": True}).start()
        return found

    monkeypatch.setattr(tasks, "database_answers", noticed)
    began = time.monotonic()
    job = run(context, info, "job_1")
    assert (job.state, job.attempts, job.progress.detail) == (State.QUEUED, 0, "waiting for the database")
    job = again(context, "job_1")
    assert (job.state, job.attempts) == (State.COMPLETED, 1)
    assert time.monotonic() < began + LEASE_S


def test_a_write_that_a_database_refuses_again_and_again_fails_the_job(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> None:
        raise sa.exc.OperationalError("a write", {}, Exception("refused"))

    info = add_dataset(context.database, blobs=context.blobs, rows=60)
    interrupted(monkeypatch, refused)
    job = run(context, info, "job_1")
    assert (job.state, job.attempts) == (State.QUEUED, 1)
    interrupted(monkeypatch, refused)
    job = again(context, "job_1")
    assert (job.state, job.attempts) == (State.FAILED, 2)
    assert job.error is not None
    assert job.error.code == "internal"
