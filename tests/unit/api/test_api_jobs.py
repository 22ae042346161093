"""Jobs over HTTP."""

import json
import threading
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest
import redis

from service.actions.submit import check_room
from service.background.wake import wake_due
from service.domain.errors import TooMany
from service.domain.job import JobError
from service.queue import CeleryQueue
from service.services import Services
from service.settings import JOB_TASK, Settings
from service.store import jobs
from service.store.leases import LeaseWatch
from tests.builders import CSV, LEASE, NOON, add_dataset, add_finished, add_job, form
from tests.log_lines import wait_for_line


def messages(settings: Settings, priority: int = 0, queue: str = "cpu") -> list[dict[str, Any]]:
    """What waits in the broker's list of a queue for this API priority."""
    step = 9 - priority
    with redis.Redis.from_url(settings.broker_url) as broker:
        return [json.loads(raw) for raw in broker.lrange(f"{queue}\x06\x16{step}" if step else queue, 0, -1)]


def submit(client: httpx.Client, **body: Any) -> dict[str, Any]:
    response = client.post("/jobs", json=body)
    assert response.status_code == 202, response.text
    found: dict[str, Any] = response.json()
    return found


def test_a_job_echoes_every_resolved_value(client: httpx.Client, services: Services) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    response = client.post("/jobs", json={"dataset": info.id, "training": {"epochs": 4}, "priority": 7})
    job = response.json()
    assert response.headers["Location"] == f"/jobs/{job['id']}"
    assert int(response.headers["Retry-After"]) > 0
    assert (job["state"], job["name"], job["attempts"]) == ("queued", "animals", 0)
    assert job["progress"] == {"fraction": 0, "phase": "queued", "detail": "waiting for a worker", "eta_seconds": None}
    assert job["spec"]["model"] == {
        "name": "mlp",
        "params": {
            "width": 256,
            "blocks": 2,
            "dropout": 0,
            "numeric_embeddings": "none",
            "embedding_width": 16,
            "trees": True,
        },
    }
    assert job["spec"]["training"]["epochs"] == 4
    assert job["spec"]["training"]["learning_rate"] > 0
    assert job["dataset"]["id"] == info.id
    assert job["links"]["suspects"] == f"/jobs/{job['id']}/suspects"
    assert (job["error"], job["result"], job["finished_at"]) == (None, None, None)
    assert client.get(f"/jobs/{job['id']}").json() == job


def test_the_queue_hears_of_a_job_by_name_and_priority(
    client: httpx.Client, services: Services, settings: Settings
) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    for priority in (0, 4, 9):
        job = submit(client, dataset=info.id, priority=priority)
        (message,) = messages(settings, priority)
        assert message["headers"]["task"] == JOB_TASK
        assert job["id"] in message["headers"]["argsrepr"]
    assert services.queue.depth() == 3


