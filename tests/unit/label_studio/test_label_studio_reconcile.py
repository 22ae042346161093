"""Reading people's decisions back. The tool is a stand-in; `make test-label-studio` looks into the real one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from service.actions.rerun import run_again
from service.background.pulls import pull_due
from service.background.reconcile import reconcile_due
from service.domain.dataset import DatasetInfo
from service.domain.specs import Loop
from service.main import create_app
from service.services import Services
from service.settings import Settings
from service.store import datasets, loops, pulls
from tests.builders import finish, ranking_of
from tests.one_server import OneServer
from tests.stand_in import TEXT_CONFIG, TOKEN, StandIn, annotation, standing_in, text_task

ROWS = 24
CLASSES = ["cat", "dog", "eel"]
LATE = {"updated_at": "2099-01-01T00:00:00Z"}  # later than whatever the service's clock says


@contextmanager
def animals() -> Iterator[StandIn]:
    """A tool with one project: 24 texts of cats, dogs and eels in turn."""
    with standing_in() as running:
        running.config = TEXT_CONFIG.replace('<Choice value="dog"/>', '<Choice value="dog"/><Choice value="eel"/>')
        running.tasks = [text_task(row + 1, CLASSES[row % 3]) for row in range(ROWS)]
        yield running


@pytest.fixture
def tool() -> Iterator[StandIn]:
    with animals() as running:
        yield running


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings.model_copy(update={"allow_private_connections": True}))


@pytest.fixture
def connection(client: httpx.Client, tool: StandIn) -> str:
    body = {"kind": "label_studio", "url": tool.url, "token": TOKEN}
    return str(client.post("/connections", json=body).json()["id"])


@pytest.fixture
def job(client: httpx.Client, services: Services, connection: str) -> str:
    """A completed job over the tasks 1 to 24; the builders' ranking flags 1, 4, 6, 11 and more of the first 18."""
    return ranked(client, services, connection)


def ranked(client: httpx.Client, services: Services, connection: str, **more: Any) -> str:
    job_id = str(client.post("/jobs", json={"connection": connection, "project": 7, **more}).json()["id"])
    pull_due(services)
    with services.database.read() as opened:
        info = datasets.get(opened, client.get(f"/jobs/{job_id}").json()["dataset"]["id"])
    assert info is not None
    complete(services, job_id, info)
    return job_id


def complete(services: Services, job_id: str, info: DatasetInfo) -> None:
    part = info.model_copy(update={"splits": {"train": 18, "test": info.rows - 18}, "classes": CLASSES})
    finish(services.database, job_id, part, ids={row: str(row + 1) for row in range(ROWS)})
    with services.database.write() as opened:  # what the builder flags, it says to be planted too
        opened.exec_driver_sql("UPDATE suspects SET planted_kind = NULL, planted_label = NULL")


def reconcile(client: httpx.Client, job: str) -> dict[str, Any]:
    answer = client.post(f"/jobs/{job}/reconcile")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def reviews(client: httpx.Client, job: str) -> dict[str, tuple[str, str | None]]:
    items = client.get(f"/jobs/{job}/reviews", params={"limit": 1000}).json()["items"]
    return {one["sample_id"]: (one["decision"], one["label"]) for one in items}


def relabel(tool: StandIn, number: int, *labels: str, **more: Any) -> None:
    task = next(task for task in tool.tasks if task["id"] == number)
    task["annotations"] = [annotation(task["annotations"][0]["id"], *labels, **{**LATE, **more})]


def decide(client: httpx.Client, tool: StandIn, job: str) -> None:
    """Relabel tasks 1 as suggested, 6 otherwise; confirm 11; remove 16; skip 4; relabel 24, which was held out."""
    suggested = {
        one["sample"]["id"]: one["suggested_label"] for one in client.get(f"/jobs/{job}/suspects").json()["items"]
    }
    given = {str(task["id"]): CLASSES[(task["id"] - 1) % 3] for task in tool.tasks}
    relabel(tool, 1, suggested["1"])
    relabel(tool, 6, next(name for name in CLASSES if name not in (suggested["6"], given["6"])))
    relabel(tool, 11, given["11"])
    relabel(tool, 4, given["4"], was_cancelled=True)
    relabel(tool, 24, "cat")
    tool.tasks = [task for task in tool.tasks if task["id"] != 16]


def due(services: Services, seconds: float = 5) -> int:
    """One look of the service, so much later."""
    now = services.now() + timedelta(seconds=seconds)
    object.__setattr__(services, "now", lambda: now)
    return reconcile_due(services)


