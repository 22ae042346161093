"""Jobs whose worker ends before they do: the API on a socket, Celery worker processes, Valkey, and a database.

What the ledger does on either database is tested in tests/unit/store; here it is each in turn where the ranking must be the same.
"""

import json
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from service.store import rescorings
from service.store.engine import open_database
from tests.damage import cut_short, flip_bit
from tests.integration.installation import LONG, QUICK, Installation, impatient, installed, kill

ON_POSTGRESQL = pytest.mark.parametrize(
    "database_url", [pytest.param("postgresql", marks=pytest.mark.servers)], indirect=True
)


@pytest.fixture
def installation(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Installation]:
    """A service with a short lease, without a worker."""
    with installed(impatient(tmp_path / "home", database_url, redis_url)) as opened:
        yield opened


@ON_POSTGRESQL
def test_a_job_waits_for_a_worker(installation: Installation) -> None:
    job_id = installation.submit(QUICK)
    assert installation.client.get("/readyz").status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert installation.client.get(f"/jobs/{job_id}/suspects").status_code == httpx.codes.CONFLICT
    with installation.worker():
        installation.wait(job_id, "completed")
        assert installation.client.get("/readyz").status_code == httpx.codes.OK


def test_a_worker_killed_in_training_and_damaged_files_change_nothing_in_the_ranking(
    installation: Installation,
) -> None:
    with installation.worker() as first:
        job_id = installation.submit(LONG)
        installation.wait(job_id, "training")
        folder = installation.settings.home / "jobs" / job_id
        while not any((folder / "checkpoints").glob("*.pt")):
            time.sleep(0.05)
        kill(first)
        assert installation.job(job_id)["state"] == "training"
    flip_bit(max((folder / "checkpoints").glob("*.pt")))
    cut_short(folder / "learning_rate.json")
    with installation.worker():
        job = installation.wait(job_id, "completed")
        undisturbed = installation.submit(LONG)
        installation.wait(undisturbed, "completed")
    assert job["attempts"] == 2
    # One learning rate was found for both attempts, and is told.
    found = json.loads((installation.settings.home / "jobs" / job_id / "learning_rate.json").read_text())
    assert job["spec"]["training"]["find_learning_rate"] is True
    assert job["result"]["model"]["learning_rate"] == found["rate"]
    assert found["rate"] in [one["rate"] for one in found["tried"]]
    # It went on from its last sound checkpoint: no epoch is told twice.
    assert installation.epochs(job_id) == list(range(1, LONG["epochs"] + 1))
    assert installation.ranking(job_id) == installation.ranking(undisturbed)


@ON_POSTGRESQL
def test_a_worker_that_is_told_to_stop_hands_its_job_back(installation: Installation) -> None:
    with installation.worker() as first:
        job_id = installation.submit(LONG)
        installation.wait(job_id, "training")
        first.send_signal(signal.SIGTERM)
        job = installation.wait(job_id, "queued")
        assert first.wait(120) == 0
    assert job["attempts"] == 0
    with installation.worker():
        installation.wait(job_id, "training")
        assert installation.client.post(f"/jobs/{job_id}/cancel").status_code == httpx.codes.ACCEPTED


@ON_POSTGRESQL
def test_a_rescoring_whose_worker_died_is_done_by_another_one(installation: Installation) -> None:
    with installation.worker() as first:
        job_id = installation.submit(QUICK)
        installation.wait(job_id, "completed")
        kill(first)
    said = [{"sample_id": f"s{number}", "decision": "keep"} for number in range(12)]
    installation.client.post(f"/jobs/{job_id}/reviews", json=said).raise_for_status()
    asked = installation.client.post(f"/jobs/{job_id}/rescore").raise_for_status().json()
    assert (asked["version"], asked["state"]) == (1, "queued")
    assert installation.client.post(f"/jobs/{job_id}/rescore").raise_for_status().json() == asked
    database = open_database(installation.settings.database)
    with database.write() as connection:
        dead = rescorings.claim(connection, job_id, "dead", timedelta(seconds=1), datetime.now(UTC))
    assert dead is not None
    with installation.worker():
        while (told := installation.job(job_id)["rescoring"])["state"] != "completed":
            assert told["state"] in ("running", "queued"), told
            time.sleep(0.1)
    assert installation.job(job_id)["result"]["rescored"]["samples"] == 12
    # It was slow, not dead: what it writes now changes nothing.
    with database.write() as connection, pytest.raises(rescorings.RescoringLost):
        rescorings.complete(connection, dead, 12, 12, datetime.now(UTC))
    database.close()
