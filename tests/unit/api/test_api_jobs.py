"""Jobs over HTTP."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from service.domain.job import JobError
from service.services import Services
from service.settings import Settings
from service.store import jobs
from tests.builders import LEASE, NOON, add_dataset, add_finished, add_job, form
from tests.log_lines import wait_for_line
from tests.submissions import messages, submit


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
    assert refused.json()["errors"][0]["msg"].endswith(
        "unknown-9 and 20 more; the list of signals has those that there are"
    )


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


def test_a_reference_that_left_out_a_column_says_why_and_the_cure_works(client: httpx.Client) -> None:
    """A column may well be constant in a small reference, or look like another kind."""
    rows = [(number / 8, "uvw"[number % 3], f"{number % 5}", "ab"[number % 2]) for number in range(60)]

    def upload(chosen: list[tuple[float, str, str, str]], **spec: Any) -> str:
        table = "\n".join(["x,z,code,target", *(",".join(map(str, row)) for row in chosen)])
        response = client.post("/datasets", **form(table.encode(), "farm.csv", spec))
        assert response.status_code == 201, response.text
        found: str = response.json()["id"]
        return found

    whole = upload(rows, kinds={"code": "categorical"})
    few = [row for row in rows if row[1] == "u"]
    refused = client.post("/jobs", json={"dataset": whole, "reference": {"dataset": upload(few)}})
    assert refused.status_code == 422
    detail = refused.json()["detail"]
    assert "z (categorical), which was read as left_out, " in detail
    assert "the same value in every row" in detail
    assert "code (categorical), which was read as numeric" in detail
    assert '{"z": "categorical"}' in detail
    reference = upload(few, kinds={"z": "categorical", "code": "categorical"})
    submit(client, dataset=whole, reference={"dataset": reference})


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


def test_the_line_of_a_submission_has_the_id_of_its_job(
    client: httpx.Client, services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    job = submit(client, dataset=info.id)
    lines = [json.loads(line) for line in wait_for_line(capsys, '"path": "/jobs"')]
    (line,) = (one for one in lines if one.get("path") == "/jobs")
    assert line["job"] == job["id"]


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
