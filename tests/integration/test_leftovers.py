"""A service that is killed while it reads an upload leaves files behind, and the next one removes them."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.servers import reserved_port

ROWS = 400_000


@pytest.fixture
def environment(tmp_path: Path, redis_url: str) -> dict[str, str]:
    return {
        **os.environ,
        "SUSPECTS_HOME": str(tmp_path / "home"),
        "SUSPECTS_BROKER_URL": redis_url,
        "SUSPECTS_COLLECT_SECONDS": "0.2",
        "SUSPECTS_COLLECT_AFTER_SECONDS": "1",
    }


@contextlib.contextmanager
def api(environment: dict[str, str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "service.main", "--port", str(port)]
    process = subprocess.Popen([*command, "--log-level", "error"], env=environment, start_new_session=True)
    try:
        while True:
            assert process.poll() is None
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False, timeout=60)
                break
            time.sleep(0.05)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def whole(process: subprocess.Popen[bytes]) -> None:
    """Kill the API with all that belongs to it."""
    os.killpg(process.pid, signal.SIGKILL)


def answering(process: subprocess.Popen[bytes]) -> None:
    """Kill the process that answers; its parent starts another, and the one that reads the upload ends by itself."""
    (found,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(found), signal.SIGKILL)


@pytest.mark.parametrize("kill", [whole, answering])
def test_what_a_killed_service_was_reading_is_removed(
    tmp_path: Path, environment: dict[str, str], kill: Callable[[subprocess.Popen[bytes]], None]
) -> None:
    home = tmp_path / "home"
    content = b"x,y\n" + b"".join(b"%d,%s\n" % (i, b"ab"[i % 2 : i % 2 + 1]) for i in range(ROWS))
    with reserved_port() as port, api({**environment, "SUSPECTS_COLLECT_SECONDS": "0"}, port) as process:
        url = f"http://127.0.0.1:{port}/datasets"
        stays = httpx.post(url, files={"file": ("b.csv", content[:2000])}, trust_env=False, timeout=60).json()["id"]

        def send() -> None:
            with contextlib.suppress(httpx.TransportError):
                httpx.post(url, files={"file": ("a.csv", content)}, trust_env=False, timeout=120)

        sender = threading.Thread(target=send)
        sender.start()
        while not list(home.glob("datasets/*/.ingest-*")):
            assert sender.is_alive()
            time.sleep(0.01)
        kill(process)
        sender.join()
    assert len(list(home.glob("datasets/*"))) == 2
    assert list(home.glob("uploads/*"))
    with reserved_port() as port, api(environment, port):
        deadline = time.monotonic() + 120
        while [one.name for one in home.glob("datasets/*")] != [stays] or list(home.glob("uploads/*")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        # It counts once the files are gone.
        counted = 'suspects_collected_total{kind="orphan"} 1.0'
        metrics = f"http://127.0.0.1:{port}/metrics"
        while counted not in httpx.get(metrics, trust_env=False, timeout=60).text:
            assert time.monotonic() < deadline
            time.sleep(0.1)
