"""Jobs on real parts: the API on a socket, a Celery worker process, Valkey, and each database in turn."""

import contextlib
import csv
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import redis
import uvicorn

from service.main import create_app
from service.settings import Settings

ROWS = 600
QUICK = {"epochs": 4, "batch_size": 64}
LONG = {"epochs": 120, "batch_size": 32}  # seconds, not minutes, on a busy core


def table(seed: int = 0) -> bytes:
    """Two numeric columns, a category and three classes that can be learnt."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, ROWS)
    x = generator.normal(size=(ROWS, 2)) + 2 * np.stack([np.cos(labels * 2.1), np.sin(labels * 2.1)], 1)
    rows = ["name,width,height,colour,kind"]
    for number, ((width, height), label) in enumerate(zip(x, labels, strict=True)):
        rows.append(f"s{number},{width:.4f},{height:.4f},{'red' if label else 'blue'},{'abc'[label]}")
    return "\n".join(rows).encode()


@dataclass
class Installation:
    """A running service, and workers that can be started and killed."""

    settings: Settings
    client: httpx.Client

    @contextlib.contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """A worker process in a group of its own, killed at the end if it still lives."""
        environment = {
            **os.environ,
            "SUSPECTS_HOME": str(self.settings.home),
            "SUSPECTS_DATABASE_URL": self.settings.database,
            "SUSPECTS_BROKER_URL": self.settings.broker_url,
            "SUSPECTS_LEASE_SECONDS": "3",
            "SUSPECTS_HEARTBEAT_SECONDS": "1",
            "SUSPECTS_THREADS": "1",
        }
        command = [
            sys.executable,
            "-m",
            "celery",
            "--app",
            "worker.app",
            "worker",
            "--queues",
            "jobs",
            "--concurrency",
            "1",
        ]
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        try:
            yield process
        finally:
            kill(process)

    def submit(self, training: dict[str, Any], **options: Any) -> str:
        """Upload the table and queue a job on it."""
        spec = {"dataset": {"label": "kind", "id": "name"}, "training": training, **options}
        answer = self.client.post("/jobs", files={"file": ("table.csv", table())}, data={"spec": json.dumps(spec)})
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        job_id: str = answer.json()["id"]
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        """The job now."""
        answer: dict[str, Any] = self.client.get(f"/jobs/{job_id}").json()
        return answer

    def wait(self, job_id: str, *states: str) -> dict[str, Any]:
        """The job once it is in one of the states; it must not end in another."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            job = self.job(job_id)
            if job["state"] in states:
                return job
            assert job["state"] not in ("completed", "failed", "cancelled"), job["error"]
            time.sleep(0.1)
        raise AssertionError(f"still {job['state']}: {job['progress']}")

    def epochs(self, job_id: str) -> list[int]:
        """The epochs whose metrics were recorded; the job has ended."""
        text = self.client.get(f"/jobs/{job_id}/events").text
        blocks = [
            dict(line.split(": ", 1) for line in block.splitlines() if ": " in line) for block in text.split("\n\n")
        ]
        return [json.loads(block["data"])["epoch"] for block in blocks if block.get("event") == "metrics"]

    def ranking(self, job_id: str) -> list[dict[str, str]]:
        """The whole ranking, every column."""
        answer = self.client.get(f"/jobs/{job_id}/suspects", params={"format": "csv"})
        assert answer.status_code == httpx.codes.OK, answer.text
        return list(csv.DictReader(io.StringIO(answer.text)))


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker and all its children, at once."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def installation(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Installation]:
    """A service on a real socket, with a short lease."""
    with redis.Redis.from_url(redis_url) as broker:
        broker.flushdb()
    settings = Settings(
        home=tmp_path / "home",
        database_url=database_url,
        broker_url=redis_url,
        lease_seconds=3,
        heartbeat_seconds=1,
        sweep_seconds=0.5,
    )
    config = uvicorn.Config(
        create_app(settings), host="127.0.0.1", port=0, log_level="error", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the service did not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
        yield Installation(settings, client)
    server.should_exit = True
    thread.join()


def test_a_job_goes_from_post_to_ranking(installation: Installation) -> None:
    job_id = installation.submit(QUICK, glitches=[{"kind": "mislabeled_uniform", "rate": 0.1, "seed": 1}])
    assert installation.client.get("/readyz").status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert installation.client.get(f"/jobs/{job_id}/suspects").status_code == httpx.codes.CONFLICT
    with installation.worker():
        job = installation.wait(job_id, "completed")
        assert installation.client.get("/readyz").status_code == httpx.codes.OK
    assert job["result"]["samples"] == ROWS
    assert installation.epochs(job_id) == [1, 2, 3, 4]
    ranking = installation.ranking(job_id)
    assert sorted(row["sample_id"] for row in ranking) == sorted(f"s{number}" for number in range(ROWS))
    assert [int(row["rank"]) for row in ranking] == list(range(1, ROWS + 1))
    planted = {row["sample_id"] for row in ranking if row["planted_kind"]}
    assert len(planted) == 60
    assert len(planted & {row["sample_id"] for row in ranking[:60]}) > 40
    signals = {item["name"]: item for item in installation.client.get(f"/jobs/{job_id}/signals").json()["items"]}
    assert signals["mislabeled"]["detection"]["precision"] > 0.65
    top = ranking[0]["sample_id"]
    sample = installation.client.get(f"/jobs/{job_id}/samples/{top}").json()
    assert sample["signals"]["mislabeled"]["rank"] == 1
    assert len(sample["trajectory"]["loss"]) == 4
    assert sample["opposing"]
    assert all(other["influence"] < 0 for other in sample["opposing"])
    assert installation.client.get(f"/jobs/{job_id}/groups").status_code == httpx.codes.OK
    for other in (*sample["supporting"], *sample["opposing"]):
        assert other["id"] != top
        assert len(other["by_checkpoint"]) == 4
        assert other["influence"] == pytest.approx(sum(other["by_checkpoint"]))
    assert sample["witnesses"]["class"] == sample["suggested_label"]
    assert sample["witnesses"]["looked_at"] == 50
    assert len(sample["witnesses"]["against"]) == 4
    candidates = installation.client.get(f"/jobs/{job_id}/verify-next?count=9").json()["items"]
    assert len({one["sample"]["id"] for one in candidates}) == 9
    by_label = Counter(one["given_label"] for one in candidates)
    assert max(by_label.values()) - min(by_label.values()) <= 1


def questions() -> bytes:
    """Questions about persons, places and numbers, that their words tell apart."""
    generator = np.random.default_rng(0)
    asked = {
        "person": ("Who was the {} that {} the {} ?", ("painter", "king", "nurse"), ("found", "built", "sold")),
        "place": ("Where in the {} is the {} of the {} ?", ("north", "desert", "valley"), ("mouth", "gate", "harbour")),
        "number": (
            "How many {} did the {} count in the {} ?",
            ("birds", "coins", "ships"),
            ("sailor", "clerk", "monk"),
        ),
    }
    rows = ["question,topic,answer"]
    for number in range(240):
        answer = list(asked)[number % 3]
        form, first, second = asked[answer]
        text = form.format(generator.choice(first), generator.choice(second), generator.choice(("castle", "river")))
        rows.append(f"{text} ({number}),{'ab'[number % 2]},{answer}")
    return "\n".join(rows).encode()


def test_a_file_of_texts_needs_no_word_about_it(installation: Installation) -> None:
    with installation.worker():
        spec = {"glitches": [{"kind": "mislabeled_uniform", "rate": 0.1}]}
        answer = installation.client.post(
            "/jobs", files={"file": ("questions.csv", questions())}, data={"spec": json.dumps(spec)}
        )
        job = installation.wait(answer.json()["id"], "completed")
    assert job["spec"]["model"]["name"] == "text_cnn"
    ranking = installation.ranking(job["id"])
    assert len(ranking) == 240
    assert sum(bool(row["planted_kind"]) for row in ranking[:24]) >= 20
    sample = installation.client.get(f"/jobs/{job['id']}/samples/{ranking[0]['sample_id']}").json()
    assert sample["features"]["question"].endswith(")")


def test_a_reference_that_is_held_out_is_not_ranked(installation: Installation) -> None:
    verified = [f"s{number}" for number in range(60)]
    with installation.worker():
        held = installation.submit(QUICK, reference={"holdout": 0.25})
        trusted = installation.submit(QUICK, reference={"samples": verified})
        assert installation.wait(held, "completed")["result"]["samples"] == 450
        job = installation.wait(trusted, "completed")
    assert job["result"]["samples"] == ROWS - 60
    assert {"support_same", "support_all"} <= set(job["result"]["signals"])
    assert not {row["sample_id"] for row in installation.ranking(trusted)} & set(verified)
    sample = installation.client.get(f"/jobs/{trusted}/samples/s7").json()
    assert sample["held_out"] is True
    top = installation.ranking(trusted)[0]["sample_id"]
    sample = installation.client.get(f"/jobs/{trusted}/samples/{top}").json()
    assert {one["id"] for one in (*sample["supporting"], *sample["opposing"])} <= set(verified)
    assert all(one["by_checkpoint"] for one in (*sample["supporting"], *sample["opposing"]))


def test_a_worker_killed_in_training_changes_nothing_in_the_ranking(installation: Installation) -> None:
    with installation.worker() as first:
        job_id = installation.submit(LONG)
        installation.wait(job_id, "training")
        while "epoch 1/" in installation.job(job_id)["progress"]["detail"]:
            time.sleep(0.05)
        kill(first)
        assert installation.job(job_id)["state"] == "training"
    with installation.worker():
        job = installation.wait(job_id, "completed")
        undisturbed = installation.submit(LONG)
        installation.wait(undisturbed, "completed")
    assert job["attempts"] == 2
    # It went on from its last checkpoint: no epoch was computed twice but the one that was cut off.
    assert installation.epochs(job_id) == list(range(1, LONG["epochs"] + 1))
    assert installation.ranking(job_id) == installation.ranking(undisturbed)


def test_a_job_that_stops_early_scores_the_epochs_that_it_ran_and_forgets_the_others(
    installation: Installation,
) -> None:
    stopping = {"patience": 8, "min_improvement": 0.1}
    with installation.worker():
        job_id = installation.submit({**LONG, "early_stopping": stopping, "class_weights": "balanced"})
        installation.wait(job_id, "completed")
    ran = len(installation.epochs(job_id))
    assert 8 < ran < LONG["epochs"]
    top = installation.ranking(job_id)[0]["sample_id"]
    epochs = installation.client.get(f"/jobs/{job_id}/samples/{top}").json()["trajectory"]["epochs"]
    assert len(epochs) == 8
    assert epochs[-1] == ran
    kept = sorted(path.stem for path in (installation.settings.home / "jobs" / job_id / "checkpoints").glob("*.pt"))
    assert [int(name) for name in kept] == epochs


def test_a_worker_that_is_told_to_stop_hands_its_job_back(installation: Installation) -> None:
    with installation.worker() as first:
        job_id = installation.submit(LONG)
        installation.wait(job_id, "training")
        first.send_signal(signal.SIGTERM)
        job = installation.wait(job_id, "queued")
        assert first.wait(30) == 0
    assert job["attempts"] == 0
    with installation.worker():
        installation.wait(job_id, "training")
        assert installation.client.post(f"/jobs/{job_id}/cancel").status_code == httpx.codes.ACCEPTED


def test_a_cancelled_job_stops_and_can_be_taken_up_again(installation: Installation) -> None:
    with installation.worker():
        job_id = installation.submit(LONG)
        installation.wait(job_id, "training")
        assert installation.client.post(f"/jobs/{job_id}/cancel").status_code == httpx.codes.ACCEPTED
        assert installation.job(job_id)["state"] == "cancelled"
        assert installation.client.get(f"/jobs/{job_id}/suspects").status_code == httpx.codes.GONE
        # The worker is free for others again.
        other = installation.submit(QUICK)
        installation.wait(other, "completed")
        assert installation.client.post(f"/jobs/{job_id}/retry").status_code == httpx.codes.ACCEPTED
        installation.wait(job_id, "completed")
    assert installation.client.delete(f"/jobs/{job_id}").status_code == httpx.codes.NO_CONTENT
    assert not (installation.settings.home / "jobs" / job_id).exists()


def test_training_that_diverges_fails_and_says_what_to_change(installation: Installation) -> None:
    with installation.worker():
        job_id = installation.submit({**QUICK, "learning_rate": 100, "momentum": 0.99})
        job = installation.wait(job_id, "failed")
    assert job["error"]["code"] == "diverged"
    assert "training.learning_rate" in job["error"]["detail"]
