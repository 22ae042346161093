"""The machine learning backend, asked as Label Studio asks it; the model is a real one, the worker runs in this process."""

import io
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from PIL import Image

from service.actions.rerun import run_again
from service.background.pulls import pull_due
from service.domain.job import State
from service.main import create_app
from service.queue import CeleryQueue
from service.services import Services
from service.settings import Settings
from service.store import jobs, loops, pulls
from tests.attempts import do_job
from tests.builders import LEASE
from tests.stand_in import TEXT_CONFIG, TOKEN, StandIn, annotation, standing_in, text_task
from worker.job.context import WorkerContext
from worker.machine.devices import CPU
from worker.serving.answers import answer

ROWS = 60
WORDS = {"cat": "meow purr whiskers", "dog": "bark fetch kennel"}
STAMP = "1795433057"


@pytest.fixture
def tool() -> Iterator[StandIn]:
    with standing_in() as running:
        for number in range(1, ROWS + 1):
            name = "cat" if number % 2 else "dog"
            running.tasks.append(text_task(number, name, data={"text": f"{WORDS[name]} {number % 7}"}))
        yield running


@pytest.fixture
def app(settings: Settings, request: pytest.FixtureRequest) -> FastAPI:
    changes = {"allow_private_connections": True, "answer_seconds": 60, **getattr(request, "param", {})}
    return create_app(settings.model_copy(update=changes))


@pytest.fixture
def connection(client: httpx.Client, tool: StandIn) -> str:
    body = {"kind": "label_studio", "url": tool.url, "token": TOKEN}
    return str(client.post("/connections", json=body).json()["id"])


@pytest.fixture
def path(client: httpx.Client, connection: str) -> str:
    return str(client.post(f"/connections/{connection}/backend").json()["path"])


def worker_context(services: Services) -> WorkerContext:
    return WorkerContext(services.settings, services.database, services.blobs, CPU, lambda: False)


class Worker(CeleryQueue):
    """A queue whose worker is at hand: what is asked is answered before `ask` returns."""

    def __init__(self, services: Services) -> None:
        super().__init__(services.settings)
        self._worker_context, self.asked = worker_context(services), 0

    def ask(self, job_id: str, question: str, seconds: float) -> bool:
        assert 0 < seconds <= self._worker_context.settings.answer_seconds
        self.asked += 1
        answer(job_id, question, self._worker_context)
        return True


@pytest.fixture
def worker(services: Services) -> Iterator[Worker]:
    found, before = Worker(services), services.queue
    object.__setattr__(services, "queue", found)
    yield found
    object.__setattr__(services, "queue", before)
    found.close()


def ranked(client: httpx.Client, services: Services, connection: str, **more: Any) -> str:
    """A job over all tasks, really computed."""
    training = {"epochs": 8, "batch_size": 8, "learning_rate": 0.1, "find_learning_rate": False, "checkpoints": 2}
    body = {"connection": connection, "project": 7, "training": training, **more}
    made = client.post("/jobs", json=body)
    assert made.status_code == 202, made.text
    job_id = str(made.json()["id"])
    pull_due(services)
    do_job(job_id, "worker", worker_context(services))
    job = client.get(f"/jobs/{job_id}").json()
    assert job["state"] == "completed", job["error"]
    return job_id


@pytest.fixture
def job(client: httpx.Client, services: Services, connection: str, worker: Worker) -> str:
    return ranked(client, services, connection)


def ask(client: httpx.Client, path: str, tool: StandIn, *tasks: dict[str, Any], project: int = 7) -> list[Any]:
    body = {
        "tasks": list(tasks),
        "project": f"{project}.{STAMP}",
        "label_config": tool.config,
        "params": {"login": None, "password": None, "context": None},
    }
    answered = client.post(f"{path}/predict", json=body)
    assert answered.status_code == 200, answered.text
    found: list[Any] = answered.json()["results"]
    assert len(found) == len(tasks)
    return found


def choice(prediction: dict[str, Any]) -> str:
    (item,) = prediction["result"]
    assert (item["from_name"], item["to_name"], item["type"]) == ("label", "text", "choices")
    (label,) = item["value"]["choices"]
    return str(label)


def unseen(number: int, text: str, *labels: str) -> dict[str, Any]:
    return text_task(number, *labels, data={"text": text})


# ---- what is always called