def event(tool: StandIn, action: str = "ANNOTATION_UPDATED", project: int = 7) -> dict[str, Any]:
    return {"action": action, "annotation": {"id": 10, "result": []}, "project": {"id": project, "token": "hush"}}


def path_of(client: httpx.Client, connection: str) -> str:
    return str(client.post(f"/connections/{connection}/backend").json()["path"])


# ---- on demand


def test_what_people_did_in_the_tool_becomes_reviews(client: httpx.Client, job: str, tool: StandIn) -> None:
    decide(client, tool, job)
    told = reconcile(client, job)
    found = reviews(client, job)
    assert {name: one[0] for name, one in found.items()} == {
        "1": "relabel",
        "6": "relabel",
        "11": "keep",
        "16": "remove",
        "4": "unsure",
        "24": "relabel",
    }
    assert (told["project"], told["tasks"], told["recorded"]) == (7, ROWS - 1, 6)
    outcomes = client.get(f"/jobs/{job}/reviews/summary").json()["outcomes"]["flagged"]
    assert told["outcomes"] == outcomes
    assert {name: count for name, count in outcomes.items() if name != "pending"} == {
        "relabelled_to_suggestion": 1,
        "relabelled_otherwise": 1,
        "confirmed": 1,
        "removed": 1,
        "plausible": 0,
        "unsure": 1,
    }
    items = client.get(f"/jobs/{job}/reviews").json()["items"]
    assert {one["source"] for one in items} == {"label_studio"}


def test_reconciling_twice_changes_nothing(client: httpx.Client, job: str, tool: StandIn) -> None:
    assert reconcile(client, job)["recorded"] == 0
    decide(client, tool, job)
    before = reconcile(client, job)["outcomes"]
    again = reconcile(client, job)
    assert (again["recorded"], again["outcomes"]) == (0, before)
    assert client.get(f"/jobs/{job}/reviews").json()["total"] == 6


def test_what_was_taken_back_in_the_tool_is_withdrawn(client: httpx.Client, job: str, tool: StandIn) -> None:
    kept = [dict(task) for task in tool.tasks]
    decide(client, tool, job)
    reconcile(client, job)
    tool.tasks = kept
    told = reconcile(client, job)
    flagged = client.get(f"/jobs/{job}/reviews/summary").json()["flagged"]
    assert told["outcomes"]["pending"] == flagged
    assert client.get(f"/jobs/{job}/reviews/summary").json()["reviewed"] == 0
    assert client.get(f"/jobs/{job}/suspects").json()["items"][0]["review"] is None


def test_a_review_that_came_later_by_other_ways_holds(client: httpx.Client, job: str, tool: StandIn) -> None:
    relabel(tool, 1, "eel", updated_at="2026-01-01T01:00:00Z")
    client.post(f"/jobs/{job}/reviews", json=[{"sample_id": "1", "decision": "keep"}])
    assert reconcile(client, job)["recorded"] == 0
    relabel(tool, 1, "eel")
    assert reconcile(client, job)["recorded"] == 1
    assert reviews(client, job)["1"] == ("relabel", "eel")


def test_a_class_that_the_dataset_lacks_takes_the_sample_out(client: httpx.Client, job: str, tool: StandIn) -> None:
    tool.config = tool.config.replace('<Choice value="eel"/>', '<Choice value="eel"/><Choice value="fox"/>')
    relabel(tool, 1, "fox")
    reconcile(client, job)
    assert reviews(client, job) == {"1": ("remove", None)}


def test_tasks_that_were_no_samples_stay_none(client: httpx.Client, job: str, tool: StandIn) -> None:
    tool.tasks.append(text_task(99, "cat"))
    assert reconcile(client, job)["recorded"] == 0


