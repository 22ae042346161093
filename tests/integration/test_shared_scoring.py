"""Scoring that several Celery workers share. On PostgreSQL tests/chaos kills helpers."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.store.engine import Database, open_database
from service.store.tables import blocks
from tests.integration.installation import Installation, impatient, installed, kill


@pytest.fixture
def installation(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Installation]:
    """A service without a worker, which shares what takes a fiftieth of a second."""
    settings = impatient(tmp_path / "home", database_url, redis_url)
    with installed(settings.model_copy(update={"share_seconds": 0.02})) as opened:
        yield opened


@pytest.fixture
def ledger(installation: Installation) -> Iterator[Database]:
    """Its database."""
    opened = open_database(installation.settings.database)
    yield opened
    opened.close()


def helped_job(installation: Installation, ledger: Database) -> tuple[str, str]:
    """A job that is being scored, and a worker process that has taken a block of it. On a busy machine one may come too late."""
    for _ in range(10):
        job_id = installation.submit_embeddings()
        while installation.job(job_id)["state"] not in ("ranking", "completed", "failed"):
            taken = blocks.c.helper.is_not(None) & ~blocks.c.done
            with ledger.read() as connection:
                helper = connection.execute(sa.select(blocks.c.helper).where(taken)).scalars().first()
            if helper is not None:
                return job_id, str(helper)
            time.sleep(0.002)
        installation.wait(job_id, "completed")
    raise AssertionError("nobody has helped")


def left_of(installation: Installation, ledger: Database, job_id: str) -> list[object]:
    """Rows and files of blocks."""
    with ledger.read() as connection:
        rows = connection.execute(blocks.select()).all()
    return [*rows, *(installation.settings.home / "jobs" / job_id).glob("shared*/**/*")]


@pytest.mark.parametrize(
    ("database_url", "kills"),
    [("sqlite", ["helper", "worker of the job"]), pytest.param("postgresql", [], marks=pytest.mark.servers)],
    indirect=["database_url"],
)
def test_two_workers_give_the_bits_of_one_also_where_a_helper_or_the_worker_of_the_job_is_killed(
    installation: Installation, ledger: Database, kills: list[str]
) -> None:
    with installation.worker():
        job_id = installation.submit_embeddings()
        installation.wait(job_id, "completed")
    expected = installation.ranking(job_id)

    for killed in (None, *kills):
        with installation.worker() as first, installation.worker() as second:
            installation.wait_for_workers(2)
            job_id, helper = helped_job(installation, ledger)
            by_process = {f"-{process.pid}-" in helper: process for process in (first, second)}
            if killed is not None:
                kill(by_process[killed == "helper"])
            job = installation.wait(job_id, "completed")
        assert job["attempts"] == (2 if killed == "worker of the job" else 1)
        assert installation.ranking(job_id) == expected, killed
        assert left_of(installation, ledger, job_id) == []


@pytest.mark.servers
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_job_without_a_reference_is_shared_too_to_the_same_bits(
    installation: Installation, capfd: pytest.CaptureFixture[str]
) -> None:
    with installation.worker():
        job_id = installation.submit_embeddings(verified=False)
        installation.wait(job_id, "completed")
    expected = installation.ranking(job_id)
    capfd.readouterr()
    helped: set[str] = set()
    with installation.worker(), installation.worker():
        installation.wait_for_workers(2)
        for _ in range(10):  # on a busy machine help may come too late
            job_id = installation.submit_embeddings(verified=False)
            installation.wait(job_id, "completed")
            assert installation.ranking(job_id) == expected
            told = [json.loads(line) for line in capfd.readouterr().err.splitlines() if '"helped"' in line]
            helped |= {one["computation"] for one in told if one["wanted"]}
            if len(helped) > 1:
                break
    assert len(helped) > 1, helped
