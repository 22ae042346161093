"""The real Label Studio, and an installation of ours with a worker process, for the whole loop between them."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from service.settings import WORKER_QUEUES, Settings
from tests.browser.conftest import browser
from tests.label_studio.ours import Installation
from tests.label_studio.tool import Tool, running
from tests.servers import reserved_port

__all__ = ["browser"]

PROGRAM = Path(os.environ.get("TEST_LABEL_STUDIO", ".venv-label-studio/bin/label-studio"))


@pytest.fixture(scope="session")
def tool() -> Iterator[Tool]:
    """The program that `TEST_LABEL_STUDIO` names, started; or the server at `TEST_LABEL_STUDIO_URL`.

    Its legacy token is then TEST_LABEL_STUDIO_TOKEN, and TEST_LABEL_STUDIO_PERSONAL_TOKEN the other one if there is one.
    """
    url = os.environ.get("TEST_LABEL_STUDIO_URL")
    if url:
        token = os.environ["TEST_LABEL_STUDIO_TOKEN"]
        with httpx.Client(base_url=url, trust_env=False, timeout=120) as client:
            client.headers["Authorization"] = f"Token {token}"
            yield Tool(url, token, client)
        return
    if not PROGRAM.exists():
        pytest.skip("the real Label Studio is not installed here: make test-label-studio")
    folder = Path(tempfile.mkdtemp(prefix="suspects-label-studio-"))
    try:
        with running(PROGRAM.absolute(), folder) as started:
            yield started
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def port() -> Iterator[int]:
    """The port of our service."""
    with reserved_port() as port:
        yield port


@pytest.fixture(scope="session")
def installation(redis_url: str, port: int) -> Iterator[Installation]:
    """Ours, on SQLite, allowed to speak with loopback; the tool is told where it is."""
    with redis.Redis.from_url(redis_url) as broker:
        broker.flushdb()
    folder = Path(tempfile.mkdtemp(prefix="suspects-ours-"))
    settings = Settings(
        home=folder / "home",
        broker_url=redis_url,
        sweep_seconds=0.2,
        answer_seconds=15,
        allow_private_connections=True,
        public_url=f"http://127.0.0.1:{port}",
    )
    logs = folder / "logs"
    logs.mkdir()
    environment = {
        **os.environ,
        "SUSPECTS_HOME": str(settings.home),
        "SUSPECTS_BROKER_URL": settings.broker_url,
        "SUSPECTS_SWEEP_SECONDS": str(settings.sweep_seconds),
        "SUSPECTS_ANSWER_SECONDS": str(settings.answer_seconds),
        "SUSPECTS_ALLOW_PRIVATE_CONNECTIONS": "true",
        "SUSPECTS_PUBLIC_URL": settings.public_url,
        "SUSPECTS_THREADS": "2",
    }
    api = ["uvicorn", "--factory", "service.main:create_app", "--port", str(port), "--no-access-log"]
    worker = ["celery", "--app", "worker.app", "worker", "--queues", WORKER_QUEUES, "--concurrency", "1"]
    worker += ["--loglevel", "info"]
    try:
        with (
            _process(api, environment, logs / "service.log") as served,
            _process(worker, environment, logs / "worker.log") as computing,
            httpx.Client(base_url=settings.public_url, trust_env=False, timeout=300) as client,
        ):
            _wait(client, served, logs / "service.log")
            yield Installation(
                settings.public_url, client, settings, logs / "service.log", logs / "worker.log", computing.pid
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _process(module: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", *module], env=environment, stdout=said, stderr=said, start_new_session=True
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


def _wait(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-3000:]
        with contextlib.suppress(httpx.TransportError):
            if client.get("/healthz").is_success:
                return
        time.sleep(0.1)
    raise AssertionError(f"the service did not start: {log.read_text()[-3000:]}")
