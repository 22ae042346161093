"""An installation of ours, and what its users ask of it."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from service.settings import Settings
from tests.label_studio.tool import Tool


@dataclass
class Installation:
    """The service on a socket, one worker (its group of processes), and all that either says."""

    url: str
    client: httpx.Client
    settings: Settings
    log: Path
    worker_log: Path
    worker: int

    def connect(self, tool: Tool, token: str | None = None) -> str:
        """A connection to the tool."""
        body = {"kind": "label_studio", "url": tool.url, "token": token or tool.token}
        answer = self.client.post("/connections", json=body)
        assert answer.status_code == httpx.codes.CREATED, answer.text
        return str(answer.json()["id"])

    def backend(self, connection: str) -> str:
        """The address for the tool's settings page."""
        return str(self.client.post(f"/connections/{connection}/backend").json()["url"])

    def rank(self, connection: str, project: int, **options: Any) -> dict[str, Any]:
        """Pull a project and wait for its ranking."""
        answer = self.client.post("/jobs", json={"connection": connection, "project": project, **options})
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        return self.ended(answer.json()["id"])

    def ended(self, job_id: str) -> dict[str, Any]:
        """A job once it is completed."""
        job: dict[str, Any] = self.until(
            lambda: self.get(f"/jobs/{job_id}"), lambda found: found["state"] in ("completed", "failed", "cancelled")
        )
        assert job["state"] == "completed", job["error"]
        return job

    def get(self, path: str, **params: Any) -> Any:
        """What is answered, which must be a success."""
        answer = self.client.get(path, params=params)
        assert answer.is_success, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None) -> Any:
        """The same for a POST."""
        answer = self.client.post(path, json={} if body is None else body)
        assert answer.is_success, answer.text
        return answer.json()

    @contextmanager
    def without_worker(self) -> Iterator[None]:
        """Its processes hold still for as long as the block."""
        os.killpg(self.worker, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.worker, signal.SIGCONT)

    def suspects(self, job_id: str) -> list[dict[str, Any]]:
        """The whole ranking."""
        found: list[dict[str, Any]] = self.get(f"/jobs/{job_id}/suspects", limit=1000)["items"]
        return found

    def until(self, look: Callable[[], Any], good: Callable[[Any], bool], seconds: float = 240) -> Any:
        """Look until it is good."""
        deadline = time.monotonic() + seconds
        while not good(found := look()):
            assert time.monotonic() < deadline, found
            time.sleep(0.1)
        return found