def test_a_dead_broker_neither_fails_nor_loses_a_job(
    client: httpx.Client, services: Services, settings: Settings
) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    away = CeleryQueue(settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"}))
    live = services.queue
    object.__setattr__(services, "queue", away)
    job = submit(client, dataset=info.id)
    assert client.get("/readyz").json()["checks"]["broker"]["ok"] is False
    object.__setattr__(services, "queue", live)
    away.close()
    later = services.now() + 2 * LEASE
    assert wake_due(replace(services, queue=away, now=lambda: later)) == 0
    assert wake_due(replace(services, now=lambda: later)) == 1
    assert job["id"] in messages(settings)[0]["headers"]["argsrepr"]


def test_a_message_that_the_broker_lost_is_sent_again_within_seconds_whatever_else_waits(
    client: httpx.Client, services: Services, settings: Settings
) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    lost, cancelled = submit(client, dataset=info.id), submit(client, dataset=info.id, priority=3)
    submit(client, dataset=info.id)
    client.post(f"/jobs/{cancelled['id']}/cancel")  # its message stays
    with redis.Redis.from_url(settings.broker_url) as broker:
        name = "cpu\x06\x169"
        (first,) = [raw for raw in broker.lrange(name, 0, -1) if lost["id"].encode() in raw]
        broker.lrem(name, 1, first)
        broker.rpush("cpu", b"not ours")
    assert wake_due(services) == 0  # a worker may have taken it
    soon = services.now() + timedelta(seconds=5)
    assert wake_due(replace(services, now=lambda: soon)) == 1
    assert (services.queue.waiting() or set()) >= {lost["id"], cancelled["id"]}
    assert wake_due(replace(services, now=lambda: soon + timedelta(hours=1))) == 0


def test_the_sweep_tells_nobody_twice_while_the_message_still_waits(
    client: httpx.Client, services: Services, settings: Settings
) -> None:
    submit(client, dataset=add_dataset(services.database, blobs=services.blobs).id)
    moments = [services.now() + later * 2 * LEASE for later in range(1, 4)]
    for moment in moments:
        assert wake_due(replace(services, now=partial(lambda at: at, moment))) == 0
    assert services.queue.depth() == 1


def test_one_command_uploads_and_submits(client: httpx.Client) -> None:
    response = client.post("/jobs", **form(spec={"dataset": {"label": "animal"}, "training": {"epochs": 2}}))
    job = response.json()
    assert response.status_code == 202
    assert job["dataset"]["classes"] == ["cat", "dog", "eel"]
    assert job["spec"]["dataset"] == job["dataset"]["id"]
    again = client.post("/jobs", **form(spec={"dataset": {"label": "animal"}})).json()
    assert again["id"] != job["id"]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"training": {"epochs": 0}}, ["training", "epochs"]),
        ({"training": {"checkpoints": "some"}}, ["training", "checkpoints"]),
        ({"training": {"augmentation": "flip_crop"}}, ["training", "augmentation"]),
        ({"training": {"early_stopping": {"patience": 0}}}, ["training", "early_stopping", "patience"]),
        ({"epochs": 3}, ["epochs"]),
        ({"influence": {"layers": []}}, ["influence", "layers"]),
        ({"model": {"name": "gpt"}}, ["model", "name"]),
        ({"model": {"name": "mlp", "params": {"width": 0}}}, ["model", "params", "width"]),
        ({"signals": ["si", "vibes"]}, ["signals"]),
        ({"reference": {}}, ["reference"]),
        ({"reference": {"split": "validation"}}, ["reference", "split"]),
        ({"reference": {"samples": ["row-3", "row-77"]}}, ["reference", "samples"]),
        ({"reference": {"dataset": "ds_1"}}, ["reference", "dataset"]),
        ({"webhook": {"url": "https://example.org"}}, ["webhook", "secret"]),
        ({"connection": "con_1"}, ["connection"]),
        ({"priority": 10}, ["priority"]),
    ],
)
def test_a_fault_names_its_field(
    client: httpx.Client, services: Services, body: dict[str, Any], place: list[str]
) -> None:
    add_dataset(services.database, "ds_1", services.blobs)
    response = client.post("/jobs", json={"dataset": "ds_1", **body})
    assert response.status_code == 422, response.text
    assert [fault["loc"] for fault in response.json()["errors"]] == [place]
    assert client.get("/jobs").json()["total"] == 0


def test_what_is_named_several_times_counts_once(client: httpx.Client, services: Services) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    named = {
        "signals": ["loss", "si", "loss"],
        "reference": {"samples": ["row-1", "row-0", "row-1"]},
        "influence": {"layers": ["a", "b", "a"]},
    }
    spec = submit(client, dataset=info.id, **named)["spec"]
    assert spec["signals"] == ["loss", "si"]
    assert spec["reference"]["samples"] == ["row-1", "row-0"]
    assert spec["influence"]["layers"] == ["a", "b"]


@pytest.mark.parametrize(
    ("named", "field"),
    [
        ({"signals": [*map(str, range(101))]}, "signals"),
        ({"reference": {"samples": [*map(str, range(100_001))]}}, "reference"),
        ({"influence": {"layers": [*map(str, range(1_001))]}}, "influence.layers"),
        ({"influence": {"layers": ["a" * 501]}}, "influence.layers.0"),
        ({"glitches": [{"kind": "duplicate"}] * 101}, "glitches"),
    ],
    ids=["signals", "samples", "layers", "a layer", "glitches"],
)
def test_lists_that_name_things_have_a_longest_length(
    client: httpx.Client, services: Services, named: dict[str, Any], field: str
) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    refused = client.post("/jobs", json={"dataset": info.id, **named})
    assert refused.status_code == 422
    assert field in [".".join(map(str, one["loc"])) for one in refused.json()["errors"]]


@pytest.mark.parametrize(
    "named",
    [
        {"signals": [f"unknown-{number}" for number in range(100)]},
        {"model": {"name": "x" * 1_000_000}},
        {"reference": {"split": "x" * 1_000_000}},
        {"model": {"params": {f"k{number}": 1 for number in range(19_000)}}},
        {"x" * 1_000 + str(number): 1 for number in range(100)},
    ],
    ids=["signals", "model", "split", "parameters", "fields"],
)
def test_what_a_client_sent_is_not_sent_back_whole(
    client: httpx.Client, services: Services, named: dict[str, Any]
) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    refused = client.post("/jobs", json={"dataset": info.id, **named})
    assert refused.status_code in (413, 422)
    assert len(refused.json()["detail"]) < 8_100
    assert len(refused.json().get("errors", [])) <= 101
    assert all(len(one["msg"]) < 2_100 for one in refused.json().get("errors", []))
    assert len(refused.content) < 250_000


