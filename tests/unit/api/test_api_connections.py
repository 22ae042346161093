"""Connections and pulls over HTTP. The labelling tool is a stand-in; `make test-label-studio` runs the real one."""

import io
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from PIL import Image

from service.background.pulls import pull_due
from service.main import create_app
from service.services import Services
from service.settings import Settings
from service.store import connections, jobs, pulls
from tests.builders import LEASE, NOON, end_leases
from tests.stand_in import PERSONAL, TEXT_CONFIG, TOKEN, StandIn, annotation, standing_in, text_task

IMAGES = TEXT_CONFIG.replace("<Text", "<Image").replace("$text", "$picture")


@pytest.fixture
def tool() -> Iterator[StandIn]:
    with standing_in() as running:
        running.tasks = [text_task(number, "cat" if number % 2 else "dog") for number in range(1, 25)]
        yield running


@pytest.fixture
def app(settings: Settings, request: pytest.FixtureRequest) -> FastAPI:
    changes = {"allow_private_connections": True, **getattr(request, "param", {})}
    return create_app(settings.model_copy(update=changes))


def connect(client: httpx.Client, tool: StandIn, token: str = TOKEN, **more: Any) -> httpx.Response:
    return client.post("/connections", json={"kind": "label_studio", "url": tool.url, "token": token, **more})


@pytest.fixture
def connection(client: httpx.Client, tool: StandIn) -> str:
    return str(connect(client, tool).json()["id"])


def submit(client: httpx.Client, connection: str, **more: Any) -> httpx.Response:
    return client.post("/jobs", json={"connection": connection, "project": 7, **more})


def pull(services: Services) -> int:
    return pull_due(services)


def pulled(client: httpx.Client, services: Services, connection: str, **more: Any) -> dict[str, Any]:
    job_id = submit(client, connection, **more).json()["id"]
    assert pull(services) == 1
    job: dict[str, Any] = client.get(f"/jobs/{job_id}").json()
    return job


# ---- connections


@pytest.mark.parametrize(("token", "kind"), [(TOKEN, "legacy"), (PERSONAL, "personal")])
def test_a_connection_is_tried_at_once_and_says_what_it_sees(
    client: httpx.Client, tool: StandIn, token: str, kind: str
) -> None:
    answer = connect(client, tool, token)
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/connections/{made['id']}"
    assert (made["token_kind"], made["name"]) == (kind, f"127.0.0.1:{tool.port}")
    assert made["seen"] == {"user": "annotator@example.org", "version": "1.23.2", "projects": 1}
    assert client.get(f"/connections/{made['id']}").json() == made


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": "ftp://x"}, "url"),
        ({"url": "http://"}, "url"),
        ({"url": "http://me:hush@example.org"}, "url"),
        ({"url": "http://example.org/?token=hush"}, "url"),
        ({"url": "http://[::1"}, "url"),
        ({"token": ""}, "token"),
        ({"token": "Token abc"}, "token"),
        ({"token": "0" * 40}, "token"),
        ({"token": 7}, "token"),
        ({"kind": "doccano"}, "kind"),
        ({"secret": 1}, "secret"),
    ],
)
def test_a_connection_that_cannot_work_is_refused_by_its_field(
    client: httpx.Client, tool: StandIn, body: dict[str, Any], field: str
) -> None:
    answer = connect(client, tool, **{"token": TOKEN, **body})
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, [field])
    assert not {"hush", "0" * 40} & set(json.dumps(answer.json()).split('"'))
    assert client.get("/connections").json()["total"] == 0


def test_a_server_that_is_no_label_studio_is_the_urls_fault(client: httpx.Client, tool: StandIn) -> None:
    for answers in ([b"<html>"], [b"[]"], [b"{}"], [404]):
        tool.answers = list(answers)
        answer = connect(client, tool)
        assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["url"])


@pytest.mark.parametrize("app", [{"allow_private_connections": False}], indirect=True)
def test_a_tool_inside_is_refused_unless_the_installation_allows_it(client: httpx.Client, tool: StandIn) -> None:
    answer = connect(client, tool)
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["url"])
    assert "SUSPECTS_ALLOW_PRIVATE_CONNECTIONS" in answer.json()["detail"]
    assert not tool.heard


