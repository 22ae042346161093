"""Datasets of a labelling tool's tasks, read while the client waits. The tool is a stand-in."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from service.background.pulls import pull_due
from service.ingest.votes import read_votes
from service.main import create_app
from service.services import Services
from service.settings import Settings
from tests.stand_in import TEXT_CONFIG, TOKEN, StandIn, annotation, standing_in, text_task

ROWS = 24


@pytest.fixture
def tool() -> Iterator[StandIn]:
    with standing_in() as running:
        running.tasks = [text_task(number, "cat" if number % 2 else "dog") for number in range(1, ROWS + 1)]
        yield running


@pytest.fixture
def app(settings: Settings, request: pytest.FixtureRequest) -> FastAPI:
    changes = {"allow_private_connections": True, **getattr(request, "param", {})}
    return create_app(settings.model_copy(update=changes))


@pytest.fixture
def connection(client: httpx.Client, tool: StandIn) -> str:
    body = {"kind": "label_studio", "url": tool.url, "token": TOKEN}
    return str(client.post("/connections", json=body).json()["id"])


def take(client: httpx.Client, connection: Any, *, key: str | None = None, **more: Any) -> httpx.Response:
    body = {"connection": connection, "project": 7, **more}
    return client.post("/datasets", json=body, headers={"Idempotency-Key": key} if key else {})


def left(services: Services) -> list[Path]:
    """Every file of an upload or a dataset."""
    return [path for part in ("uploads", "datasets") for path in (services.settings.home / part).rglob("*")]


def test_a_project_becomes_a_dataset_at_once(client: httpx.Client, services: Services, connection: str) -> None:
    answer = take(client, connection)
    info = answer.json()
    assert (answer.status_code, answer.headers["Location"]) == (201, f"/datasets/{info['id']}")
    assert (info["name"], info["rows"], info["modality"]) == ("animals", ROWS, "text")
    assert (info["class_counts"], info["warnings"]) == ({"cat": 12, "dog": 12}, [])
    assert info["inferred"]["format"] == "label studio, project 7, label"
    assert client.get(f"/datasets/{info['id']}").json() == info
    row = client.get(f"/datasets/{info['id']}/samples/3").json()
    assert (row["label"], row["features"]) == ("cat", {"text": "words of task 3"})
    assert {path.name for path in left(services)} == {info["id"], "data.parquet", "seal", "skipped.jsonl"}
    assert client.post("/jobs", json={"dataset": info["id"]}).status_code == 202


def test_the_same_tasks_are_one_dataset_whoever_reads_them(
    client: httpx.Client, services: Services, connection: str, tool: StandIn
) -> None:
    first = take(client, connection).json()
    job = client.post("/jobs", json={"connection": connection, "project": 7}).json()
    pull_due(services)
    within = client.get(f"/jobs/{job['id']}").json()["dataset"]
    assert within == {name: first[name] for name in within} | {"columns": []}
    assert take(client, connection).json() == first | {"jobs": 1}
    assert take(client, connection, name="mine").json()["name"] == "mine"
    tool.tasks[0] = text_task(1, "dog")
    assert take(client, connection).json()["class_counts"] == {"cat": 11, "dog": 13}
    assert client.get("/datasets").json()["total"] == 3
    assert len(list((services.settings.home / "datasets").iterdir())) == 3


def test_each_policy_and_what_is_left_out_are_as_in_a_job(client: httpx.Client, connection: str, tool: StandIn) -> None:
    tool.tasks += [text_task(100), text_task(104, "cat", "dog")]
    info = take(client, connection, annotation_policy="majority").json()
    told = client.get(f"/datasets/{info['id']}/skipped").json()["items"]
    assert {one["where"]: one["reason"] for one in told} == {
        "task 100": "no annotation",
        "task 104": "its annotators are in conflict: cat, dog",
    }
    assert take(client, connection, annotation_policy="all").json()["rows"] == ROWS + 2


def test_the_same_key_reads_the_tasks_once(client: httpx.Client, connection: str, tool: StandIn) -> None:
    first = take(client, connection, key="k").json()
    tool.tasks[0] = text_task(1, "dog")
    tool.heard.clear()
    assert take(client, connection, key="k").json() == first
    assert tool.heard == []
    assert take(client, connection, key="k", name="other").status_code == 422


@pytest.mark.parametrize(
    ("change", "status", "place"),
    [
        ({"connection": "con_0"}, 404, ["connection"]),
        ({"project": 8}, 422, ["project"]),
        ({"project": 0}, 422, ["project"]),
        ({"project": None}, 422, ["project"]),
        ({"from_name": "mood"}, 422, ["from_name"]),
        ({"annotation_policy": "best"}, 422, ["annotation_policy"]),
        ({"url": "https://example.org/x"}, 422, ["url"]),
        ({"spec": {}}, 422, ["spec"]),
        ({"connection": None}, 422, ["connection"]),
        ({"connection": 7}, 422, ["connection"]),
        ({"name": "x" * 201}, 422, ["name"]),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_field_and_leaves_nothing(
    client: httpx.Client, services: Services, connection: str, change: dict[str, Any], status: int, place: list[str]
) -> None:
    answer = take(client, **{"connection": connection, **change})
    assert answer.status_code == status, answer.text
    assert place in [fault["loc"] for fault in answer.json()["errors"]]
    assert (client.get("/datasets").json()["total"], left(services)) == (0, [])


@pytest.mark.parametrize("answers", [[500], [b"<html>"], [401]])
def test_a_tool_that_does_not_answer_well_is_a_502_and_leaves_nothing(
    client: httpx.Client, services: Services, connection: str, tool: StandIn, answers: list[int | bytes]
) -> None:
    tool.answers = answers
    answer = take(client, connection)
    assert (answer.status_code, answer.json()["code"], left(services)) == (502, "upstream", [])
    assert TOKEN not in answer.text


def test_a_project_without_a_usable_task_is_the_projects_fault(
    client: httpx.Client, services: Services, connection: str, tool: StandIn
) -> None:
    tool.tasks = [text_task(1)]
    answer = take(client, connection)
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["project"])
    assert left(services) == []


@pytest.mark.parametrize("app", [{"max_upload_bytes": 500}], indirect=True)
def test_more_than_this_installation_takes_is_refused(
    client: httpx.Client, services: Services, connection: str
) -> None:
    assert (take(client, connection).status_code, left(services)) == (413, [])


@pytest.mark.parametrize(("part", "size"), [("ds_full.lines", 0), ("ds_full.part", 2**17), ("ds_full.part", 0)])
def test_a_full_disk_is_told_and_nothing_is_kept(
    client: httpx.Client,
    services: Services,
    connection: str,
    tool: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    size: int,
) -> None:
    if part == "ds_full.part":  # where images go, and what is known of them in the end
        tool.config = TEXT_CONFIG.replace("<Text", "<Image")
        for task in tool.tasks:
            task["data"] = {"text": f"/data/{task['id']}.png"}
            tool.files[task["data"]["text"]] = bytes(size)
    monkeypatch.setattr("service.label_studio.pull.snapshot.new_id", lambda _prefix: "ds_full")
    (services.blobs.uploads / part).symlink_to("/dev/full")
    answer = take(client, connection)
    assert (answer.status_code, left(services)) == (507, [])


def test_a_client_that_goes_away_ends_the_reading_and_nothing_is_kept(
    client: httpx.Client, services: Services, connection: str, tool: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.label_studio.client._PAGE", 1)
    tool.delay_s = 0.2
    request = client.build_request("POST", "/datasets", json={"connection": connection, "project": 7})
    heads = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with socket.create_connection((client.base_url.host, client.base_url.port)) as goes_away:
        goes_away.sendall(f"POST /datasets HTTP/1.1\r\n{heads}\r\n".encode() + request.content)
        while not tool.paths("/api/tasks/"):
            time.sleep(0.01)
    deadline = time.monotonic() + 60
    while left(services) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left(services) == []
    assert 0 < len(tool.paths("/api/tasks/")) < ROWS
    assert client.get("/datasets").json()["total"] == 0


def said(services: Services, dataset: str) -> dict[int, dict[str, str]]:
    """What each annotator said, by position."""
    votes = read_votes(services.blobs.votes(dataset))
    found: dict[int, dict[str, str]] = {}
    if votes is None:
        return found
    for index, who, label in zip(votes.index, votes.annotator, votes.label, strict=True):
        found.setdefault(int(index), {})[votes.annotators[who]] = votes.labels[label]
    return found


def test_a_project_keeps_who_gave_which_class_also_of_tasks_in_conflict(
    client: httpx.Client, services: Services, connection: str, tool: StandIn
) -> None:
    who = {"email": "ann@example.org", "id": 1}
    tool.tasks[3]["annotations"] = [
        annotation(1, "cat", completed_by=who),
        annotation(2, "dog", completed_by=2),
        annotation(3, "cat", completed_by=3),
    ]
    tool.tasks[4]["annotations"] = [annotation(4, "cat", completed_by=who), annotation(5, "dog", completed_by=2)]
    tool.tasks[5]["annotations"][0]["completed_by"] = 3
    info = take(client, connection, annotation_policy="majority").json()
    assert info["rows"] == ROWS - 1
    assert said(services, info["id"]) == {
        3: {"ann@example.org": "cat", "2": "dog", "3": "cat"},
        -1: {"ann@example.org": "cat", "2": "dog"},
        4: {"3": "dog"},  # task 5 gave no sample
    }
    assert not list(services.blobs.uploads.iterdir())


def test_the_same_classes_by_other_annotators_are_another_dataset(
    client: httpx.Client, services: Services, connection: str, tool: StandIn
) -> None:
    nobody = take(client, connection).json()["id"]
    assert take(client, connection).json()["id"] == nobody
    tool.tasks[0]["annotations"][0]["completed_by"] = 7
    known = take(client, connection).json()["id"]
    assert known != nobody
    assert (said(services, nobody), said(services, known)) == ({}, {0: {"7": "cat"}})
