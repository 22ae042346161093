"""The command line against the real service on a socket; only the worker's part is written by hand."""

import csv
import io
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import typer
import typer.core
import uvicorn
from fastapi import FastAPI, Response

from service.main import create_app
from service.services import Services
from service.settings import Settings
from service.store import jobs
from service.store.engine import migrate, open_database
from service.terminal import cli, console
from tests.builders import CSV, add_dataset, add_finished, add_job, finish
from tests.servers import reserved_port
from usual_suspects.client import Client, Update


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


Suspects = Callable[..., Said]


@pytest.fixture
def suspects(server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Suspects:
    """Run a command against the service of this test."""
    monkeypatch.setenv("SUSPECTS_URL", server)
    for name in ("SUSPECTS_KEY", "SUSPECTS_API_KEYS"):
        monkeypatch.delenv(name, raising=False)
    for one in (console.console, console.errors):
        monkeypatch.setattr(one, "_width", 200)

    def run(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["suspects", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        code = ended.value.code
        assert code is None or isinstance(code, int)
        return Said(code or 0, printed.out, printed.err)

    return run


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person at a terminal 200 columns wide."""
    for one in (console.console, console.errors):
        monkeypatch.setattr(one, "_force_terminal", True)


def plain(text: str) -> str:
    """What a terminal shows, without colours."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def table_of(text: str) -> list[dict[str, str]]:
    """Rows that were printed for a program, by the names in their header."""
    return list(csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.fixture
def upload(tmp_path: Path) -> str:
    """A file that can be submitted."""
    path = tmp_path / "animals.csv"
    path.write_bytes(CSV)
    return str(path)


def test_every_option_of_submit_reaches_the_job(suspects: Suspects, upload: str, client: httpx.Client) -> None:
    options = ["--label", "animal", "--model", "mlp", "--epochs", "3", "--seed", "7", "--holdout", "0.25"]
    more = ["--glitch-rate", "0.2", "--name", "zoo", "--spec", '{"training": {"batch_size": 8, "epochs": 99}}']
    said = suspects("submit", upload, *options, *more, "--no-watch")
    assert said.code == 0, said
    (job,) = client.get("/jobs").json()["items"]
    assert said.out == f"{job['id']} queued\n"
    spec = job["spec"]
    assert (job["name"], spec["model"]["name"], spec["reference"]["holdout"]) == ("zoo", "mlp", 0.25)
    assert [spec["training"][name] for name in ("epochs", "seed", "batch_size")] == [3, 7, 8]
    assert spec["glitches"] == [{"kind": "mislabeled_uniform", "rate": 0.2, "seed": 0}]
    assert job["dataset"]["classes"] == ["cat", "dog", "eel"]


def test_weights_of_a_model_are_uploaded_and_named(
    suspects: Suspects, upload: str, tmp_path: Path, client: httpx.Client
) -> None:
    weights = tmp_path / "mine.safetensors"
    header = b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'
    weights.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    options = ["--network", str(weights), "--label", "animal", "--no-watch"]
    assert suspects("submit", upload, *options, "--model", "mlp").code == 0
    (network,) = client.get("/networks").json()["items"]
    (job,) = client.get("/jobs").json()["items"]
    params = job["spec"]["model"]["params"]
    assert (job["spec"]["model"]["name"], network["name"]) == ("safetensors", "mine")
    assert (params["network"], params["architecture"]) == (network["id"], "mlp")
    assert "model.params.architecture" in suspects("submit", upload, *options).err
    assert (
        "is a state"
        in suspects(
            "submit",
            upload,
            "--label",
            "animal",
            "--spec",
            json.dumps({"model": {"name": "exported", "params": {"network": network["id"]}}}),
            "--no-watch",
        ).err
    )


def test_columns_and_reference_split_reach_the_dataset(
    suspects: Suspects, tmp_path: Path, client: httpx.Client
) -> None:
    path = tmp_path / "parts.csv"
    rows = [f"r{i},{i}.5,{'ab'[i % 2]},{'test' if i % 4 == 3 else 'train'}" for i in range(40)]
    path.write_text("\n".join(["who,x,what,part", *rows]))
    options = ["--label", "what", "--id", "who", "--split", "part", "--reference-split", "test"]
    assert suspects("submit", str(path), *options, "--no-watch").code == 0
    (job,) = client.get("/jobs").json()["items"]
    assert job["dataset"]["splits"] == {"train": 30, "test": 10}
    assert job["spec"]["reference"]["split"] == "test"
    assert client.get(f"/datasets/{job['dataset']['id']}/samples/r7").json()["split"] == "test"


def test_a_file_without_a_header_is_submitted_by_an_option(
    suspects: Suspects, client: httpx.Client, tmp_path: Path
) -> None:
    path = tmp_path / "bare.csv"
    path.write_text("".join(f"{i}.5,{i % 7},{'ab'[i % 2]}\n" for i in range(40)))
    assert suspects("submit", str(path), "--no-header", "--label", "column_3", "--no-watch").code == 0
    (job,) = client.get("/jobs").json()["items"]
    assert (job["dataset"]["rows"], job["dataset"]["classes"]) == (40, ["a", "b"])


def test_a_problem_is_one_block_that_names_every_field(suspects: Suspects, upload: str) -> None:
    said = suspects("submit", upload, "--epochs", "0", "--holdout", "2", "--no-watch")
    assert said.code == 1
    assert said.out == ""
    assert "error: Unprocessable " in said.err
    assert [said.err.count(one) for one in ("error: ", "training.epochs: ", "reference.holdout: ")] == [1, 1, 1]


@pytest.mark.parametrize("spec", ["{", "[]"])
def test_a_spec_that_is_no_json_object_is_told(suspects: Suspects, upload: str, spec: str) -> None:
    said = suspects("submit", upload, "--spec", spec)
    assert (said.code, "--spec: " in said.err) == (1, True)


def test_what_cannot_be_found_is_told(suspects: Suspects, tmp_path: Path) -> None:
    assert "no job job_none" in suspects("suspects", "job_none").err
    assert "nothing.csv: No such file" in suspects("submit", str(tmp_path / "nothing.csv")).err
    away = suspects("--url", "http://127.0.0.1:1", "list")
    assert (away.code, "http://127.0.0.1:1: " in away.err) == (1, True)
    assert "suspects up" in away.err


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    suspects: Suspects, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert suspects("list").code == 0


def test_a_ranking_is_shown_as_the_api_gives_it(
    suspects: Suspects, services: Services, client: httpx.Client, terminal: None
) -> None:
    add_finished(services.database, services.blobs)
    answer = client.get("/jobs/job_1/suspects").json()
    assert json.loads(suspects("suspects", "job_1", "--limit", "50", "--json").out) == answer
    table = plain(suspects("suspects", "job_1").out)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in table.splitlines() if line.startswith("│")]
    assert [row[:3] for row in rows] == [
        [str(item["rank"]), item["sample"]["id"], item["given_label"]] for item in answer["items"]
    ]
    assert [row[6].startswith("yes, was") for row in rows] == [item["planted"] is not None for item in answer["items"]]
    chosen = json.loads(
        suspects("suspects", "job_1", "--by", "si", "--label", "dog", "--verdict", "mislabeled", "--json").out
    )
    query = {"by": "si", "label": "dog", "verdict": "mislabeled", "limit": "20"}
    assert chosen == client.get("/jobs/job_1/suspects", params=query).json()


def test_labels_are_shown_as_they_are_written(suspects: Suspects, services: Services) -> None:
    add_finished(services.database, services.blobs, classes=["[red]cat", "[/b]", "eel"])
    table = suspects("suspects", "job_1").out
    assert "[red]cat" in table
    assert "[/b]" in table
    assert "[/b]" in suspects("show", "job_1", "row-1").out


def test_a_sample_is_shown_with_reason_signals_and_influences(
    suspects: Suspects, services: Services, client: httpx.Client
) -> None:
    add_finished(services.database, services.blobs)
    answer = client.get("/jobs/job_1/samples/row-1").json()
    said = suspects("show", "job_1", "row-1").out
    assert answer["reason"] in " ".join(said.split())
    assert all(name in said for name in answer["signals"])
    assert all(one["id"] in said for one in (*answer["supporting"], *answer["opposing"]))
    assert json.loads(suspects("show", "job_1", "row-1", "--json").out) == answer


def test_ids_with_any_character_are_found(suspects: Suspects, services: Services) -> None:
    name = "a/b c?d#e%2F.png"
    info = add_dataset(services.database, blobs=services.blobs)
    add_job(services.database, info)
    finish(services.database, "job_1", info, blobs=services.blobs, ids={2: name})
    assert "Labelled eel, not flagged: number 1 of 9" in suspects("show", "job_1", name).out
    other = suspects("show", "job_1", f"{name}?")
    assert (other.code, other.out) == (1, "")


def test_a_job_is_cancelled_retried_and_deleted(suspects: Suspects, services: Services, client: httpx.Client) -> None:
    add_job(services.database, add_dataset(services.database, blobs=services.blobs))
    assert suspects("cancel", "job_1").out == "job_1 cancelled\n"
    assert suspects("cancel", "job_1").code == 1
    assert suspects("retry", "job_1").out == "job_1 queued\n"
    assert client.get("/jobs/job_1").json()["state"] == "queued"
    suspects("cancel", "job_1")
    assert suspects("delete", "job_1").out == "job_1 deleted\n"
    assert client.get("/jobs/job_1").status_code == httpx.codes.NOT_FOUND


def test_lists_show_every_item(suspects: Suspects, services: Services, client: httpx.Client) -> None:
    add_finished(services.database, services.blobs)
    assert "job_1" in suspects("list", "--state", "completed").out
    assert "job_1" not in suspects("list", "--state", "queued").out
    assert "ds_1" in suspects("datasets").out
    for command in ("models", "signals"):
        names = [item["name"] for item in client.get(f"/{command}").json()["items"]]
        said = suspects(command).out
        assert [name for name in names if name not in said] == []
    assert "knn_vote" in suspects("signals", "job_1").out


def test_watching_ends_with_the_ranking_or_with_the_error(suspects: Suspects, services: Services) -> None:
    info = add_finished(services.database, services.blobs)
    done = suspects("watch", "job_1")
    assert done.code == 0
    assert "completed 100%" in done.err
    assert "loss 1.000, accuracy 50.0%" in done.err
    assert "no_trusted_reference" in done.err
    assert "row-1" in done.out
    assert suspects("watch", "job_1", "-q").out == "job_1\n"
    assert json.loads(suspects("watch", "job_1", "--json").out)["state"] == "completed"
    add_job(services.database, info, "job_2")
    suspects("cancel", "job_2")
    cancelled = suspects("watch", "job_2")
    assert cancelled.code == 1
    assert "job_2 was cancelled" in cancelled.err


def updates(client: Client, job_id: str) -> Iterator[tuple[str, object]]:
    """States and metrics of a job as they come."""
    for update in client.watch(job_id):
        if update.kind == "state":
            yield "state", update.data["state"]
        if update.kind == "metrics":
            yield "epoch", update.data["epoch"]


LIFE: list[tuple[str, object]] = [("state", "queued"), ("state", "preparing"), ("state", "training"), ("epoch", 1)]
LIFE += [("state", "scoring"), ("state", "ranking"), ("state", "completed")]


@contextmanager
def serving(settings: Settings, port: int) -> Iterator[str]:
    """The service on a port, until the block ends; streams that still run are cut off then."""
    config = uvicorn.Config(create_app(settings), port=port, log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def test_a_broken_stream_is_taken_up_where_it_was(services: Services, settings: Settings) -> None:
    migrate(settings.database)
    info = add_dataset(services.database)
    add_job(services.database, info)
    with reserved_port() as port:
        with serving(settings, port) as url:
            client = Client(url)
            found = updates(client, "job_1")
            told = [next(found)]
        finish(services.database, "job_1", info)
        with serving(settings, port), client:
            told += found
    assert told == LIFE


def test_where_no_stream_comes_through_the_job_is_asked(app: FastAPI, services: Services, server: str) -> None:
    add_finished(services.database, services.blobs)

    def swallow() -> Response:
        return Response("not a stream", media_type="text/plain")

    app.router.add_api_route("/jobs/{job_id}/events", swallow)
    app.router.routes.insert(0, app.router.routes.pop())
    with Client(server) as client:
        found = list(client.watch("job_1"))
    assert found[-1] == Update("state", {"state": "completed"})
    assert [update.kind for update in found] == ["progress", "state"]


@pytest.mark.parametrize("key", ["right", "wrong", None])
def test_a_key_opens_the_service(settings: Settings, suspects: Suspects, app: FastAPI, key: str | None) -> None:
    app.state.services = Services(
        **{**vars(app.state.services), "settings": settings.model_copy(update={"api_keys": frozenset({"right"})})}
    )
    said = suspects(*([] if key is None else ["--key", key]), "list")
    assert (said.code, "Unauthorized" in said.err) == ((0, False) if key == "right" else (1, True))


def test_migrate_makes_the_database(suspects: Suspects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUSPECTS_HOME", str(tmp_path / "new"))
    assert suspects("migrate").code == 0
    database = open_database(Settings().database)
    with database.read() as connection:
        assert jobs.count_by_state(connection) == {}
    database.close()
    monkeypatch.setenv("SUSPECTS_DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    refused = suspects("migrate")
    assert (refused.code, "127.0.0.1" in refused.err) == (1, True)


def test_version_is_that_of_the_service(suspects: Suspects, client: httpx.Client) -> None:
    assert suspects("--version").out.strip() == client.get("/healthz").json()["version"]


def test_every_command_and_option_says_what_it_does() -> None:
    group = typer.main.get_command(cli.app)
    assert isinstance(group, typer.core.TyperGroup)
    assert set(group.commands) >= {"up", "demo", "submit", "watch", "suspects", "show", "export", "report", "migrate"}
    silent = [
        f"{name} {parameter.name}"
        for name, command in group.commands.items()
        for parameter in command.params
        if not getattr(parameter, "help", None)
    ]
    assert silent == []
    assert [name for name, command in group.commands.items() if not command.help] == []


@pytest.mark.slow
def test_the_command_line_starts_without_torch() -> None:
    heavy = (
        "import sys, service.terminal.cli, service.terminal.stack; "
        "print([n for n in ('torch', 'celery', 'sklearn', 'matplotlib') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
