"""`suspects doccano` against the real service; doccano is a stand-in that answers as doccano 1.8.4 was seen to.

The real one is 0.7 GB: `make test-doccano`.
"""

import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from service.services import Services
from service.store import datasets
from service.terminal.cli import app
from service.terminal.doccano import Doccano
from tests.builders import add_job, finish, ranking_of
from usual_suspects.client import ApiError

GIVEN = range(1, 25)
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


class StandIn:
    """One project of three examples, all confirmed; what was sent, in order."""

    def __init__(self) -> None:
        self.examples: dict[int, dict[str, Any]] = {
            n: {"id": n, "meta": {"ext": n}, "score": 100.0, "is_confirmed": True, "comment_count": 0}
            for n in (1, 2, 3)
        }
        self.labels = {1: 1, 2: 2, 3: 1}
        self.comments: dict[int, list[str]] = {1: [], 2: [], 3: []}
        self.confirmed: dict[int, str] = dict.fromkeys((1, 2, 3), "2025-01-01T00:00:00Z")
        self.writes: list[str] = []
        self.url = ""

    def answer(self, method: str, path: str, query: str, body: Any) -> Any:  # noqa: C901  a case a route
        parts = path.split("/")[2:]
        example = int(parts[3]) if len(parts) > 3 and parts[2] == "examples" else 0
        if method != "GET" and parts[0] != "auth":
            self.writes.append(f"{method} {'/'.join(parts)}")
        match (method, parts):
            case ("POST", ["auth", "login", ""]):
                return {"key": "k" * 40} if body["password"] == "right" else None
            case ("POST", ["projects", "7", "download"]):
                return {"task_id": "t"}
            case ("GET", ["tasks", "status", "t"]):
                return {"ready": True, "error": None}
            case ("GET", ["projects", "7", "category-types"]):
                return [{"id": 1, "text": "a"}, {"id": 2, "text": "b"}]
            case ("GET", ["projects", "7", "examples"]):
                # A page an example: nothing must be lost between pages.
                offset = int(query.rpartition("offset=")[2])
                left = list(self.examples.values())
                return {"results": left[offset : offset + 1], "next": "x" if offset + 1 < len(left) else None}
            case ("PATCH", ["projects", "7", "examples", _]):
                self.examples[example] |= body
            case ("GET", ["projects", "7", "examples", _, "categories"]):
                return [{"id": 9, "label": self.labels[example]}]
            case ("POST", ["projects", "7", "examples", _, "states"]):
                self.examples[example]["is_confirmed"] = False
                self.confirmed.pop(example)
            case ("GET", ["projects", "7", "examples", _, "states"]):
                times = [self.confirmed[example]] if example in self.confirmed else []
                return {"results": [{"confirmed_at": one} for one in times]}
            case ("GET", ["projects", "7", "comments"]):
                number = int(query.partition("example=")[2].partition("&")[0])
                return {"results": [{"text": text} for text in self.comments[number]]}
            case ("POST", ["projects", "7", "comments"]):
                number = int(query.partition("example=")[2])
                self.comments[number].append(body["text"])
                self.examples[number]["comment_count"] += 1
        return {}