def test_where_pages_move_while_they_are_read_nothing_is_called_gone(
    client: httpx.Client, job: str, tool: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, count = tool.answer, iter(range(10**6))

    def moving(method: str, path: str, query: Any, body: bytes) -> tuple[int, Any]:
        status, found = whole(method, path, query, body)
        if path == "/api/tasks/" and "query" in query:
            return status, {**found, "total_annotations": next(count)}
        if path == "/api/tasks/" and status == 200:
            return status, {**found, "tasks": found["tasks"][1:]}
        return status, found

    relabel(tool, 6, "dog")
    monkeypatch.setattr(tool, "answer", moving)
    assert reconcile(client, job)["recorded"] == 1
    assert set(reviews(client, job)) == {"6"}


def test_each_annotation_is_decided_for_itself_where_it_is_a_sample(
    client: httpx.Client, services: Services, connection: str, tool: StandIn
) -> None:
    for task in tool.tasks:
        task["annotations"].append(annotation(task["id"] * 10 + 1, "cat"))
    job_id = str(
        client.post("/jobs", json={"connection": connection, "project": 7, "annotation_policy": "all"}).json()["id"]
    )
    pull_due(services)
    with services.database.read() as opened:
        info = datasets.get(opened, client.get(f"/jobs/{job_id}").json()["dataset"]["id"])
    assert info is not None
    finish(services.database, job_id, info.model_copy(update={"splits": {"train": 48}, "classes": CLASSES}))
    tool.tasks[0]["annotations"][1] = annotation(11, "dog", **LATE)
    del tool.tasks[1]["annotations"][0]
    reconcile(client, job_id)
    assert reviews(client, job_id) == {"1:11": ("relabel", "dog"), "2:20": ("remove", None)}


def test_a_job_that_has_nothing_to_reconcile_says_so(client: httpx.Client, services: Services, job: str) -> None:
    services.blobs.origin(job).unlink()
    answer = client.post(f"/jobs/{job}/reconcile")
    assert (answer.status_code, answer.json()["state"]) == (409, "forgotten")


# ---- events, and without them


def states(client: httpx.Client, job: str) -> Any:
    return client.get(f"/jobs/{job}/reviews/summary").json()["outcomes"], reviews(client, job)


def test_events_in_any_number_and_order_and_none_at_all_come_to_the_same(
    client: httpx.Client, services: Services, connection: str, job: str, tool: StandIn, one_server: OneServer
) -> None:
    other = ranked(client, services, connection)
    path = path_of(client, connection)
    decide(client, tool, job)
    for action in ("TASKS_DELETED", "ANNOTATIONS_DELETED", "ANNOTATION_UPDATED", "ANNOTATION_UPDATED"):
        answer = client.post(f"{path}/webhook", json=event(tool, action))
        assert (answer.status_code, answer.json()) == (202, {"action": action})
    one_server.rest()
    assert due(services) == 1
    assert due(services) == 0
    assert reviews(client, job) == {}  # replaced by the newer job, and never pushed
    reconcile(client, job)
    assert states(client, other)[0] == states(client, job)[0]
    assert states(client, other)[1] == states(client, job)[1] != {}


def test_without_any_event_the_tool_is_asked_now_and_then_and_read_only_where_something_moved(
    client: httpx.Client, services: Services, job: str, tool: StandIn
) -> None:
    every = services.settings.reconcile_seconds
    due(services)
    assert due(services) == 1
    tool.heard.clear()
    due(services, every + 1)
    assert (due(services), len(tool.paths("/api/tasks/"))) == (0, 1)
    decide(client, tool, job)
    due(services, every / 3)
    assert due(services) == 0
    due(services, every)
    assert due(services) == 1
    assert reviews(client, job)["1"][0] == "relabel"


def test_a_tool_that_cannot_be_reached_is_told_and_asked_again(
    client: httpx.Client, services: Services, connection: str, job: str, tool: StandIn, one_server: OneServer
) -> None:
    client.post(f"{path_of(client, connection)}/webhook", json=event(tool))
    one_server.rest()
    tool.answers = [500]
    assert due(services) == 0
    told = client.get(f"/jobs/{job}/reviews/summary").json()["tool"]
    assert "500" in told["trouble"]
    decide(client, tool, job)
    assert due(services) == 0
    assert due(services, 70) == 1
    assert client.get(f"/jobs/{job}/reviews/summary").json()["tool"]["trouble"] is None


def test_an_event_that_comes_during_a_push_is_handled_soon_after_it_and_is_no_trouble(
    client: httpx.Client, services: Services, connection: str, job: str, tool: StandIn, one_server: OneServer
) -> None:
    client.post(f"{path_of(client, connection)}/webhook", json=event(tool))
    one_server.rest()
    decide(client, tool, job)
    with services.database.try_lock(f"push {job}") as free:
        assert free
        assert due(services) == 0
    assert client.get(f"/jobs/{job}/reviews/summary").json()["tool"]["trouble"] is None
    assert due(services) == 1


def test_an_event_that_comes_while_it_is_read_is_not_lost(
    client: httpx.Client, services: Services, connection: str, job: str, tool: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    with services.database.write() as opened:
        pulls.request_reconcile(opened, connection, 7, services.now())
    whole, done = tool.answer, threading.Event()

    def interrupted(method: str, path: str, query: Any, body: bytes) -> tuple[int, Any]:
        answer = whole(method, path, query, body)
        if path == "/api/tasks/" and "query" not in query and not done.is_set():
            done.set()
            relabel(tool, 1, "eel")
            with services.database.write() as opened:
                pulls.request_reconcile(opened, connection, 7, services.now())
        return answer

    monkeypatch.setattr(tool, "answer", interrupted)
    due(services)
    assert due(services) == 1
    assert reviews(client, job) == {"1": ("relabel", "eel")}


def test_an_event_is_answered_at_once_also_while_the_database_is_busy_and_a_burst_is_looked_at_once(
    client: httpx.Client, services: Services, connection: str, job: str, tool: StandIn, one_server: OneServer
) -> None:
    path = path_of(client, connection)
    with services.database.write():  # SQLite has one writer
        for _ in range(5):
            # Who needs the database waits longer than this for it.
            with httpx.Client(base_url=client.base_url, trust_env=False, timeout=30) as annotator:
                assert annotator.post(f"{path}/webhook", json=event(tool)).status_code == 202
    one_server.rest()
    tool.heard.clear()
    assert [due(services), due(services)] == [1, 0]
    assert len([one for one in tool.paths("/api/tasks/") if "query" not in one]) == 1


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/ls/{id}.wrong/webhook", {"action": "ANNOTATION_UPDATED", "project": {"id": 7}}, 404),
        ("/ls/con_0.wrong/webhook", {"action": "ANNOTATION_UPDATED", "project": {"id": 7}}, 404),
        ("/ls/{id}./webhook", {"action": "ANNOTATION_UPDATED", "project": {"id": 7}}, 404),
        ("/ls/{id}/webhook", {"action": "ANNOTATION_UPDATED", "project": {"id": 7}}, 404),
        ("{path}/webhook", {"action": "ANNOTATION_UPDATED"}, 422),
        ("{path}/webhook", {"action": 3, "project": {"id": 7}}, 422),
        ("{path}/webhook", [], 422),
        ("{path}/webhook", {"action": "x", "project": {"id": 10**30}}, 422),
        ("{path}/webhook", ["x" * 2**24], 413),
    ],
)
def test_what_is_no_event_of_ours_is_refused_and_asks_for_nothing(
    client: httpx.Client, services: Services, connection: str, job: str, path: str, body: Any, status: int
) -> None:
    where = path.format(id=connection, path=path_of(client, connection))
    assert client.post(where, json=body).status_code == status
    with services.database.read() as opened:
        assert [one.asked_at for one in pulls.to_reconcile(opened)] == [None]