def test_it_says_that_it_is_there_and_at_which_version(
    client: httpx.Client, services: Services, connection: str, path: str, worker: Worker
) -> None:
    setup = {"project": f"7.{STAMP}", "schema": TEXT_CONFIG, "hostname": "http://x", "access_token": "0" * 40}
    assert client.get(f"{path}/health").json()["status"] == "UP"
    assert client.post(f"{path}/setup", json=setup).json() == {"model_version": "suspects"}
    assert client.get(f"{path}/versions").json() == {"versions": []}
    first, second = (ranked(client, services, connection) for _ in range(2))
    assert client.post(f"{path}/setup", json=setup).json() == {"model_version": f"suspects-{second}"}
    other = client.post(f"{path}/setup", json={**setup, "project": f"8.{STAMP}"}).json()
    assert other == {"model_version": "suspects"}
    assert client.get(f"{path}/versions").json() == {"versions": [f"suspects-{second}", f"suspects-{first}"]}


@pytest.mark.parametrize(
    ("method", "call"), [("get", "health"), ("post", "setup"), ("get", "versions"), ("post", "predict")]
)
def test_nobody_gets_in_without_the_secret(client: httpx.Client, path: str, method: str, call: str) -> None:
    start = path.rpartition(".")[0]
    for wrong in (f"{start}.", f"{start}.x", start, "/ls/con_0.x", f"{path}x", path[:-1]):
        answered = client.request(method, f"{wrong}/{call}", json={} if method == "post" else None)
        assert answered.status_code == 404
        assert answered.json()["detail"] == "no such path; POST /connections/{id}/backend makes a new one"


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("setup", {}),
        ("setup", {"project": "seven"}),
        ("setup", {"project": 7}),
        ("predict", {"project": f"7.{STAMP}", "tasks": []}),
        ("predict", {"project": f"7.{STAMP}", "tasks": [3], "label_config": TEXT_CONFIG}),
        ("predict", {"project": f"7.{STAMP}", "tasks": [{}], "label_config": "<View"}),
    ],
)
def test_what_is_not_understood_is_refused_and_never_told_back(
    client: httpx.Client, path: str, job: str, call: str, body: dict[str, Any]
) -> None:
    answered = client.post(f"{path}/{call}", json={**body, "access_token": "hush"})
    assert answered.status_code == 422
    assert "hush" not in answered.text


# ---- predictions


def test_of_ranked_tasks_the_ranking_is_told_without_asking_anybody(
    client: httpx.Client, job: str, path: str, tool: StandIn, worker: Worker
) -> None:
    page = client.get(f"/jobs/{job}/suspects", params={"limit": 1000}).json()
    items, sure = page["items"], page["confidence"] == "probability"
    found = ask(client, path, tool, *tool.tasks)
    by_task = dict(zip([task["id"] for task in tool.tasks], found, strict=True))
    for one in items:
        told = by_task[int(one["sample"]["id"])]
        assert (choice(told), told["score"]) == (one["suggested_label"], one["score"])
        assert told["result"][0].get("score") == (one["suggested_confidence"] if sure else None)
        assert told["model_version"] == f"suspects-{job}"
    assert worker.asked == 0


def test_of_new_tasks_the_model_is_asked(
    client: httpx.Client, job: str, path: str, tool: StandIn, services: Services, worker: Worker
) -> None:
    found = ask(
        client,
        path,
        tool,
        unseen(901, "purr whiskers"),
        tool.tasks[0],
        unseen(902, "kennel bark", "cat"),
        unseen(903, "kennel bark", "dog"),
        unseen(904, ""),
    )
    new, known, doubtful, sure, empty = found
    assert [choice(one) for one in (new, doubtful, sure)] == ["cat", "dog", "dog"]
    assert new["score"] is None
    assert doubtful["score"] > 0.5 > sure["score"]
    assert doubtful["score"] + sure["score"] == pytest.approx(1)
    assert all(0.5 < one["result"][0]["score"] <= 1 for one in (new, doubtful, sure))
    assert known["score"] is not None
    assert empty == []
    assert worker.asked == 1
    assert list(services.blobs.uploads.iterdir()) == []


def test_a_task_whose_number_is_none_is_answered_like_any_new_one(
    client: httpx.Client, job: str, path: str, tool: StandIn
) -> None:
    numbers: list[Any] = ["abc", [1], None, {}]
    for number in numbers:
        (told,) = ask(client, path, tool, {**unseen(901, "purr whiskers"), "id": number})
        assert choice(told) == "cat"


