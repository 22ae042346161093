"""A stand-in for Label Studio on loopback: as much of its HTTP API as a pull and a push need, and ways to misbehave.

The real one is a gigabyte and takes a minute to start; `make test-label-studio` runs it. What this one answers has the
shapes that Label Studio 1.23.2 was seen to answer with.
"""

import base64
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "f" * 40
TEXT_CONFIG = """<View><Text name="text" value="$text"/>
<Choices name="label" toName="text"><Choice value="cat"/><Choice value="dog"/></Choices></View>"""


def jwt(kind: str, **more: Any) -> str:
    """A token as Label Studio makes them; the signature is nobody's."""
    body = base64.urlsafe_b64encode(json.dumps({"token_type": kind, **more}).encode()).decode().rstrip("=")
    return f"e30.{body}.c2lnbmF0dXJl"


PERSONAL = jwt("refresh", jti="hush")


@dataclass
class Heard:
    """One request."""

    method: str
    path: str
    authorization: str | None
    body: bytes


@dataclass
class StandIn:
    """Its projects, and how it behaves. `answers` go first: a status, or bytes for a body that is no JSON."""

    config: str = TEXT_CONFIG
    tasks: list[dict[str, Any]] = field(default_factory=list)
    others: dict[int, list[dict[str, Any]]] = field(default_factory=dict)  # tasks of projects beside the first
    files: dict[str, bytes] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    answers: list[int | bytes] = field(default_factory=list)
    refuses: list[tuple[str, str]] = field(default_factory=list)  # by method and path, each once
    echo: int | None = None  # refuses every request and tells what it was sent, after so many other characters
    personal_only: bool = False
    life_s: float = 300
    total: int | None = None  # what it says how many tasks there are; None: the truth
    delay_s: float = 0
    predictions: list[dict[str, Any]] = field(default_factory=list)
    views: list[dict[str, Any]] = field(default_factory=list)
    project: dict[str, Any] = field(default_factory=dict)
    heard: list[Heard] = field(default_factory=list)
    access: set[str] = field(default_factory=set)
    port: int = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def paths(self, start: str = "") -> list[str]:
        """What was asked for, of paths that start so."""
        return [one.path for one in self.heard if one.path.startswith(start)]

    def lets_in(self, authorization: str | None) -> bool:
        """Whether a token is good now."""
        kind, _, token = (authorization or "").partition(" ")
        return (kind == "Bearer" and token in self.access) or (
            kind == "Token" and token == TOKEN and not self.personal_only
        )

    def answer(self, method: str, path: str, query: Mapping[str, Sequence[str]], body: bytes) -> tuple[int, Any]:
        """What a request gets that was let in."""
        match method, path:
            case "GET", "/api/current-user/whoami":
                return 200, {"id": 1, "email": "annotator@example.org"}
            case "GET", "/api/version":
                return 200, {"release": "1.23.2"}
            case "GET", "/api/projects/":
                return 200, {"count": 1, "results": []}
            case "GET", path if path in {f"/api/projects/{number}/" for number in self.others}:
                return 200, {"title": "suspects", "label_config": self.config, "task_number": 0}
            case "GET", "/api/projects/7/":
                known = {"id": 7, "title": "animals", "label_config": self.config, "token": "project-token"}
                return 200, {**known, "model_version": "", "task_number": len(self.tasks), **self.project}
            case "GET", "/api/tasks/":
                tasks = self.others.get(int(query["project"][0]), self.tasks)
                return self._page(tasks, int(query["page"][0]), int(query["page_size"][0]), newest="query" in query)
            case "GET", path if path.startswith("/api/tasks/"):
                found = [task for task in self.tasks if task["id"] == int(path.split("/")[3])]
                return (200, {"drafts": [], **found[0]}) if found else (404, {"detail": "Not found."})
        sent = json.loads(body or b"{}")
        return self._annotated(method, path.strip("/").split("/")[1:], sent) or self._written(method, path, sent)

    def _annotated(self, method: str, parts: Sequence[str], sent: Any) -> tuple[int, Any] | None:
        match method, parts:
            case "POST", ["annotations", number, "convert-to-draft"]:
                for task in self.tasks:
                    for one in [one for one in task["annotations"] if one["id"] == int(number)]:
                        task["annotations"].remove(one)
                        task.setdefault("drafts", []).append({"id": one["id"] + 5000, "result": one["result"]})
                return 200, {}
            case "POST", ["tasks", number, "annotations"]:
                (task,) = [task for task in self.tasks if task["id"] == int(number)]
                known = [one["id"] for task in self.tasks for one in task["annotations"]]
                task["annotations"].append({**annotation(max([1000, *known]) + 1), "ground_truth": False, **sent})
                return 201, task["annotations"][-1]
            case "DELETE", ["drafts", number]:
                for task in self.tasks:
                    task["drafts"] = [one for one in task.get("drafts", []) if one["id"] != int(number)]
                return 204, b""
            case "POST", ["projects"]:
                self.others[8] = []
                return 201, {"id": 8}
            case "POST", ["projects", number, "import"] if int(number) in self.others:
                tasks = self.others[int(number)]
                tasks += [{"id": 800 + place, "annotations": [], **one} for place, one in enumerate(sent, len(tasks))]
                return 201, {}
            case "PATCH", ["projects", number] if int(number) in self.others:
                return 200, {}
        return None

    def _written(self, method: str, path: str, sent: Any) -> tuple[int, Any]:
        match method, path:
            case "PATCH", "/api/projects/7/":
                self.project |= sent
                return 200, self.project
            case "GET", "/api/projects/7/model-versions/":
                return 200, dict(Counter(one["model_version"] for one in self.predictions))
            case "DELETE", "/api/projects/7/model-versions/":
                self.predictions = [one for one in self.predictions if one["model_version"] != sent["model_version"]]
                return 200, {}
            case "POST", "/api/projects/7/import/predictions":
                self.predictions += [
                    {k: v for k, v in one.items() if k not in ("mislabeling", "neighbors")} for one in sent
                ]
                return 201, {}
            case "POST", "/api/predictions/":
                self.predictions.append(sent)
                return 201, sent
            case "GET", "/api/webhooks/":
                return 200, []
            case "POST", "/api/webhooks/":
                return 400, {"detail": "Validation error", "validation_errors": {"url": [f"not {sent['url']}"]}}
            case "GET", "/api/dm/views/":
                return 200, self.views
            case "POST", "/api/dm/views/":
                self.views.append({"id": len(self.views) + 1, **sent})
                return 201, self.views[-1]
        return 404, {"detail": "Not found."}

    def _page(self, tasks: list[dict[str, Any]], page: int, size: int, *, newest: bool) -> tuple[int, Any]:
        ordered = sorted(tasks, key=_changed_at, reverse=True) if newest else tasks
        found = ordered[(page - 1) * size : page * size]
        if not found and page > 1:
            return 404, {"detail": "Invalid page."}
        counts = {"total_annotations": sum(len(task["annotations"]) for task in tasks)}
        shown = [{**task, "updated_at": _changed_at(task)} for task in found]
        return 200, {"tasks": shown, "total": len(tasks) if self.total is None else self.total, **counts}

    def exchange(self, body: bytes) -> tuple[int, Any]:
        """An access token for the refresh token."""
        if json.loads(body).get("refresh") != PERSONAL:
            return 401, {"detail": "Token is invalid or expired"}
        token = jwt("access", number=len(self.access), exp=time.time() + self.life_s)
        self.access.add(token)
        return 200, {"access": token}