def test_events_of_other_projects_and_of_no_label_ask_for_nothing(
    client: httpx.Client, services: Services, connection: str, job: str, tool: StandIn, one_server: OneServer
) -> None:
    path = path_of(client, connection)
    for body in (event(tool, project=8), event(tool, "PROJECT_UPDATED"), event(tool, "TASKS_CREATED")):
        assert client.post(f"{path}/webhook", json=body).status_code == 202
    one_server.rest()
    with services.database.read() as opened:
        assert [one.asked_at for one in pulls.to_reconcile(opened)] == [None]


def test_a_path_that_was_replaced_and_one_of_a_deleted_connection_are_gone(
    client: httpx.Client, connection: str, tool: StandIn
) -> None:
    first, second = path_of(client, connection), path_of(client, connection)
    assert [client.post(f"{one}/webhook", json=event(tool)).status_code for one in (first, second)] == [404, 202]
    client.delete(f"/connections/{connection}")
    assert client.post(f"{second}/webhook", json=event(tool)).status_code == 404


# ---- jobs that follow others


def run_on(client: httpx.Client, services: Services, job: str, *, afresh: bool = False) -> str:
    """The job is run again, over its corrected dataset or over what the tool has by then; gives the completed next one."""
    if afresh:
        with services.database.write() as opened:
            assert loops.request_rerun(
                opened, job, services.now(), Loop(after=1, quiet_seconds=0, cool_down_seconds=0), afresh=True
            )
    else:
        assert client.post(f"/jobs/{job}/rerun").status_code == 202
    later = services.now() + timedelta(minutes=5)
    object.__setattr__(services, "now", lambda: later)
    (following,) = run_again(services)
    pull_due(services)
    with services.database.read() as opened:
        info = datasets.get(opened, client.get(f"/jobs/{following}").json()["dataset"]["id"])
    assert info is not None
    finish(services.database, following, info, table=ranking_of(services.blobs, info))
    return following