@pytest.mark.parametrize("app", [{"answer_seconds": 0.3}], indirect=True)
def test_where_no_worker_answers_nothing_is_said_and_nobody_waits_for_long(
    client: httpx.Client, services: Services, connection: str, path: str, tool: StandIn
) -> None:
    ranked(client, services, connection)
    began = time.monotonic()
    assert ask(client, path, tool, unseen(901, "purr"))[0] == []
    assert time.monotonic() - began < Settings.model_fields["answer_seconds"].default
    assert list(services.blobs.uploads.iterdir()) == []


def test_a_model_that_is_gone_says_nothing(
    client: httpx.Client, services: Services, job: str, path: str, tool: StandIn
) -> None:
    for checkpoint in services.blobs.checkpoints(job).iterdir():
        checkpoint.unlink()
    services.blobs.model(job).unlink()
    assert ask(client, path, tool, unseen(901, "purr"))[0] == []


def test_a_class_that_the_tool_has_no_more_is_never_suggested(
    client: httpx.Client, job: str, path: str, tool: StandIn
) -> None:
    suggested = [choice(one) for one in ask(client, path, tool, *tool.tasks)]
    tool.config = tool.config.replace('<Choice value="cat"/>', '<Choice value="fox"/>')
    found = ask(client, path, tool, *tool.tasks, unseen(901, "purr whiskers"))
    assert [one == [] for one in found[:-1]] == [name == "cat" for name in suggested]
    assert choice(found[-1]) == "dog"


def test_a_project_without_a_job_gets_an_empty_answer_for_each_task(
    client: httpx.Client, path: str, tool: StandIn
) -> None:
    assert ask(client, path, tool, *tool.tasks[:3]) == [[], [], []]


def test_tasks_of_a_review_project_are_those_they_came_from(
    client: httpx.Client, services: Services, job: str, path: str, tool: StandIn
) -> None:
    with services.database.write() as opened:
        pulls.save_push(opened, job, {}, 31, services.now())
    known = ask(client, path, tool, tool.tasks[4])
    task = {"id": 4001, "data": tool.tasks[4]["data"], "meta": {"origin_task": 5}}
    assert ask(client, path, tool, task, project=31) == known


def test_where_each_annotation_is_a_sample_the_most_suspicious_one_is_told(
    client: httpx.Client, services: Services, connection: str, path: str, tool: StandIn, worker: Worker
) -> None:
    for task in tool.tasks[:20]:
        task["annotations"].append(annotation(task["id"] * 10 + 1, "cat"))
    job_id = ranked(client, services, connection, annotation_policy="all")
    items = client.get(f"/jobs/{job_id}/suspects", params={"limit": 1000}).json()["items"]
    scores = [one["score"] for one in items if one["sample"]["id"].partition(":")[0] == "4"]
    assert len(scores) == 2
    assert ask(client, path, tool, tool.tasks[3])[0]["score"] == max(scores)


def test_images_are_fetched_for_the_model_and_those_that_cannot_be_had_stay_unsaid(
    client: httpx.Client, services: Services, connection: str, path: str, tool: StandIn, worker: Worker
) -> None:
    tool.config = TEXT_CONFIG.replace("<Text", "<Image").replace("$text", "$picture")
    for task in tool.tasks:
        task["data"] = {"picture": f"/data/upload/{task['id']}.png"}
        tool.files[f"/data/upload/{task['id']}.png"] = picture(red=task["id"] % 2 == 1, shade=task["id"])
    tool.files["/data/upload/new.png"] = picture(red=False, shade=99)
    tool.files["/data/upload/broken.png"] = b"no picture"
    ranked(client, services, connection, model={"name": "small_cnn"})
    new, gone, broken = (
        {"id": 900 + place, "data": {"picture": f"/data/upload/{name}.png"}}
        for place, name in enumerate(("new", "gone", "broken"))
    )
    found = ask(client, path, tool, gone, new, broken)
    assert (found[0], found[2]) == ([], [])
    assert choice(found[1]) == "dog"


def picture(*, red: bool, shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (150 + shade, 0, 0) if red else (0, 0, 150 + shade)).save(buffer, "PNG")
    return buffer.getvalue()


