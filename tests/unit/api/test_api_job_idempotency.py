"""A key makes one job, however often a request comes."""

import threading
from typing import Any

import httpx
import pytest

from service.services import Services
from service.settings import Settings
from tests.builders import CSV, add_dataset, form
from tests.submissions import messages


def test_a_key_makes_one_job_with_the_same_answer(client: httpx.Client, services: Services, settings: Settings) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    key = {"Idempotency-Key": "k-1"}
    first = client.post("/jobs", json={"dataset": info.id}, headers=key)
    # What is left out and what is spelt out are the same.
    again = client.post("/jobs", json={"priority": 0, "dataset": info.id}, headers=key)
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert again.headers["Location"] == first.headers["Location"]
    other = client.post("/jobs", json={"dataset": info.id, "priority": 1}, headers=key)
    assert (other.status_code, other.json()["errors"][0]["loc"]) == (422, ["header", "Idempotency-Key"])
    assert client.get("/jobs").json()["total"] == len(messages(settings)) == 1


def test_a_key_binds_the_file_and_the_route(client: httpx.Client) -> None:
    key = {"Idempotency-Key": "k-1"}
    spec = {"dataset": {"label": "animal"}}
    first = client.post("/jobs", **form(spec=spec), headers=key)
    assert client.post("/jobs", **form(spec=spec), headers=key).json() == first.json()
    assert client.post("/jobs", **form(CSV + b"1,red,cat\n", spec=spec), headers=key).status_code == 422
    assert client.post("/datasets", **form(spec=spec["dataset"]), headers=key).status_code == 422
    uploaded = client.post("/datasets", **form(spec=spec["dataset"]), headers={"Idempotency-Key": "k-2"})
    assert client.post("/datasets", **form(spec={}), headers={"Idempotency-Key": "k-2"}).status_code == 422
    # Within a job a dataset comes without the account of its columns.
    within = first.json()["dataset"]
    assert within == {name: uploaded.json()[name] for name in within} | {"columns": []}


def test_a_deleted_job_frees_its_key(client: httpx.Client, services: Services) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    key = {"Idempotency-Key": "k-1"}
    first = client.post("/jobs", json={"dataset": info.id}, headers=key).json()
    client.post(f"/jobs/{first['id']}/cancel")
    client.delete(f"/jobs/{first['id']}")
    assert client.post("/jobs", json={"dataset": info.id, "priority": 1}, headers=key).status_code == 202


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"])
def test_a_key_has_a_form(client: httpx.Client, key: str) -> None:
    assert client.post("/jobs", json={}, headers={"Idempotency-Key": key}).status_code == 400


@pytest.mark.parametrize("kind", ["json", "form"])
def test_one_key_sent_many_times_at_once_makes_one_job(
    client: httpx.Client, server: str, services: Services, kind: str
) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    start, ids = threading.Barrier(6), []
    body: dict[str, Any] = (
        {"json": {"dataset": info.id}} if kind == "json" else form(spec={"dataset": {"label": "animal"}})
    )

    def run() -> None:
        start.wait()
        response = httpx.post(f"{server}/jobs", **body, headers={"Idempotency-Key": "k"}, timeout=60, trust_env=False)
        ids.append(response.json().get("id", response.text))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 6
    assert {job["id"] for job in client.get("/jobs").json()["items"]} == set(ids)
    assert len(set(ids)) == 1