def test_of_unknown_signals_the_first_are_named(client: httpx.Client, services: Services) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    refused = client.post("/jobs", json={"dataset": info.id, "signals": [f"unknown-{number}" for number in range(30)]})
    assert refused.json()["errors"][0]["msg"].endswith("unknown-9 and 20 more; see GET /signals")


def test_fields_that_are_not_built_may_be_null(client: httpx.Client, services: Services) -> None:
    submit(
        client,
        dataset=add_dataset(services.database, blobs=services.blobs).id,
        webhook=None,
        glitches=None,
        reference=None,
    )


def test_missing_reference_samples_are_named(client: httpx.Client, services: Services) -> None:
    add_dataset(services.database, "ds_1", services.blobs)
    names = ["row-1", *(f"x-{number}" for number in range(25))]
    faults = client.post("/jobs", json={"dataset": "ds_1", "reference": {"samples": names}}).json()["errors"]
    assert len(faults) == 21
    assert "'x-0'" in faults[0]["msg"]
    assert "5 more" in faults[-1]["msg"]


def test_unknown_datasets_are_404_and_name_the_field(client: httpx.Client, services: Services) -> None:
    add_dataset(services.database, "ds_1", services.blobs)
    for body, place in (
        ({"dataset": "ds_0"}, ["dataset"]),
        ({"dataset": "ds_1", "reference": {"dataset": "ds_0"}}, ["reference", "dataset"]),
    ):
        response = client.post("/jobs", json=body)
        assert response.status_code == 404
        assert [fault["loc"] for fault in response.json()["errors"]] == [place]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"modality": "text"}, "holds text data"),
        ({"features": []}, "weight (numeric)"),
        ({"classes": ["cat", "dog", "fox"]}, "fox"),
    ],
)
def test_a_reference_dataset_must_fit(
    client: httpx.Client, services: Services, changes: dict[str, Any], words: str
) -> None:
    add_dataset(services.database, "ds_1", services.blobs)
    add_dataset(services.database, "ds_2", **changes)
    response = client.post("/jobs", json={"dataset": "ds_1", "reference": {"dataset": "ds_2"}})
    assert response.status_code == 422
    assert words in response.json()["detail"]


def test_a_reference_dataset_that_fits_is_taken(client: httpx.Client, services: Services) -> None:
    add_dataset(services.database, "ds_1", services.blobs)
    add_dataset(services.database, "ds_2", services.blobs, classes=["eel", "cat"])
    assert submit(client, dataset="ds_1", reference={"dataset": "ds_2"})["spec"]["reference"]["trusted"] is True