def test_the_same_key_makes_one_connection(client: httpx.Client, tool: StandIn) -> None:
    body = {"kind": "label_studio", "url": tool.url, "token": TOKEN}
    key = {"Idempotency-Key": "k"}
    first, second = (client.post("/connections", json=body, headers=key) for _ in range(2))
    assert first.json() == second.json()
    assert client.post("/connections", json={**body, "token": PERSONAL}, headers=key).status_code == 422


def test_a_token_is_rotated_only_for_one_that_works(
    client: httpx.Client, services: Services, tool: StandIn, connection: str
) -> None:
    url = f"/connections/{connection}/token"
    assert client.put(url, json={"token": "0" * 40}).status_code == 422
    with services.database.read() as opened:
        assert services.vault.open(connections.get_encrypted(opened, connection).token) == TOKEN  # type: ignore[union-attr]
    assert client.put(url, json={"token": PERSONAL}).json()["token_kind"] == "personal"
    tool.personal_only = True
    assert pulled(client, services, connection)["state"] == "queued"


def test_a_deleted_connection_is_gone_with_its_secrets_and_waiting_jobs_keep_it(
    client: httpx.Client, services: Services, connection: str
) -> None:
    job_id = submit(client, connection).json()["id"]
    refused = client.delete(f"/connections/{connection}")
    assert (refused.status_code, refused.json()["jobs"]) == (409, [job_id])
    pull(services)
    assert client.delete(f"/connections/{connection}").status_code == 204
    assert client.get(f"/connections/{connection}").status_code == 404
    assert client.get(f"/jobs/{job_id}").json()["spec"]["source"]["connection"] == connection
    with services.database.read() as opened:
        assert opened.exec_driver_sql("SELECT count(*) FROM connections").scalar_one() == 0


def test_connections_are_listed_page_by_page(client: httpx.Client, tool: StandIn) -> None:
    made = [connect(client, tool, name=name).json()["id"] for name in "abc"]
    first = client.get("/connections", params={"limit": 2}).json()
    second = client.get("/connections", params={"limit": 2, "cursor": first["next"]}).json()
    assert [one["id"] for one in (*first["items"], *second["items"])] == made[::-1]
    assert (first["total"], second["next"]) == (3, None)


# ---- pulls


def test_a_project_becomes_a_dataset_whose_samples_are_called_as_its_tasks(
    client: httpx.Client, services: Services, connection: str, tool: StandIn
) -> None:
    job = pulled(client, services, connection)
    assert (job["state"], job["attempts"], job["name"]) == ("queued", 0, "animals")
    assert job["spec"]["source"] == {
        "connection": connection,
        "project": 7,
        "from_name": None,
        "annotation_policy": "latest",
    }
    info = job["dataset"]
    assert (info["rows"], info["modality"], info["class_counts"]) == (24, "text", {"cat": 12, "dog": 12})
    row = client.get(f"/datasets/{info['id']}/samples/3").json()
    assert (row["label"], row["features"]) == ("cat", {"text": "words of task 3"})
    with services.database.read() as opened:
        held = jobs.claim(opened, job["id"], "worker", LEASE, NOON)
    assert held is not None


def test_no_worker_takes_a_job_whose_tasks_are_still_to_be_pulled(
    client: httpx.Client, services: Services, connection: str
) -> None:
    job = submit(client, connection).json()
    assert (job["state"], job["dataset"]["rows"]) == ("queued", 0)
    with services.database.write() as opened:
        assert jobs.claim(opened, job["id"], "worker", LEASE, NOON) is None
        assert jobs.take_due(opened, LEASE, 3, services.now()) == []
    assert client.get(f"/datasets/{job['dataset']['id']}/samples/3").status_code == 404
    refused = client.post("/jobs", json={"dataset": job["dataset"]["id"]})
    assert (refused.status_code, refused.json()["errors"][0]["loc"]) == (422, ["dataset"])


