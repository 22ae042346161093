"""A real doccano on loopback, and what its users do with it over its own API."""

import io
import os
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from service.terminal.processes import free_port

READY_WITHIN_S = 280
USER, PASSWORD = "annotator", "suspects-1"
TEXT = {"project_type": "DocumentClassification", "resourcetype": "TextClassificationProject"}


@dataclass
class Tool:
    """A running doccano, asked by its administrator."""

    url: str
    client: httpx.Client

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """One request that must succeed."""
        answer = self.client.request(method, f"/v1{path}", **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None

    def project(self, name: str, classes: Sequence[str]) -> int:
        """A new project for texts of one class each."""
        body = {
            **TEXT,
            "name": name,
            "description": name,
            "guideline": "",
            "tags": [],
            "random_order": False,
            "collaborative_annotation": True,
            "single_class_classification": True,
        }
        number = int(self.ask("POST", "/projects", json=body)["id"])
        for place, text in enumerate(classes):
            label = {"text": text, "suffix_key": str(place + 1), "background_color": "#209cee"}
            self.ask("POST", f"/projects/{number}/category-types", json=label)
        return number

    def load(self, project: int, lines: bytes) -> None:
        """Import JSONL with its text and label in the columns of these names."""
        upload = self.client.post("/v1/fp/process/", files={"filepond": ("data.jsonl", lines, "application/json")})
        assert upload.is_success, upload.text
        body = {
            "format": "JSONL",
            "task": "DocumentClassification",
            "uploadIds": [upload.text.strip('"')],
            "column_data": "text",
            "column_label": "label",
            "encoding": "utf_8",
            "delimiter": "",
        }
        task = self.ask("POST", f"/projects/{project}/upload", json=body)["task_id"]
        done = self._until(lambda: self.ask("GET", f"/tasks/status/{task}"), lambda told: bool(told["ready"]))
        assert not done["error"], done

    def download(self, project: int) -> bytes:
        """Its export as JSONL, in the ZIP that doccano makes of it."""
        body = {"format": "JSONL", "exportApproved": False}
        task = self.ask("POST", f"/projects/{project}/download", json=body)["task_id"]
        self._until(lambda: self.ask("GET", f"/tasks/status/{task}"), lambda told: bool(told["ready"]))
        answer = self.client.get(f"/v1/projects/{project}/download", params={"taskId": task})
        assert answer.is_success, answer.text
        return answer.content

    def examples(self, project: int) -> list[dict[str, Any]]:
        """Every example with its meta, in doccano's order."""
        found: list[dict[str, Any]] = []
        while True:
            params = {"limit": 100, "offset": len(found)}
            page = self.ask("GET", f"/projects/{project}/examples", params=params)
            found += page["results"]
            if not page["next"]:
                return found

    def relabel(self, project: int, example: int, label: str) -> None:
        """Give an example another class, as a person does."""
        types = {one["text"]: one["id"] for one in self.ask("GET", f"/projects/{project}/category-types")}
        path = f"/projects/{project}/examples/{example}/categories"
        for one in self.ask("GET", path):
            self.ask("DELETE", f"{path}/{one['id']}")
        self.ask("POST", path, json={"label": types[label], "prob": 0})

    def comments(self, project: int, example: int) -> list[str]:
        """What was written about an example."""
        told = self.ask("GET", f"/projects/{project}/comments", params={"example": example, "limit": 100})
        return [one["text"] for one in told["results"]]

    def _until(self, look: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
        deadline = time.monotonic() + READY_WITHIN_S
        while not good(found := look()):
            assert time.monotonic() < deadline, found
            time.sleep(0.2)
        return found


def lines_of(archive: bytes) -> bytes:
    """The one file of a doccano export."""
    with zipfile.ZipFile(io.BytesIO(archive)) as found:
        (name,) = found.namelist()
        return found.read(name)


@contextmanager
def running(program: Path, folder: Path) -> Iterator[Tool]:
    """Start doccano with an empty database in `folder`, its server and its worker, and stop both."""
    folder.mkdir(parents=True, exist_ok=True)
    backend = next((program.parents[1] / "lib").glob("python3*")) / "site-packages" / "backend"
    environment = {
        **os.environ,
        "DOCCANO_HOME": str(folder),
        "STANDALONE": "True",
        "DJANGO_SETTINGS_MODULE": "config.settings.production",
        "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
        "MEDIA_ROOT": str(folder / "media"),
    }
    environment.pop("PYTHONPATH", None)
    with (folder / "server.log").open("wb") as log:
        for command in (["init"], ["createuser", "--username", USER, "--password", PASSWORD]):
            subprocess.run([str(program), *command], env=environment, stdout=log, stderr=log, check=True, cwd=folder)
        port = free_port()
        # Its own command listens on every address; the same server, on loopback alone.
        server = [
            str(program.parent / "gunicorn"),
            "--bind",
            f"127.0.0.1:{port}",
            "--chdir",
            str(backend),
            "config.wsgi",
        ]
        with (
            _process(server, environment, log, folder),
            _process([str(program), "task", "--concurrency", "1"], environment, log, folder),
            httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=120) as client,
        ):
            _enter(client, folder / "server.log")
            yield Tool(f"http://127.0.0.1:{port}", client)


@contextmanager
def _process(command: Sequence[str], environment: Mapping[str, str], log: Any, folder: Path) -> Iterator[None]:
    process = subprocess.Popen(
        command, env=dict(environment), stdout=log, stderr=log, cwd=folder, start_new_session=True
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _enter(client: httpx.Client, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        try:
            answer = client.post("/v1/auth/login/", json={"username": USER, "password": PASSWORD})
            if answer.is_success:
                # Alone: with the session's cookie beside it doccano would ask for its CSRF token, too.
                client.cookies.clear()
                client.headers["Authorization"] = f"Token {answer.json()['key']}"
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"doccano did not start: {log.read_text()[-3000:]}")