def test_a_dataset_without_a_training_part_is_refused(client: httpx.Client, services: Services) -> None:
    add_dataset(services.database, "ds_1", splits={"test": 12})
    assert client.post("/jobs", json={"dataset": "ds_1"}).json()["errors"][0]["loc"] == ["dataset"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b'{"dataset": NaN}', 400),
        (b'{"dataset": "\\u0000"}', 400),
        (b'{"dataset": "\\ud800"}', 400),
        (b"[" * 100_000, 400),
        (b"1" * 10_000, 400),
        (b"[]", 422),
        (b"null", 422),
        (b"{}", 422),
    ],
)
def test_a_body_that_is_not_a_job_is_refused(client: httpx.Client, content: bytes, status: int) -> None:
    response = client.post("/jobs", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"


def test_an_unknown_kind_of_body_is_refused(client: httpx.Client) -> None:
    assert client.post("/jobs", data={"dataset": "ds_1"}).status_code == 415
    assert client.post("/jobs").status_code == 415


def test_a_full_queue_says_when_to_come_back(client: httpx.Client, services: Services) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    object.__setattr__(services, "settings", services.settings.model_copy(update={"max_waiting_jobs": 2}))
    submit(client, dataset=info.id)
    submit(client, dataset=info.id)
    response = client.post("/jobs", json={"dataset": info.id})
    assert (response.status_code, int(response.headers["Retry-After"]) > 0) == (429, True)


def test_a_lease_that_ran_out_is_told_in_the_metrics(client: httpx.Client, services: Services) -> None:
    add_job(services.database, add_dataset(services.database, blobs=services.blobs), "job_1")
    with services.database.write() as connection:
        assert jobs.claim(connection, "job_1", "w", LEASE, services.now())
    clock = [0.0]
    object.__setattr__(services, "leases", LeaseWatch(lambda: clock[0]))
    for _ in range(6):
        wake_due(services)
        clock[0] += services.settings.lease_seconds
    told = client.get("/metrics").text
    assert "\nsuspects_leases_expired_total 1.0\n" in told
    assert '\nsuspects_jobs_ended_total{state="completed"} 0.0\n' in told


def test_the_line_of_a_submission_has_the_id_of_its_job(
    client: httpx.Client, services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    job = submit(client, dataset=info.id)
    lines = [json.loads(line) for line in wait_for_line(capsys, '"path": "/jobs"')]
    (line,) = (one for one in lines if one.get("path") == "/jobs")
    assert line["job"] == job["id"]


def test_a_full_queue_of_one_project_is_no_matter_of_another(client: httpx.Client, services: Services) -> None:
    object.__setattr__(services, "settings", services.settings.model_copy(update={"max_waiting_jobs": 2}))
    other = services.of("other")
    info = add_dataset(other.database, "ds_other", services.blobs)
    for number in range(2):
        add_job(other.database, info, f"job_other{number}")
    mine = add_dataset(services.database, blobs=services.blobs)
    submit(client, dataset=mine.id)
    with other.database.read() as connection, pytest.raises(TooMany, match="2 jobs of this project"):
        check_room(other, connection)


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


def test_a_job_is_cancelled_once_and_retried_with_a_new_message(
    client: httpx.Client, services: Services, settings: Settings
) -> None:
    job = submit(client, dataset=add_dataset(services.database, blobs=services.blobs).id)
    url = f"/jobs/{job['id']}"
    assert client.post(f"{url}/retry").status_code == 409
    assert client.delete(url).json()["state"] == "queued"
    cancelled = client.post(f"{url}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    refused = client.post(f"{url}/cancel")
    assert (refused.status_code, refused.json()["state"]) == (409, "cancelled")
    assert client.get(f"{url}/suspects").status_code == 410
    retried = client.post(f"{url}/retry")
    assert (retried.status_code, retried.json()["state"]) == (202, "queued")
    assert len(messages(settings)) == 2


def test_a_failure_is_shown_with_its_reason(client: httpx.Client, services: Services) -> None:
    job = submit(client, dataset=add_dataset(services.database, blobs=services.blobs).id)
    with services.database.write() as connection:
        held = jobs.claim(connection, job["id"], "w", LEASE, NOON)
        assert held is not None
        jobs.fail(connection, held, JobError(code="diverged", detail="lower the learning rate"), NOON)
    shown = client.get(f"/jobs/{job['id']}").json()
    assert (shown["state"], shown["error"]) == (
        "failed",
        {"code": "diverged", "detail": "lower the learning rate"},
    )
    gone = client.get(f"/jobs/{job['id']}/suspects")
    assert (gone.status_code, gone.json()["state"]) == (410, "failed")
    assert "lower the learning rate" in gone.json()["detail"]


def test_a_deleted_job_leaves_no_file_and_no_row(client: httpx.Client, services: Services) -> None:
    add_finished(services.database, services.blobs)
    assert services.blobs.job("job_1").exists()
    assert client.delete("/jobs/job_1").status_code == 204
    assert not services.blobs.job("job_1").exists()
    for path in ("", "/suspects", "/events", "/samples/row-1"):
        assert client.get(f"/jobs/job_1{path}").status_code == 404
    for path in ("/cancel", "/retry"):
        assert client.post(f"/jobs/job_1{path}").status_code == 404
    assert client.delete("/jobs/job_1").status_code == 404


def test_lists_of_jobs_are_filtered_and_paged(client: httpx.Client, services: Services) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    other = add_dataset(services.database, "ds_2")
    for number in range(7):
        chosen = other if number == 3 else info
        add_job(
            services.database, chosen, f"job_{number}", NOON + timedelta(seconds=number // 3), name=f"n {number % 2}"
        )
    client.post("/jobs/job_5/cancel")
    seen: list[str] = []
    url = "/jobs?limit=2&name=n 1"
    while url:
        response = client.get(url)
        assert response.json()["total"] == 3
        seen += [item["id"] for item in response.json()["items"]]
        url = response.links["next"]["url"] if response.json()["next"] else ""
    assert seen == ["job_5", "job_3", "job_1"]
    assert [item["id"] for item in client.get("/jobs?state=cancelled").json()["items"]] == ["job_5"]
    assert [item["id"] for item in client.get("/jobs?dataset=ds_2").json()["items"]] == ["job_3"]
    cursor = client.get("/jobs?limit=2").json()["next"]
    assert client.get(f"/jobs?state=queued&cursor={cursor}").status_code == 400
    assert client.get("/jobs?state=resting").status_code == 422
