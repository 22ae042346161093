"""An installation on real parts: the API on a socket, and Celery worker processes."""

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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
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


def embeddings() -> bytes:
    """Vectors of three classes, with a split of verified samples; scoring them takes a second or two."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 3, 12_600)
    vectors = (draw.normal(size=(len(labels), 8)) + 2 * np.eye(3, 8)[labels]).astype(np.float32)
    names, content = np.array(["a", "b", "c"])[labels], io.BytesIO()
    np.savez(content, x_train=vectors[600:], y_train=names[600:], x_test=vectors[:600], y_test=names[:600])
    return content.getvalue()


@dataclass
class Installation:
    """A running service, and workers that can be started and killed."""

    settings: Settings
    client: httpx.Client

    @contextlib.contextmanager
    def worker(self, home: Path | None = None, queues: str = "jobs,blocks") -> Iterator[subprocess.Popen[bytes]]:
        """A worker process in a group of its own, killed at the end if it still lives; with a data folder of its own, if one is given.

        Its queues are by default those that workers of earlier versions were started with.
        """
        environment = {
            **os.environ,
            "SUSPECTS_HOME": str(home or self.settings.home),
            "SUSPECTS_ARTEFACTS": self.settings.artefacts,
            "SUSPECTS_DATABASE_URL": self.settings.database,
            "SUSPECTS_BROKER_URL": self.settings.broker_url,
            "SUSPECTS_LEASE_SECONDS": str(self.settings.lease_seconds),
            "SUSPECTS_HEARTBEAT_SECONDS": str(self.settings.heartbeat_seconds),
            "SUSPECTS_THREADS": "1",
            "SUSPECTS_SHARE_SECONDS": str(self.settings.share_seconds),
        }
        command = [
            sys.executable,
            "-m",
            "celery",
            "--app",
            "worker.app",
            "worker",
            "--queues",
            queues,
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

    def submit_embeddings(self, *, verified: bool = True) -> str:
        """Queue a job that compares many embeddings with verified ones, or with one another."""
        spec: dict[str, Any] = {
            "dataset": {"modality": "embedding"},
            "training": {"epochs": 2, "batch_size": 512, "learning_rate": 0.01},
        }
        if verified:
            spec["reference"] = {"split": "test"}
        answer = self.client.post("/jobs", files={"file": ("e.npz", embeddings())}, data={"spec": json.dumps(spec)})
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        job_id: str = answer.json()["id"]
        return job_id

    def wait_for_workers(self, count: int) -> None:
        """Wait until so many processes can take jobs."""
        while (self.client.get("/readyz").json()["workers"] or {}).get("ready") != count:
            time.sleep(0.1)

    def job(self, job_id: str) -> dict[str, Any]:
        """The job now."""
        answer: dict[str, Any] = self.client.get(f"/jobs/{job_id}").json()
        return answer

    def wait(self, job_id: str, *states: str) -> dict[str, Any]:
        """The job once it is in one of the states; it must not end in another."""
        deadline = time.monotonic() + 300
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


@contextlib.contextmanager
def installed(settings: Settings) -> Iterator[Installation]:
    """The service of these settings on a real socket, with an empty queue."""
    with redis.Redis.from_url(settings.broker_url) as broker:
        broker.flushdb()
    config = uvicorn.Config(
        create_app(settings), host="127.0.0.1", port=0, log_level="error", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the service did not start"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
            yield Installation(settings, client)
    finally:
        server.should_exit = True
        thread.join()


def eager(home: Path, database_url: str, broker_url: str) -> Settings:
    """Settings under which work is looked for all the time."""
    return Settings(home=home, database_url=database_url, broker_url=broker_url, heartbeat_seconds=1, sweep_seconds=0.5)


def impatient(home: Path, database_url: str, broker_url: str) -> Settings:
    """The same, and a dead worker is noticed within seconds; as is, on a busy machine, one that was kept waiting."""
    return eager(home, database_url, broker_url).model_copy(update={"lease_seconds": 3})
