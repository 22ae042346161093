"""A real Label Studio on loopback, and what its users do with it over its own API."""

import os
import re
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from service.terminal.processes import free_port

READY_WITHIN_S = 300  # the first start makes the database
USER, PASSWORD = "annotator@example.org", "suspects-1"
# None of its own servers is asked for anything, and loopback is allowed while other reserved networks are not.
SETTINGS = {
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "COLLECT_ANALYTICS": "false",
    "LATEST_VERSION_CHECK": "false",
    "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
    "USE_DEFAULT_BANNED_SUBNETS": "false",
    "USER_ADDITIONAL_BANNED_SUBNETS": "169.254.0.0/16",
}


@dataclass
class Tool:
    """A running Label Studio, asked with the legacy token of its only user."""

    url: str
    token: str
    client: httpx.Client

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """One request that must succeed."""
        answer = self.client.request(method, path, **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None

    def project(self, title: str, config: str) -> int:
        """A new project."""
        return int(self.ask("POST", "/api/projects/", json={"title": title, "label_config": config})["id"])

    def add(self, project: int, tasks: Sequence[Mapping[str, Any]]) -> list[int]:
        """New tasks; gives their numbers in order."""
        path = f"/api/projects/{project}/import"
        told = self.ask("POST", path, params={"return_task_ids": "true"}, json=list(tasks))
        return [int(one) for one in told["task_ids"]]

    def tasks(self, project: int) -> list[dict[str, Any]]:
        """Every task with its annotations, predictions and drafts."""
        params = {"project": project, "page_size": 1000, "fields": "all"}
        found: list[dict[str, Any]] = self.ask("GET", "/api/tasks/", params=params)["tasks"]
        return found

    def in_tab(self, project: int, view: int) -> list[int]:
        """The tasks of a tab of the Data Manager, in its order."""
        params = {"project": project, "view": view, "page_size": 1000}
        return [int(one["id"]) for one in self.ask("GET", "/api/tasks/", params=params)["tasks"]]

    def next_task(self, project: int, view: int | None = None) -> int:
        """What an annotator gets who starts to label, in the order of a tab."""
        params: dict[str, Any] = {"id": "next_task", "project": project}
        body: dict[str, Any] = {}
        if view is not None:
            body["ordering"] = self.ask("GET", f"/api/dm/views/{view}/", params={"project": project})["data"][
                "ordering"
            ]
        return int(self.ask("POST", "/api/dm/actions", params=params, json=body)["id"])

    @cached_property
    def personal_token(self) -> str:
        """A refresh token; a user has one."""
        given = os.environ.get("TEST_LABEL_STUDIO_PERSONAL_TOKEN")
        return given or str(self.ask("POST", "/api/token/", json={})["token"])

    @contextmanager
    def without_legacy_tokens(self) -> Iterator[None]:
        """The organisation lets in personal tokens alone for as long as the block."""
        self._allow_legacy(False)
        try:
            yield
        finally:
            self._allow_legacy(True)

    def _allow_legacy(self, allowed: bool) -> None:
        access = self.ask("POST", "/api/token/refresh/", json={"refresh": self.personal_token})["access"]
        body = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": allowed}
        self.ask("POST", "/api/jwt/settings", json=body, headers={"Authorization": f"Bearer {access}"})

    def relabel(self, task: Mapping[str, Any], label: str) -> None:
        """Change the first annotation of a task, as a person does."""
        annotation = task["annotations"][0]
        result = [{**annotation["result"][0], "value": {"choices": [label]}}]
        self.ask("PATCH", f"/api/annotations/{annotation['id']}/", json={"result": result})

    def annotate(self, task: int, label: str, **more: Any) -> int:
        """Submit a new annotation of a task."""
        value = {"choices": [label]}
        result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": value}]
        return int(self.ask("POST", f"/api/tasks/{task}/annotations/", json={"result": result, **more})["id"])


def labelled(text: str, label: str) -> dict[str, Any]:
    """A task of a text project with one annotation."""
    value = {"choices": [label]}
    result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": value}]
    return {"data": {"text": text}, "annotations": [{"result": result}]}


@contextmanager
def running(program: Path, folder: Path) -> Iterator[Tool]:
    """Start Label Studio with an empty database in `folder`, and stop it."""
    port, token = free_port(), secrets.token_hex(20)
    url = f"http://127.0.0.1:{port}"
    command = [
        str(program), "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port),
        "--data-dir", str(folder), "--username", USER, "--password", PASSWORD, "--user-token", token,
        "--enable-legacy-api-token", "--init",
    ]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "server.log").open("wb") as log:
        environment = {**os.environ, **SETTINGS}
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            with httpx.Client(base_url=url, trust_env=False, timeout=120) as client:
                client.headers["Authorization"] = f"Token {token}"
                _wait(client, process, folder / "server.log")
                yield Tool(url, token, client)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            if client.get("/health").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"Label Studio did not start: {log.read_text()[-3000:]}")


def numbers(url: str) -> list[int]:
    """The numbers in an address."""
    return [int(one) for one in re.findall(r"\d+", url.rpartition(":")[2].partition("/")[2])]
