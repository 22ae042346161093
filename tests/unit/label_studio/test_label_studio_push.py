"""Pushing a ranking, seen from our side. The tool is a stand-in; `make test-label-studio` looks into the real one."""

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from service.domain.connection import PullSource
from service.domain.specs import Loop
from service.main import create_app
from service.services import Services
from service.settings import Settings
from service.store import loops, pulls
from tests.builders import add_dataset, add_job, finish
from tests.stand_in import TEXT_CONFIG, TOKEN, StandIn, standing_in, text_task

ROWS = 24


@pytest.fixture
def tool() -> Iterator[StandIn]:
    with standing_in() as running:
        running.config = TEXT_CONFIG.replace('<Choice value="dog"/>', '<Choice value="dog"/><Choice value="eel"/>')
        running.tasks = [text_task(number, "cat") for number in range(1, ROWS + 1)]
        yield running


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings.model_copy(update={"allow_private_connections": True}))


@pytest.fixture
def job(client: httpx.Client, services: Services, tool: StandIn) -> str:
    """A completed job over tasks 1 to 18; scores come in ties of two."""
    return finished(client, services, tool, "job_1")


def finished(client: httpx.Client, services: Services, tool: StandIn, job_id: str, **options: Any) -> str:
    body = {"kind": "label_studio", "url": tool.url, "token": TOKEN}
    made = client.post("/connections", json=body).json()
    info = add_dataset(services.database, f"ds_{job_id}", services.blobs, rows=ROWS)
    add_job(services.database, info, job_id, **options)
    finish(services.database, job_id, info, ids={row: str(row + 1) for row in range(ROWS)})
    with services.database.write() as connection:
        pulls.add(connection, job_id, PullSource(connection=made["id"], project=7))
    return job_id


def push(client: httpx.Client, job: str, **body: Any) -> httpx.Response:
    return client.post(f"/jobs/{job}/push", json=body)


def ranking(client: httpx.Client, job: str) -> list[int]:
    items = client.get(f"/jobs/{job}/suspects", params={"limit": 1000}).json()["items"]
    return [int(one["sample"]["id"]) for one in items]


def test_written_scores_fall_strictly_in_the_order_of_the_ranking_also_where_ours_are_tied(
    client: httpx.Client, job: str, tool: StandIn
) -> None:
    assert push(client, job, mode="predictions").status_code == 200
    items = client.get(f"/jobs/{job}/suspects", params={"limit": 1000}).json()["items"]
    assert len({one["score"] for one in items}) < len(items)
    by_score = sorted(tool.predictions, key=lambda one: -one["score"])
    assert [one["task"] for one in by_score] == ranking(client, job)
    assert len({one["score"] for one in by_score}) == len(items)
    for one, item in zip(by_score, items, strict=True):
        assert one["score"] == pytest.approx(item["score"], abs=1e-12)
        assert one["result"][0]["value"]["choices"] == [item["suggested_label"]]


def test_predictions_of_others_are_left_and_our_own_replaced(client: httpx.Client, job: str, tool: StandIn) -> None:
    tool.predictions = [{"task": 1, "score": 0.5, "model_version": "theirs"}]
    push(client, job, mode="predictions")
    told = push(client, job, mode="predictions", limit=4).json()
    assert (told["written"], told["replaced"], told["model_version_before"]) == (4, 18, "")
    assert [one["model_version"] for one in tool.predictions] == ["theirs", *[f"suspects-{job}"] * 4]
    assert tool.project == {"model_version": f"suspects-{job}", "show_collab_predictions": True}


def test_a_second_push_writes_nothing_unless_somebody_took_something_away(
    client: httpx.Client, job: str, tool: StandIn
) -> None:
    push(client, job, mode="tab")
    tool.heard.clear()
    assert push(client, job, mode="tab").json()["written"] == 0
    assert {one.method for one in tool.heard} == {"GET"}
    del tool.predictions[3]
    assert push(client, job, mode="tab").json()["written"] == 18
    assert (len(tool.predictions), len(tool.views)) == (18, 1)


def test_tasks_that_are_gone_and_classes_that_are_gone_are_counted(
    client: httpx.Client, job: str, tool: StandIn
) -> None:
    tool.tasks = [task for task in tool.tasks if task["id"] not in (2, 3)]
    tool.config = TEXT_CONFIG
    told = push(client, job, mode="predictions").json()
    items = client.get(f"/jobs/{job}/suspects", params={"limit": 1000}).json()["items"]
    eels = [one for one in items if one["suggested_label"] == "eel" and one["sample"]["id"] not in ("2", "3")]
    assert (told["missing"], told["unwritable"]) == (2, len(eels))
    assert len(tool.predictions) == told["predictions"] == 16 - len(eels)


