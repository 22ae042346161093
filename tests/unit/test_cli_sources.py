"""Where `suspects submit` takes the samples of a job from."""

import io
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from service.main import create_app
from service.settings import Settings
from tests.builders import CSV
from tests.stand_in import TOKEN, standing_in, text_task
from tests.unit.test_cli import Suspects, suspects, upload
from usual_suspects.client import Client

__all__ = ["suspects", "upload"]  # fixtures


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    """A service that may ask this machine."""
    return create_app(settings.model_copy(update={"allow_private_connections": True, "allow_private_urls": True}))


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """URL of a server of the files in a folder."""

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_project_of_a_connected_tool_is_submitted(suspects: Suspects, client: httpx.Client) -> None:
    with standing_in() as tool:
        tool.tasks = [text_task(number, "cat" if number % 2 else "dog") for number in range(1, 25)]
        made = client.post("/connections", json={"kind": "label_studio", "url": tool.url, "token": TOKEN})
        options = ["--connection", made.json()["id"], "--project", "7", "--no-watch"]
        said = suspects("submit", *options, "--name", "texts", "--spec", '{"annotation_policy": "majority"}', "--json")
        assert said.code == 0, said
        job = json.loads(said.out)
        source = {"connection": made.json()["id"], "project": 7, "annotation_policy": "majority"}
        assert source.items() <= job["spec"]["source"].items()
        assert job["name"] == "texts"
        refused = suspects("submit", *options, "--label", "animal")
        assert (refused.code, "leave label out" in refused.err) == (1, True)


def test_a_dataset_and_a_url_are_submitted_like_the_file(
    suspects: Suspects, upload: str, client: httpx.Client, tmp_path: Path
) -> None:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "animals.csv").write_bytes(CSV)
    first = json.loads(suspects("submit", upload, "--label", "animal", "--no-watch", "--json").out)
    assert suspects("submit", first["dataset"]["id"], "--epochs", "2", "--no-watch").code == 0
    with serving(tmp_path / "served") as url:
        assert suspects("submit", f"{url}/animals.csv", "--label", "animal", "--no-watch").code == 0
    jobs = client.get("/jobs").json()["items"]
    assert [(job["dataset"]["digest"], job["spec"]["training"]["epochs"] == 2) for job in jobs] == [
        (first["dataset"]["digest"], False),
        (first["dataset"]["digest"], True),
        (first["dataset"]["digest"], False),
    ]


def test_columns_of_a_stored_dataset_are_not_silently_ignored(suspects: Suspects) -> None:
    said = suspects("submit", "ds_none", "--label", "animal")
    assert (said.code, "label cannot be changed" in said.err) == (1, True)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--connection", "con_1"],
        ["--project", "7"],
        ["animals.csv", "--project", "7"],
        ["animals.csv", "--connection", "con_1", "--project", "7"],
    ],
    ids=lambda one: " ".join(one) or "nothing",
)
def test_samples_come_from_one_place(suspects: Suspects, options: list[str]) -> None:
    said = suspects("submit", *options)
    assert (said.code, said.out, "--connection and --project" in said.err) == (2, "", True)


def test_a_stream_that_is_kept_open_is_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = (
        'id: 1\nevent: state\ndata: {"state": "queued"}\n\n: ping\n\nid: 2\nevent: state\ndata: {"state": "failed"}\n\n'
    )
    answer = httpx.MockTransport(
        lambda _: httpx.Response(200, text=stream, headers={"content-type": "text/event-stream"})
    )
    with Client("http://127.0.0.1:1") as watching:
        monkeypatch.setattr(watching._transport, "_http", httpx.Client(transport=answer, base_url="http://127.0.0.1:1"))
        assert [update.data["state"] for update in watching.watch("job_1")] == ["queued", "failed"]


def test_a_folder_is_submitted(suspects: Suspects, client: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "animals.csv").write_bytes(CSV)
    (tmp_path / "zoo" / ".secret").write_text("left out")
    said = suspects("submit", str(tmp_path / "zoo"), "--label", "animal", "--no-watch")
    assert said.code == 0, said
    (job,) = client.get("/jobs").json()["items"]
    assert (job["name"], job["dataset"]["rows"]) == ("zoo", 60)
    (tmp_path / "empty").mkdir()
    empty = suspects("submit", str(tmp_path / "empty"), "--no-watch")
    assert (empty.code, "holds no files" in empty.err) == (1, True)


def test_an_empty_path_is_not_the_folder_of_the_command(
    suspects: Suspects, client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.csv").write_bytes(CSV)
    said = suspects("submit", "", "--no-watch")
    assert (said.code, "the path is empty" in said.err) == (1, True)
    assert client.get("/datasets").json()["items"] == []


def test_the_standard_input_is_submitted(
    suspects: Suspects, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CSV)))
    said = suspects("submit", "-", "--label", "animal", "--no-watch", "--name", "piped")
    assert said.code == 0, said
    (job,) = client.get("/jobs").json()["items"]
    assert (job["name"], job["dataset"]["rows"]) == ("piped", 60)
    with monkeypatch.context() as patched:
        patched.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        refused = suspects("submit", "-", "--no-watch")
    assert (refused.code, "which is a terminal" in refused.err) == (1, True)
