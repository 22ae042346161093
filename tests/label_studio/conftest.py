"""The real Label Studio, and an installation of ours with a worker process, for the whole loop between them."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis
import uvicorn

from service.main import create_app
from service.processes import free_port
from service.settings import WORKER_QUEUES, Settings
from tests.label_studio.ours import Installation
from tests.label_studio.tool import Tool, running

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
def installation(redis_url: str) -> Iterator[Installation]:
    """Ours, on SQLite, allowed to speak with loopback; the tool is told where it is."""
    with redis.Redis.from_url(redis_url) as broker:
        broker.flushdb()
    folder = Path(tempfile.mkdtemp(prefix="suspects-ours-"))
    port = free_port()
    settings = Settings(
        home=folder / "home",
        broker_url=redis_url,
        sweep_seconds=0.2,
        allow_private_connections=True,
        public_url=f"http://127.0.0.1:{port}",
    )
    logs = folder / "logs"
    logs.mkdir()
    with (logs / "service.log").open("w") as log, contextlib.redirect_stderr(log):
        config = uvicorn.Config(
            create_app(settings), host="127.0.0.1", port=port, access_log=False, timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            with _worker(settings, logs / "worker.log"), httpx.Client(trust_env=False, timeout=300) as client:
                client.base_url = httpx.URL(settings.public_url)
                yield Installation(settings.public_url, client, settings, logs / "service.log", logs / "worker.log")
        finally:
            server.should_exit = True
            thread.join()
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _worker(settings: Settings, log: Path) -> Iterator[None]:
    environment = {
        **os.environ,
        "SUSPECTS_HOME": str(settings.home),
        "SUSPECTS_BROKER_URL": settings.broker_url,
        "SUSPECTS_THREADS": "2",
    }
    options = ["--queues", WORKER_QUEUES, "--concurrency", "1", "--loglevel", "info"]
    command = [sys.executable, "-m", "celery", "--app", "worker.app", "worker", *options]
    with log.open("w") as said:
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said, start_new_session=True)
        try:
            yield
        finally:
            process.terminate()
            process.wait()