def test_tasks_that_are_no_samples_are_told_one_by_one(
    client: httpx.Client, services: Services, connection: str, tool: StandIn
) -> None:
    tool.tasks += [
        text_task(100),
        {**text_task(101), "annotations": [annotation(1, "cat", was_cancelled=True)]},
        {**text_task(102), "annotations": [annotation(2, "cat", "dog")]},
        text_task(103, "cat", data={}),
        text_task(104, "cat", "dog"),
    ]
    info = pulled(client, services, connection, annotation_policy="majority")["dataset"]
    told = client.get(f"/datasets/{info['id']}/skipped").json()["items"]
    assert {one["where"]: one["reason"] for one in told} == {
        "task 100": "no annotation",
        "task 101": "the annotation was cancelled",
        "task 102": "the annotation names 2 classes",
        "task 103": "its data has no text",
        "task 104": "its annotators are in conflict: cat, dog",
    }
    assert (info["rows"], info["skipped_rows"]) == (24, 5)
    assert "skipped_rows" in [one["code"] for one in info["warnings"]]


def test_images_are_fetched_with_the_token_and_those_that_cannot_be_had_are_told(
    client: httpx.Client, services: Services, connection: str, tool: StandIn
) -> None:
    tool.config = IMAGES
    for task in tool.tasks:
        number = task["id"]
        task["data"] = {"picture": f"/data/upload/{number}.png"}
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8), (number * 9, 0, 0)).save(buffer, "PNG")
        tool.files[f"/data/upload/{number}.png"] = buffer.getvalue()
    del tool.files["/data/upload/5.png"]
    tool.files["/data/upload/6.png"] = b"no picture"
    info = pulled(client, services, connection)["dataset"]
    assert (info["modality"], info["rows"], info["skipped_rows"]) == ("image", 22, 2)
    shown = client.get(f"/datasets/{info['id']}/samples/7/media").content
    assert Image.open(io.BytesIO(shown)).getpixel((0, 0)) == (63, 0, 0)
    told = {one["where"]: one["reason"] for one in client.get(f"/datasets/{info['id']}/skipped").json()["items"]}
    assert set(told) == {"task 5", "task 6"}
    assert "404" in told["task 5"]


@pytest.mark.parametrize(
    "address", ["http://[bad/x.png", "http://cdn.example.org:99999/x.png", "https://a:b/x.png", "s3://b/\ud83d"]
)
def test_an_address_that_is_none_costs_its_own_task_alone(
    client: httpx.Client, services: Services, connection: str, tool: StandIn, address: str
) -> None:
    tool.config = IMAGES
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    for task in tool.tasks:
        task["data"] = {"picture": f"/data/upload/{task['id']}.png"}
        tool.files[f"/data/upload/{task['id']}.png"] = buffer.getvalue()
    tool.tasks[4]["data"]["picture"] = address
    job = pulled(client, services, connection)
    assert (job["error"], job["dataset"]["rows"], job["dataset"]["skipped_rows"]) == (None, 23, 1)


def test_half_a_character_in_a_task_costs_nothing(
    client: httpx.Client, services: Services, connection: str, tool: StandIn
) -> None:
    tool.tasks[3]["data"]["text"] = "half \ud83d of it"  # an emoji that somebody cut in two
    job = pulled(client, services, connection)
    assert (job["error"], job["dataset"]["rows"]) == (None, 24)
    sample = client.get(f"/datasets/{job['dataset']['id']}/samples/4").json()
    assert sample["features"]["text"] == "half ? of it"


def test_tables_of_tasks_are_columns(client: httpx.Client, services: Services, connection: str, tool: StandIn) -> None:
    tool.config = TEXT_CONFIG.replace("<Text", "<Table").replace("$text", "$row.values")
    for task in tool.tasks:
        task["data"] = {"row": {"values": {"weight": task["id"] / 2, "colour": "red" if task["id"] % 3 else "blue"}}}
    info = pulled(client, services, connection)["dataset"]
    assert (info["modality"], {one["name"]: one["kind"] for one in info["features"]}) == (
        "tabular",
        {"weight": "numeric", "colour": "categorical"},
    )