def held(client: httpx.Client, job: str) -> dict[str, tuple[str, str | None]]:
    """What the ranking shows beside its suspects."""
    items = client.get(f"/jobs/{job}/suspects", params={"limit": 1000}).json()["items"]
    shown = {one["sample"]["id"]: one["review"] for one in items if one["review"]}
    return {name: (one["decision"], one["label"]) for name, one in shown.items()}


def label_now(tool: StandIn, number: int) -> str:
    task = next(task for task in tool.tasks if task["id"] == number)
    return str(task["annotations"][-1]["result"][0]["value"]["choices"][0])


def test_the_next_job_shows_what_was_decided_and_the_tool_has_no_news_for_it(
    client: httpx.Client, services: Services, job: str, tool: StandIn
) -> None:
    decide(client, tool, job)
    reconcile(client, job)
    following = run_on(client, services, job)
    decided = {
        "1": ("keep", None),
        "4": ("unsure", None),
        "6": ("keep", None),
        "11": ("keep", None),
        "24": ("keep", None),
    }
    assert held(client, following) == decided
    assert [reconcile(client, one)["recorded"] for one in (following, job, following)] == [0, 0, 0]
    assert client.get(f"/jobs/{following}/reviews").json()["total"] == 0
    relabel(tool, 2, "cat")
    assert [reconcile(client, one)["recorded"] for one in (following, job)] == [1, 0]
    assert held(client, following) == decided | {"2": ("relabel", "cat")}
    assert held(client, job)["2"] == ("relabel", "cat")


def test_where_the_job_before_was_deleted_the_tool_is_asked_what_was_decided(
    client: httpx.Client, services: Services, job: str, tool: StandIn
) -> None:
    decide(client, tool, job)
    reconcile(client, job)
    following = run_on(client, services, job)
    before = held(client, following)
    client.delete(f"/jobs/{job}")
    assert held(client, following) == {}
    reconcile(client, following)
    assert held(client, following) == before


def test_what_is_decided_in_the_project_of_a_job_that_was_run_again_counts_for_the_next_once(
    client: httpx.Client, services: Services, job: str, tool: StandIn
) -> None:
    with services.database.write() as opened:
        pulls.save_push(opened, job, {}, 31, services.now())
    tool.others[31] = [text_task(100 + number, meta={"origin_task": number, "job": job}) for number in (1, 2, 3, 5)]
    relabel(tool, 4, "dog")
    reconcile(client, job)
    following = run_on(client, services, job)
    for task, label in zip(tool.others[31], ("cat", "eel", "eel"), strict=False):
        task["annotations"] = [annotation(1000 + task["id"], label, **LATE)]
    for one in (following, job, following, job):
        reconcile(client, one)
    assert held(client, following) == {
        "1": ("keep", None),
        "2": ("relabel", "eel"),
        "3": ("keep", None),
        "4": ("keep", None),
    }
    listed = [client.get(f"/jobs/{one}/reviews").json()["total"] for one in (job, following)]
    assert listed == [4, 0]
    tool.others[31][1]["annotations"] = []  # taken back
    for one in (following, job, following):
        reconcile(client, one)
    assert "2" not in held(client, following)
    summary = client.get(f"/jobs/{following}/reviews/summary").json()
    assert (summary["precision"]["wrong"], summary["precision"]["decided"]) == (0, 3)


def test_a_job_that_pulled_anew_knows_what_was_decided_before_and_takes_nothing_back(
    client: httpx.Client, services: Services, job: str, tool: StandIn
) -> None:
    decide(client, tool, job)
    reconcile(client, job)
    client.post(f"/jobs/{job}/reviews", json=[{"sample_id": "8", "decision": "relabel", "label": "eel"}])
    following = run_on(client, services, job, afresh=True)
    confirmed = {"1", "6", "11", "24"}
    assert {name: held(client, following).get(name) for name in (*confirmed, "8")} == {
        **dict.fromkeys(confirmed, ("keep", None)),
        "8": ("relabel", "eel"),  # the tool does not know of it
    }
    assert [reconcile(client, one)["recorded"] for one in (following, job)] == [0, 0]
    now = label_now(tool, 1)
    other = next(name for name in CLASSES if name != now)
    relabel(tool, 1, other, updated_at="2099-01-02T00:00:00Z")
    assert [reconcile(client, one)["recorded"] for one in (job, following)] == [1, 0]
    assert held(client, following)["1"] == ("relabel", other)