def _changed_at(task: Mapping[str, Any]) -> str:
    return max((str(one["updated_at"]) for one in task["annotations"]), default="")


def text_task(number: int, *labels: str, **more: Any) -> dict[str, Any]:
    """A task with one annotation a label."""
    return {
        "id": number,
        "data": {"text": f"words of task {number}"},
        "annotations": [annotation(number * 10 + place, label) for place, label in enumerate(labels)],
        **more,
    }


def annotation(number: int, *choices: str, **more: Any) -> dict[str, Any]:
    """What somebody said of a task."""
    result = [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": list(choices)}}]
    stamp = f"2026-01-01T00:{number // 60 % 60:02}:{number % 60:02}Z"
    return {"id": number, "result": result if choices else [], "updated_at": stamp, "ground_truth": False, **more}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    tool: StandIn

    def _handle(self) -> None:
        tool, parts = self.tool, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        sent = self.headers.get("Authorization")
        tool.heard.append(Heard(self.command, self.path, sent, body))
        time.sleep(tool.delay_s)
        if parts.path == "/api/token/refresh/":
            self._tell(*tool.exchange(body))
        elif tool.echo is not None:
            self._tell(403, {"detail": f"{'x' * tool.echo}{sent} {self.path}"})
        elif (self.command, parts.path) in tool.refuses:
            tool.refuses.remove((self.command, parts.path))
            self._tell(500, {"detail": "as it likes"})
        elif tool.answers:
            answer = tool.answers.pop(0)
            self._tell(*((200, answer) if isinstance(answer, bytes) else (answer, {"detail": "as it likes"})))
        elif parts.path in tool.moved:
            self._tell(302, {}, tool.moved[parts.path])
        elif parts.path.startswith("/public/"):
            self._tell(200, tool.files[parts.path])
        elif not tool.lets_in(sent):
            self._tell(401, {"detail": "Invalid token."})
        elif parts.path in tool.files:
            self._tell(200, tool.files[parts.path])
        else:
            self._tell(*tool.answer(self.command, parts.path, parse_qs(parts.query), body))

    # http.server looks for these names.
    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _handle  # noqa: N815  what http.server calls

    def _tell(self, status: int, body: Any, location: str | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if location is not None:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            pass  # whoever waited has gone

    def log_message(self, *_: Any) -> None:
        """Quietly."""


@contextmanager
def standing_in() -> Iterator[StandIn]:
    """One that runs as long as the block."""
    tool = StandIn()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"tool": tool}))
    server.daemon_threads = True
    tool.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield tool
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