@pytest.fixture
def tool() -> Iterator[StandIn]:
    stand_in = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if path.endswith("/download") and self.command == "GET":
                packed = BytesIO()
                with zipfile.ZipFile(packed, "w") as archive:
                    archive.writestr("all.jsonl", '{"id": 1}\n')
                content: bytes | None = packed.getvalue()
            else:
                allowed = "/auth/" in path or self.headers.get("Authorization") == "Token " + "k" * 40
                told = (
                    stand_in.answer(self.command, path, query, json.loads(body) if body else None) if allowed else None
                )
                content = None if told is None else json.dumps(told).encode()
            self.send_response(400 if content is None else 200)
            self.end_headers()
            self.wfile.write(content or b'{"password": "hush"}')

        do_GET = do_POST = do_PATCH = _serve  # noqa: N815  what http.server calls

        def log_message(self, *_: Any) -> None:
            """Nothing on the screen."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stand_in.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield stand_in
        server.shutdown()


def suspect(number: int, score: float, **changes: Any) -> dict[str, Any]:
    known = {"sample": {"id": str(number)}, "score": score, "rank": number, "given_label": "a", "suggested_label": "b"}
    return {**known, **changes}


Push = Callable[..., Any]


@pytest.fixture
def push(tool: StandIn) -> Push:
    def pushed(*suspects: dict[str, Any], job: str = "job_1", reopen: bool = False) -> Any:
        with Doccano(tool.url, "me", "right") as doccano:
            return doccano.push(7, job, suspects, MOMENT, reopen=reopen, comment=True)

    return pushed


def test_the_most_suspicious_has_the_lowest_score_and_its_own_meta_stays(tool: StandIn, push: Push) -> None:
    done = push(suspect(1, 0.9), suspect(2, 0.5), suspect(8, 0.4))
    assert (done.marked, done.before, done.missing, done.reopened) == (2, 0, 1, 0)
    assert [one["score"] for one in tool.examples.values()] == pytest.approx([10.0, 50.0, 100.0])
    assert tool.examples[1]["meta"]["ext"] == 1
    assert tool.examples[1]["meta"]["suspicion"] == 0.9
    assert tool.examples[3]["meta"] == {"ext": 3}
    assert tool.comments[1] == ["suspect 0.90: labelled a, looks like b (job_1)"]
    assert all(one["is_confirmed"] for one in tool.examples.values())


def test_twice_is_as_once(tool: StandIn, push: Push) -> None:
    push(suspect(1, 0.9), suspect(2, 0.5), reopen=True)
    assert not tool.examples[1]["is_confirmed"]
    tool.examples[1]["is_confirmed"] = True  # somebody has looked at it since
    tool.writes.clear()
    done = push(suspect(1, 0.9), suspect(2, 0.5), reopen=True)
    assert (done.marked, done.before, done.reopened, tool.writes) == (2, 2, 0, [])


def test_marks_of_an_earlier_job_are_cleared(tool: StandIn, push: Push) -> None:
    push(suspect(1, 0.9), suspect(2, 0.5))
    done = push(suspect(2, 0.7), job="job_2")
    assert (done.marked, done.before, done.cleared) == (1, 0, 1)
    assert (tool.examples[1]["meta"], tool.examples[1]["score"]) == ({"ext": 1}, 100.0)
    assert tool.examples[2]["meta"]["suspects_job"] == "job_2"
    assert len(tool.comments[2]) == 2  # what was said before is a record


def test_only_what_happened_since_the_push_is_a_decision(tool: StandIn, push: Push) -> None:
    def decided() -> list[dict[str, str]]:
        with Doccano(tool.url, "me", "right") as doccano:
            return doccano.decisions(7, "job_1", {"1": "a", "2": "b", "3": "a"})

    with pytest.raises(ApiError, match="job_1 has marked no example of project 7"):
        decided()  # rather than to take every sample for deleted
    push(suspect(1, 0.9), suspect(2, 0.5))
    assert decided() == []  # it had been confirmed before
    tool.labels[1] = 2
    tool.confirmed[2] = "2026-01-02T00:00:00Z"
    tool.labels[3] = 2  # no suspect of the job
    assert decided() == [
        {"sample_id": "1", "decision": "relabel", "label": "b"},
        {"sample_id": "2", "decision": "keep"},
    ]
    del tool.examples[2]
    assert decided()[1:] == [{"sample_id": "2", "decision": "remove"}]


def test_a_decision_is_taken_once_and_a_new_one_again(tool: StandIn, push: Push) -> None:
    given = {"1": "a", "2": "b", "3": "a"}
    push(suspect(1, 0.9), suspect(2, 0.5))
    tool.labels[1] = 2
    with Doccano(tool.url, "me", "right") as doccano:
        first = doccano.decisions(7, "job_1", given)
        assert first == [{"sample_id": "1", "decision": "relabel", "label": "b"}]
        doccano.mark_recorded(7, first)
        assert doccano.decisions(7, "job_1", given) == []
        done = push(suspect(1, 0.9), suspect(2, 0.5))
        assert done.before == 2  # a push leaves the note alone
        assert doccano.decisions(7, "job_1", given) == []
        tool.labels[1], tool.confirmed[1] = 1, "2026-01-02T00:00:00Z"
        assert doccano.decisions(7, "job_1", given) == [{"sample_id": "1", "decision": "keep"}]


@pytest.fixture
def ranked(client: httpx.Client, services: Services, tool: StandIn) -> Callable[..., None]:
    """A job over 24 texts of doccano, all of which are there and labelled as the job has them."""

    def rank(**options: Any) -> None:
        lines = [{"id": n, "text": f"word {n} {'meow' if n % 2 else 'bark'}", "label": ["ab"[n % 2]]} for n in GIVEN]
        content = "\n".join(map(json.dumps, lines)).encode()
        uploaded = client.post("/datasets", files={"file": ("all.jsonl", content)}).json()
        with services.database.read() as connection:
            info = datasets.get(connection, uploaded["id"])
        assert info is not None
        add_job(services.database, info, **options)
        finish(services.database, "job_1", info, table=ranking_of(services.blobs, info))
        tool.examples = {n: {**tool.examples[1], "id": n, "meta": {}} for n in GIVEN}
        tool.labels = {n: 1 + n % 2 for n in GIVEN}
        tool.comments, tool.confirmed = {n: [] for n in GIVEN}, {}

    return rank


def command(tool: StandIn, server: str, *arguments: str) -> str:
    where = ["--project", "7", "--doccano", tool.url, "--user", "me"]
    told = CliRunner().invoke(app, ["--url", server, "doccano", *arguments, *where], env={"DOCCANO_PASSWORD": "right"})
    return f"{told.output}{told.exception or ''}"


def test_an_old_word_of_doccano_does_not_undo_a_later_one_of_the_page(
    client: httpx.Client, server: str, tool: StandIn, ranked: Callable[..., None]
) -> None:
    def holds(name: str) -> str:
        return str(client.get(f"/jobs/job_1/samples/{name}").json()["review"]["decision"])

    ranked()
    assert "24 marked" in command(tool, server, "push", "job_1", "--limit", "24")
    tool.labels[1] = 3 - tool.labels[1]
    del tool.examples[2]
    assert "2 decisions" in command(tool, server, "reviews", "job_1")
    assert (holds("1"), holds("2")) == ("relabel", "remove")
    later = [{"sample_id": "1", "decision": "remove"}, {"sample_id": "2", "decision": "keep"}]
    client.post("/jobs/job_1/reviews", json=later)
    assert "0 decisions" in command(tool, server, "reviews", "job_1")
    assert (holds("1"), holds("2")) == ("remove", "keep")


def test_a_job_that_planted_errors_leaves_doccano_alone(
    server: str, tool: StandIn, ranked: Callable[..., None]
) -> None:
    ranked(glitches=[{"kind": "mislabeled_uniform", "rate": 0.1}])
    assert "has planted label errors" in command(tool, server, "push", "job_1")
    assert tool.writes == []


def test_a_refused_password_is_not_repeated(tool: StandIn) -> None:
    with pytest.raises(ApiError) as refused:
        Doccano(tool.url, "me", "hush")
    assert "hush" not in str(refused.value)
    assert "user name or the password" in str(refused.value)
    with pytest.raises(ApiError, match="Cannot reach doccano"):
        Doccano("http://127.0.0.1:9", "me", "right")


def test_the_export_is_written_as_doccano_packs_it(tool: StandIn, tmp_path: Any) -> None:
    with Doccano(tool.url, "me", "right") as doccano:
        doccano.export(7, tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert archive.namelist() == ["all.jsonl"]