def test_suspects_carry_the_address_of_their_task(client: httpx.Client, job: str, tool: StandIn) -> None:
    def links() -> set[str]:
        items = client.get(f"/jobs/{job}/suspects").json()["items"]
        return {one["sample"]["links"]["tool"] for one in items}

    assert f"{tool.url}/projects/7/data?task=4" in links()
    view = push(client, job, mode="tab").json()["view"]
    assert f"{tool.url}/projects/7/data?tab={view}&task=4" in links()
    with_connection = client.get("/connections").json()["items"][0]["id"]
    client.delete(f"/connections/{with_connection}")
    assert {one["sample"]["links"]["tool"] for one in client.get(f"/jobs/{job}/suspects").json()["items"]} == {None}


def test_a_job_that_planted_errors_is_not_pushed(client: httpx.Client, services: Services, tool: StandIn) -> None:
    job = finished(client, services, tool, "job_2", glitches=[{"kind": "mislabeled_uniform", "rate": 0.1}])
    answer = push(client, job)
    assert (answer.status_code, answer.json()["state"]) == (409, "planted")
    assert not tool.predictions


def test_a_job_of_an_upload_is_not_pushed(client: httpx.Client, services: Services) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    add_job(services.database, info)
    finish(services.database, "job_1", info)
    answer = push(client, "job_1")
    assert (answer.status_code, answer.json()["state"]) == (409, "no_connection")


def test_a_job_whose_connection_was_deleted_is_not_pushed(client: httpx.Client, job: str) -> None:
    client.delete(f"/connections/{client.get('/connections').json()['items'][0]['id']}")
    answer = push(client, job)
    assert (answer.status_code, answer.json()["state"]) == (409, "disconnected")


def test_a_job_is_pushed_once_at_a_time(
    client: httpx.Client, job: str, tool: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, asked, may_go_on = tool.answer, threading.Event(), threading.Event()

    def slowly(*given: Any) -> tuple[int, Any]:
        asked.set()
        may_go_on.wait()
        return whole(*given)

    monkeypatch.setattr(tool, "answer", slowly)
    first = threading.Thread(target=lambda: push(client, job))
    first.start()
    asked.wait()
    try:
        answer = push(client, job)
    finally:
        may_go_on.set()
        first.join()
    assert (answer.status_code, answer.json()["state"]) == (409, "pushing")
    assert len(tool.predictions) == 18


@pytest.mark.parametrize("body", [{"mode": "all"}, {"limit": 0}, {"more": 1}, []])
def test_a_push_that_is_not_understood_is_refused(client: httpx.Client, job: str, body: Any) -> None:
    assert client.post(f"/jobs/{job}/push", json=body).status_code == 422


@pytest.mark.parametrize("mode", ["review_project", "requeue"])
def test_nobody_is_asked_again_about_what_was_decided(
    client: httpx.Client, services: Services, job: str, tool: StandIn, mode: str
) -> None:
    items = client.get(f"/jobs/{job}/suspects", params={"limit": 1000}).json()["items"]
    flagged = [one["sample"]["id"] for one in items if one["verdict"] != "clean"]
    kept, removed, unsure = flagged[:3]
    with services.database.write() as connection:  # nothing was planted: the builder says so of what it flags
        connection.exec_driver_sql("UPDATE suspects SET planted_kind = NULL, planted_label = NULL")
    assert push(client, job, mode=mode, dry_run=True).json()["suspects"] == len(flagged)
    decide(client, job, (kept, "keep"), (removed, "remove"), (unsure, "unsure"))
    assert push(client, job, mode=mode, dry_run=True).json()["suspects"] == len(flagged) - 2
    before = finished(client, services, tool, "job_0")
    with services.database.write() as connection:
        loops.add(connection, before, Loop(after=1))
        loops.set_next_job(connection, before, job)
        connection.exec_driver_sql("UPDATE suspects SET planted_kind = NULL, planted_label = NULL")
    decide(client, before, (flagged[3], "keep"))
    assert push(client, job, mode=mode, dry_run=True).json()["suspects"] == len(flagged) - 3
    assert push(client, job, mode=mode, dry_run=True, limit=18).json()["suspects"] == 18 - 3


def decide(client: httpx.Client, job: str, *said: tuple[str, str]) -> None:
    body = [{"sample_id": name, "decision": decision} for name, decision in said]
    assert client.post(f"/jobs/{job}/reviews", json=body).status_code == 201
