"""Suspects that go back into the queue or into a project of their own, while others are at work. The tool is a stand-in."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from service.actions.rerun import run_again
from service.background.pulls import pull_due
from service.main import create_app
from service.services import Services
from service.settings import Settings
from service.store import datasets, jobs, loops
from tests.stand_in import TOKEN, StandIn, annotation, text_task
from tests.unit.label_studio.test_label_studio_reconcile import animals, ranked, reconcile, reviews


@pytest.fixture
def tool() -> Iterator[StandIn]:
    with animals() as running:
        yield running


@pytest.fixture
def app(settings: Settings, database_url: str) -> FastAPI:
    """On each kind of database in turn: what happens at once is told apart by its locks."""
    changes = {"allow_private_connections": True, "database_url": database_url}
    return create_app(settings.model_copy(update=changes))


@pytest.fixture
def connection(client: httpx.Client, tool: StandIn) -> str:
    return str(client.post("/connections", json={"kind": "label_studio", "url": tool.url, "token": TOKEN}).json()["id"])


@pytest.fixture
def job(client: httpx.Client, services: Services, connection: str) -> str:
    """A completed job over the tasks 1 to 24, of which the first is flagged."""
    return ranked(client, services, connection)


def at_once(*work: Callable[[], httpx.Response]) -> list[httpx.Response]:
    """Do this together; in the order in which it ended."""
    answers: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda one=one: answers.append(one())) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def pull(services: Services) -> int:
    return pull_due(services)


def test_an_undoing_that_broke_off_goes_on_and_nobody_takes_it_for_a_word(
    client: httpx.Client, job: str, tool: StandIn
) -> None:
    first = tool.tasks[0]
    first["annotations"] = [annotation(10, "cat", completed_by=1), annotation(11, "dog", completed_by=2)]
    client.post(f"/jobs/{job}/push", json={"mode": "requeue"})
    assert (first["annotations"], len(first["drafts"])) == ([], 2)
    again, posted = "/api/tasks/1/annotations/", StandIn.answer

    def answer(self: StandIn, method: str, path: str, *rest: Any) -> tuple[int, Any]:
        if (method, path) == ("POST", again) and len(first["annotations"]) == 1 and not broke:
            broke.append(path)
            return 500, {"detail": "as it likes"}
        return posted(self, method, path, *rest)

    broke: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StandIn, "answer", answer)
        assert client.post(f"/jobs/{job}/push/undo").status_code == 502
    assert broke
    told = client.post(f"/jobs/{job}/push/undo", timeout=60).json()
    assert told["kept"] == 0
    back = [(one["result"][0]["value"]["choices"], one["completed_by"]) for one in first["annotations"]]
    assert (back, first["drafts"]) == ([(["cat"], 1), (["dog"], 2)], [])
    assert reconcile(client, job)["recorded"] == 0


def test_annotations_that_are_put_back_while_decisions_are_read_are_nobody_s_decision(
    client: httpx.Client, server: str, job: str, tool: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.post(f"/jobs/{job}/push", json={"mode": "requeue"})
    whole, restored = tool.answer, list[int]()

    def interrupted(method: str, path: str, query: Any, body: bytes) -> tuple[int, Any]:
        # The listing holds what was put back after the reading had begun.
        if path == "/api/tasks/" and "query" not in query and not restored:
            restored.append(0)
            restored.append(httpx.post(f"{server}/jobs/{job}/push/undo", timeout=60).json()["restored"])
        return whole(method, path, query, body)

    monkeypatch.setattr(tool, "answer", interrupted)
    assert reconcile(client, job)["recorded"] == 0
    assert restored[1] > 0


def test_decisions_are_not_read_while_annotations_are_written_or_put_back(
    client: httpx.Client, services: Services, job: str
) -> None:
    with services.database.try_lock(f"push {job}") as free:
        assert free
        refused = client.post(f"/jobs/{job}/reconcile")
    assert (refused.status_code, refused.json()["state"]) == (409, "pushing")
    assert refused.headers["retry-after"] == "10"
    assert reconcile(client, job)["recorded"] == 0


def test_a_task_that_is_deleted_meanwhile_is_left_out_of_the_review_project(
    client: httpx.Client, job: str, tool: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = StandIn.answer

    def answer(self: StandIn, method: str, path: str, query: Any, body: bytes) -> tuple[int, Any]:
        if query.get("include") == ["id,data"]:
            self.tasks = [task for task in self.tasks if task["id"] != 6]
        return asked(self, method, path, query, body)

    monkeypatch.setattr(StandIn, "answer", answer)
    told = client.post(f"/jobs/{job}/push", json={"mode": "review_project"})
    assert told.status_code == 200, told.text
    there = {task["meta"]["origin_task"] for task in tool.others[8]}
    assert 1 in there
    assert 6 not in there


def test_two_pushes_of_a_job_at_once_are_one(client: httpx.Client, job: str, tool: StandIn, services: Services) -> None:
    with services.database.try_lock(f"push {job}") as free, services.database.try_lock("push job_0") as other:
        assert free
        assert other
        refused = client.post(f"/jobs/{job}/push", json={"mode": "tab"})
    assert (refused.status_code, refused.json()["state"]) == (409, "pushing")
    assert client.post(f"/jobs/{job}/push", json={"mode": "tab"}).json()["written"] == len(tool.predictions) == 18


def test_requests_to_train_at_once_are_one(
    client: httpx.Client, server: str, services: Services, connection: str, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = client.post(f"/connections/{connection}/backend").json()["path"]
    gate, begun = threading.Barrier(2, timeout=1), loops.add

    def begin(*given: Any) -> None:
        with suppress(threading.BrokenBarrierError):  # where the other one waits for this one, as it should
            gate.wait()
        begun(*given)

    monkeypatch.setattr(loops, "add", begin)
    body = {"action": "START_TRAINING", "project": {"id": 7}}
    answers = at_once(*[lambda: httpx.post(f"{server}{path}/webhook", json=body, timeout=30)] * 2)
    assert [one.status_code for one in answers] == [202, 202]
    with services.database.read() as opened:
        assert loops.pulls_again(opened, job)


def test_the_same_key_at_once_makes_one_connection(client: httpx.Client, server: str, tool: StandIn) -> None:
    tool.delay_s = 0.2
    body, headers = {"kind": "label_studio", "url": tool.url, "token": TOKEN}, {"Idempotency-Key": "k"}
    answers = at_once(*[lambda: httpx.post(f"{server}/connections", json=body, headers=headers, timeout=30)] * 2)
    assert [one.status_code for one in answers] == [201, 201]
    assert len({one.json()["id"] for one in answers}) == 1
    assert client.get("/connections").json()["total"] == 1


def test_a_job_whose_tasks_another_has_just_pulled_takes_that_dataset(
    client: httpx.Client, services: Services, connection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = client.post("/jobs", json={"connection": connection, "project": 7}).json()["id"]
    look = datasets.by_digest

    def late(opened: Any, digest: str) -> Any:
        monkeypatch.setattr(datasets, "by_digest", look)
        found = look(opened, digest)
        with services.database.read() as reading:
            known = datasets.get(reading, jobs.get(reading, waiting).dataset_id)  # type: ignore[union-attr]  # it is there
        if opened.dialect.name == "postgresql":  # on SQLite nobody else can write now
            with services.database.write() as other:
                datasets.add(other, known.model_copy(update={"id": "ds_other", "digest": digest}))  # type: ignore[union-attr]  # as above
        return found

    monkeypatch.setattr(datasets, "by_digest", late)
    assert pull(services) == 1
    told = client.get(f"/jobs/{waiting}").json()
    assert (told["state"], told["error"]) == ("queued", None)
    assert (told["dataset"]["id"] == "ds_other") == (services.database.engine.dialect.name == "postgresql")


def test_training_again_does_without_reference_samples_that_are_gone(
    client: httpx.Client, services: Services, connection: str, tool: StandIn
) -> None:
    job_id = ranked(client, services, connection, reference={"samples": ["19", "20", "21"]})
    path = client.post(f"/connections/{connection}/backend").json()["path"]
    tool.tasks = [task for task in tool.tasks if task["id"] != 20]
    client.post(f"{path}/webhook", json={"action": "START_TRAINING", "project": {"id": 7}})
    later = services.now() + timedelta(seconds=60)
    (following,) = run_again(replace(services, now=lambda: later))
    assert pull(services) == 1
    told = client.get(f"/jobs/{following}").json()
    assert (told["state"], told["error"]) == ("queued", None)
    assert told["spec"]["reference"]["samples"] == ["19", "21"]
    assert client.get(f"/jobs/{job_id}").json()["spec"]["reference"]["samples"] == ["19", "20", "21"]


def test_training_again_takes_what_was_verified_where_the_loop_says_so(
    client: httpx.Client, services: Services, connection: str, tool: StandIn
) -> None:
    job_id = ranked(client, services, connection, loop={"after": 9, "quiet_seconds": 0, "reference": "verified"})
    path = client.post(f"/connections/{connection}/backend").json()["path"]
    client.post(f"/jobs/{job_id}/reviews", json=[{"sample_id": name, "decision": "keep"} for name in ("1", "2")])
    client.post(f"{path}/webhook", json={"action": "START_TRAINING", "project": {"id": 7}})
    tool.tasks.append(text_task(25, "cat"))
    later = services.now() + timedelta(hours=1)
    (following,) = run_again(replace(services, now=lambda: later))
    assert pull(services) == 1
    assert client.get(f"/jobs/{following}").json()["spec"]["reference"]["samples"] == ["1", "2"]
    assert set(reviews(client, job_id)) == {"1", "2"}