def test_the_same_tasks_are_one_dataset_and_changed_ones_another(
    client: httpx.Client, services: Services, connection: str, tool: StandIn
) -> None:
    first, second = (pulled(client, services, connection) for _ in range(2))
    assert first["dataset"] == second["dataset"]
    assert second["spec"]["dataset"] == first["dataset"]["id"]
    tool.tasks[0] = text_task(1, "dog")
    assert pulled(client, services, connection)["dataset"]["id"] != first["dataset"]["id"]
    assert client.get("/datasets").json()["total"] == 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"project": 8}, "project"),
        ({"project": 0}, "project"),
        ({"from_name": "mood"}, "from_name"),
        ({"annotation_policy": "best"}, "annotation_policy"),
        ({"reference": {"split": "test"}}, "reference"),
        ({"model": {"name": "tabm"}}, "model"),
        ({"dataset": "ds_1"}, "connection"),
    ],
)
def test_a_pull_that_cannot_work_is_refused_before_it_is_a_job(
    client: httpx.Client, connection: str, change: dict[str, Any], field: str
) -> None:
    answer = submit(client, connection, **change)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["loc"][0] == field
    assert client.get("/jobs").json()["total"] == 0
    assert client.get("/datasets").json()["total"] == 0


def test_an_unknown_connection_is_a_404(client: httpx.Client) -> None:
    assert submit(client, "con_0").status_code == 404


def test_a_pull_that_fails_says_why_and_can_be_tried_again(
    client: httpx.Client, services: Services, connection: str, tool: StandIn
) -> None:
    job_id = submit(client, connection).json()["id"]
    kept, tool.tasks = tool.tasks, []
    pull(services)
    job = client.get(f"/jobs/{job_id}").json()
    assert (job["state"], job["error"]["code"]) == ("failed", "invalid")
    assert "no task of project 7 can be used" in job["error"]["detail"]
    tool.tasks = kept
    assert client.post(f"/jobs/{job_id}/retry").status_code == 202
    assert pull(services) == 1
    assert client.get(f"/jobs/{job_id}").json()["dataset"]["rows"] == 24


def test_a_job_that_was_never_pulled_leaves_nothing(client: httpx.Client, services: Services, connection: str) -> None:
    job_id = submit(client, connection).json()["id"]
    client.post(f"/jobs/{job_id}/cancel")
    assert pull(services) == 0
    assert client.delete(f"/jobs/{job_id}").status_code == 204
    assert client.get("/datasets").json()["total"] == 0
    assert list(services.blobs.uploads.iterdir()) == []


def test_a_pull_that_its_service_left_behind_is_begun_again(
    client: httpx.Client, services: Services, connection: str
) -> None:
    job_id = submit(client, connection).json()["id"]
    with services.database.write() as opened:
        assert jobs.claim(opened, job_id, "dead", LEASE, services.now(), to_pull=True) is not None
    assert pull(services) == 0
    end_leases(services.database)
    assert pull_due(services) == 1
    assert client.get(f"/jobs/{job_id}").json()["dataset"]["rows"] == 24


def test_a_job_that_is_cancelled_while_it_is_pulled_stays_cancelled(
    client: httpx.Client, services: Services, connection: str, tool: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submit(client, connection).json()["id"]
    whole = tool.answer

    def slowly(method: str, path: str, *rest: Any) -> tuple[int, Any]:
        if path == "/api/tasks/":
            client.post(f"/jobs/{job_id}/cancel")
            time.sleep(0.3)
        return whole(method, path, *rest)

    monkeypatch.setattr(tool, "answer", slowly)
    pull(services)
    job = client.get(f"/jobs/{job_id}").json()
    assert (job["state"], job["dataset"]["rows"]) == ("cancelled", 0)
    with services.database.read() as opened:
        assert pulls.get(opened, job_id).waiting  # type: ignore[union-attr]


@pytest.mark.parametrize("app", [{"sweep_seconds": 0.05}], indirect=True)
def test_the_service_pulls_by_itself(client: httpx.Client, connection: str) -> None:
    job_id = submit(client, connection).json()["id"]
    deadline = time.monotonic() + 20
    while client.get(f"/jobs/{job_id}").json()["dataset"]["rows"] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
