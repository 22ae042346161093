"""Corrected datasets over HTTP."""

from typing import Any

import httpx
import pytest

from service.domain.review import Decision
from service.services import Services
from service.store import reviews
from tests.builders import CLASSES, add_dataset, add_finished, add_job, finish

URL = "/datasets/ds_1/versions"


@pytest.fixture(autouse=True)
def finished(services: Services, client: httpx.Client) -> None:
    add_finished(services.database, services.blobs, rows=54, splits={"train": 41, "test": 13})


def review(services: Services, *decisions: tuple[str, str, str | None], job_id: str = "job_1") -> None:
    said = [Decision.model_validate({"sample_id": i, "decision": d, "label": label}) for i, d, label in decisions]
    with services.database.write() as connection:
        reviews.add(connection, job_id, said, "api", services.now())


def make(client: httpx.Client, apply: str = "reviews", job: str = "job_1", url: str = URL) -> httpx.Response:
    return client.post(url, json={"job": job, "apply": apply})


def label(client: httpx.Client, dataset: str, sample: str) -> str | None:
    response = client.get(f"/datasets/{dataset}/samples/{sample}")
    return response.json()["label"] if response.is_success else None


def test_reviews_make_a_corrected_dataset_and_the_original_stays(client: httpx.Client, services: Services) -> None:
    before = services.blobs.canonical("ds_1").read_bytes()
    original = client.get("/datasets/ds_1").json()
    review(
        services,
        ("row-5", "relabel", "cat"),
        ("row-6", "remove", None),
        ("row-7", "keep", None),
        ("row-8", "unsure", None),
    )
    response = make(client)
    info = response.json()
    assert (response.status_code, response.headers["Location"]) == (201, f"/datasets/{info['id']}")
    assert info["lineage"] == {
        "parent": "ds_1",
        "job": "job_1",
        "applied": "reviews",
        "relabelled": 1,
        "removed": 1,
        "verified": 2,
    }
    assert (info["rows"], info["splits"]["train"]) == (53, 40)
    assert info["class_counts"] == {"cat": 18, "dog": 18, "eel": 17}
    assert [label(client, info["id"], f"row-{i}") for i in (5, 6, 7, 8)] == ["cat", None, "dog", "eel"]
    assert (services.blobs.canonical("ds_1").read_bytes(), client.get("/datasets/ds_1").json()) == (before, original)
    assert client.get(f"/datasets/{info['id']}").json() == info
    assert client.get(URL).json() == {"items": [info], "total": 1, "ancestors": []}
    assert client.get(f"/datasets/{info['id']}/versions").json()["ancestors"] == ["ds_1"]


def test_the_same_changes_make_the_same_dataset(client: httpx.Client, services: Services) -> None:
    review(services, ("row-5", "relabel", "cat"))
    first = make(client).json()["id"]
    assert make(client).json()["id"] == first
    review(services, ("row-7", "keep", None))
    assert make(client).json()["id"] != first
    assert client.get(URL).json()["total"] == 2


def test_suggestions_relabel_what_is_flagged_unless_somebody_knew_better(
    client: httpx.Client, services: Services
) -> None:
    rows = {row["sample"]["id"]: row for row in client.get("/jobs/job_1/suspects").json()["items"]}
    flagged = [name for name, row in rows.items() if row["verdict"] == "mislabeled"]
    # The builder's flagged rows were planted by the job, which are left alone; so nothing is to be done.
    assert all(rows[name]["planted"] for name in flagged)
    assert make(client, "suggestions").status_code == 422
    with services.database.write() as connection:
        connection.exec_driver_sql("UPDATE suspects SET planted_kind = NULL, planted_label = NULL")
    review(services, ("row-5", "keep", None), ("row-10", "relabel", "eel"), ("row-15", "unsure", None))
    info = make(client, "suggestions").json()
    for name in flagged:
        expected = {"row-5": "eel", "row-10": "eel", "row-15": "cat"}.get(name, rows[name]["suggested_label"])
        assert label(client, info["id"], name) == expected
    assert info["lineage"]["relabelled"] == len(flagged) - 2
    verified = client.get(f"/datasets/{info['id']}/verified").json()
    assert verified["items"] == ["row-10", "row-5"]


def test_nothing_is_made_of_a_planted_error(client: httpx.Client, services: Services) -> None:
    info = add_dataset(services.database, "ds_2", services.blobs, rows=54, splits={"train": 41, "test": 13})
    add_job(services.database, info, "job_2", glitches=[{"kind": "mislabeled_uniform"}])
    finish(services.database, "job_2", info)
    review(services, ("row-5", "remove", None), ("row-6", "remove", None), job_id="job_2")
    made = make(client, job="job_2", url="/datasets/ds_2/versions").json()
    assert (made["lineage"]["removed"], label(client, made["id"], "row-5")) == (1, "eel")


def test_the_verified_samples_are_the_reference_of_the_next_job(client: httpx.Client, services: Services) -> None:
    asked: dict[str, Any] = {"dataset": "ds_1", "reference": {"verified": True}}
    refused = client.post("/jobs", json=asked)
    assert (refused.status_code, refused.json()["errors"][0]["loc"]) == (422, ["reference", "verified"])
    review(
        services,
        ("row-5", "relabel", "cat"),
        ("row-6", "remove", None),
        ("row-7", "keep", None),
        ("row-50", "keep", None),
    )
    # Over the original, where row 5 still carries the wrong label.
    reference = client.post("/jobs", json=asked).json()["spec"]["reference"]
    assert (reference["samples"], reference["trusted"]) == (["row-50", "row-7"], True)
    made = make(client).json()["id"]
    reference = client.post("/jobs", json=asked | {"dataset": made}).json()["spec"]["reference"]
    assert reference["samples"] == ["row-5", "row-50", "row-7"]
    page = client.get(f"/datasets/{made}/verified", params={"limit": 2}).json()
    assert (page["items"], page["total"]) == (["row-5", "row-50"], 3)
    assert client.get(f"/datasets/{made}/verified", params={"cursor": page["next"]}).json()["items"] == ["row-7"]


def test_a_later_decision_takes_a_verification_back(client: httpx.Client, services: Services) -> None:
    review(services, ("row-5", "keep", None), ("row-6", "keep", None), ("row-5", "unsure", None))
    assert client.get("/datasets/ds_1/verified").json()["items"] == ["row-6"]


@pytest.mark.parametrize(
    ("job", "apply", "status", "place"),
    [
        ("job_1", "reviews", 422, ["apply"]),
        ("job_1", "everything", 422, ["apply"]),
        ("job_2", "reviews", 422, ["job"]),
        ("job_9", "reviews", 404, None),
    ],
)
def test_what_cannot_be_applied_is_refused(
    client: httpx.Client, services: Services, job: str, apply: str, status: int, place: list[str] | None
) -> None:
    add_finished(services.database, services.blobs, "job_2", "ds_2")
    response = make(client, apply, job)
    assert response.status_code == status
    assert [fault["loc"] for fault in response.json().get("errors", [])] == ([place] if place else [])
    assert client.get(URL).json()["total"] == 0


def test_a_dataset_with_one_class_left_is_not_made(client: httpx.Client, services: Services) -> None:
    ids = [f"row-{i}" for i in range(54) if CLASSES[i % 3] != "cat"]
    review(services, *((name, "remove", None) for name in ids))
    response = make(client)
    assert (response.status_code, "nothing to learn" in response.json()["detail"]) == (422, True)
    folders = {path.name for path in services.blobs.dataset("ds_1").parent.iterdir()}
    assert folders == {"ds_1"}