def test_tables_are_asked_with_their_columns_in_place(
    client: httpx.Client, services: Services, connection: str, path: str, tool: StandIn, worker: Worker
) -> None:
    tool.config = TEXT_CONFIG.replace("<Text", "<Table").replace("$text", "$row")
    for task in tool.tasks:
        cat = task["id"] % 2 == 1
        task["data"] = {"row": {"weight": task["id"] / 100 + (0 if cat else 30), "coat": "tabby" if cat else "shaggy"}}
    ranked(client, services, connection)
    rows: list[Any] = [{"coat": "shaggy", "weight": "31"}, {"weight": 0.2, "more": 1, "coat": None}, {"coat": 3}, "x"]
    found = ask(client, path, tool, *({"id": 900 + n, "data": {"row": row}} for n, row in enumerate(rows)))
    assert [choice(one) for one in found[:2]] == ["dog", "cat"]
    assert all(one["result"] for one in found[2:])


def test_a_model_on_a_pretrained_network_is_asked_too(
    client: httpx.Client, services: Services, connection: str, path: str, tool: StandIn, worker: Worker
) -> None:
    model = {"name": "pretrained_text", "params": {"backbone": "all-minilm-l6-v2"}}
    ranked(client, services, connection, model=model)
    found = ask(client, path, tool, unseen(901, "purr whiskers"), unseen(902, "kennel bark"))
    assert [choice(one) for one in found] == ["cat", "dog"]


# ---- training again


def again(services: Services, seconds: float = 10) -> list[str]:
    later = services.now() + timedelta(seconds=seconds)
    object.__setattr__(services, "now", lambda: later)
    return run_again(services)


def train(client: httpx.Client, path: str, project: int = 7) -> None:
    body = {"action": "START_TRAINING", "project": {"id": project, "title": "animals"}}
    assert client.post(f"{path}/webhook", json=body).status_code == 202


def test_a_burst_of_requests_to_train_runs_the_job_once_more_over_the_present_tasks(
    client: httpx.Client, services: Services, job: str, path: str, tool: StandIn
) -> None:
    tool.tasks.append(unseen(61, "meow meow", "cat"))
    for _ in range(5):
        train(client, path)
    (following,) = again(services)
    assert again(services, 11) == []
    train(client, path)
    assert again(services, 12) == []
    assert client.get(f"/jobs/{job}").json()["links"]["next"] == f"/jobs/{following}"
    assert pull_due(services) == 1
    do_job(following, "worker", worker_context(services))
    told = client.get(f"/jobs/{following}").json()
    assert (told["state"], told["dataset"]["rows"], told["dataset"]["name"]) == ("completed", ROWS + 1, "animals")
    before = client.get(f"/jobs/{job}").json()["spec"]
    assert {**told["spec"], "dataset": None} == {**before, "dataset": None}
    assert ask(client, path, tool, tool.tasks[-1])[0]["model_version"] == f"suspects-{following}"


def test_a_request_to_train_is_kept_before_it_is_answered(
    client: httpx.Client, services: Services, job: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = loops.request_rerun

    def lost(*_: object, **__: object) -> bool:
        raise sa.exc.OperationalError("insert", {}, Exception("away"))

    monkeypatch.setattr(loops, "request_rerun", lost)
    body = {"action": "START_TRAINING", "project": {"id": 7, "title": "animals"}}
    assert client.post(f"{path}/webhook", json=body).status_code == 503
    monkeypatch.setattr(loops, "request_rerun", kept)
    train(client, path)
    with services.database.read() as opened:
        assert loops.pulls_again(opened, job)


def test_a_job_that_failed_does_not_stop_the_next_request(
    client: httpx.Client, services: Services, job: str, path: str
) -> None:
    train(client, path)
    (following,) = again(services)
    with services.database.write() as opened:
        assert jobs.claim(opened, following, "w", LEASE, services.now(), to_pull=True) is not None
    client.post(f"/jobs/{following}/cancel")
    train(client, path)
    (third,) = again(services, 20)
    assert client.get(f"/jobs/{third}").json()["state"] == State.QUEUED
    assert client.get(f"/jobs/{job}").json()["links"]["next"] == f"/jobs/{third}"


def test_a_request_to_train_waits_for_the_pauses_of_the_jobs_own_loop(
    client: httpx.Client, services: Services, connection: str, path: str, worker: Worker
) -> None:
    ranked(client, services, connection, loop={"after": 5, "quiet_seconds": 0, "cool_down_seconds": 3600})
    train(client, path)
    assert again(services, 600) == []
    assert len(again(services, 3601)) == 1


def test_a_request_to_train_what_was_never_ranked_changes_nothing(
    client: httpx.Client, services: Services, job: str, path: str
) -> None:
    train(client, path, project=8)
    with services.database.read() as opened:
        assert not loops.pulls_again(opened, job)
