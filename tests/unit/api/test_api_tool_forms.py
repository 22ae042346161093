"""Rankings over HTTP in the forms of labelling tools, of real uploads."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.domain.dataset import DatasetInfo
from service.services import Services
from service.store import rankings
from tests.builders import CLASSES, add_finished, add_job, dataset_info, finish, form, image_zip

LINES = "".join(
    json.dumps({"review": f"sentence number {i} of them all", "topic_label": CLASSES[i % 3]}) + "\n" for i in range(48)
)
NAMES = [f"{CLASSES[i % 3]}/{i:02d}.png" for i in range(12)]


def finished(client: httpx.Client, services: Services, content: bytes, name: str, **options: Any) -> DatasetInfo:
    """A completed job over what a client uploads."""
    answer = client.post("/datasets", **form(content, name))
    assert answer.status_code == 201, answer.text
    made = answer.json() | {"features": []}
    info = DatasetInfo.model_validate({name: made[name] for name in DatasetInfo.model_fields})
    add_job(services.database, info, "job_1", **options)
    finish(services.database, "job_1", info)
    return info


def asked(client: httpx.Client, query: str) -> Any:
    response = client.get(f"/jobs/job_1/suspects?{query}")
    assert response.status_code == 200, response.text
    return response


def test_a_text_reaches_the_tool_whole_and_in_the_order_of_the_ranking(
    client: httpx.Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rankings, "_CHUNK", 10)
    finished(client, services, LINES.encode(), "reviews.jsonl")
    ranked = client.get("/jobs/job_1/suspects?limit=1000").json()["items"]
    answer = asked(client, "format=doccano")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="job_1-mislabeled.doccano.jsonl"'
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert len(rows) == 48
    for row, suspect in zip(rows, ranked, strict=True):
        assert row["text"] == f"sentence number {suspect['sample']['index']} of them all"
        assert (row["label"], row["sample_id"]) == ([suspect["given_label"]], suspect["sample"]["id"])
        assert (row["rank"], row["suspicion"]) == (suspect["rank"], suspect["score"])


def test_the_class_is_called_as_in_the_dataset_unless_the_tool_calls_it_otherwise(
    client: httpx.Client, services: Services
) -> None:
    finished(client, services, LINES.encode(), "reviews.jsonl")
    result = asked(client, "format=label_studio").json()[0]["predictions"][0]["result"][0]
    assert (result["from_name"], result["to_name"]) == ("topic_label", "text")
    result = asked(client, "format=label_studio&field=about&about=review").json()[0]["predictions"][0]["result"][0]
    assert (result["from_name"], result["to_name"]) == ("about", "review")
    assert list(asked(client, "format=argilla&field=topic").json()[0]["suggestions"]) == ["topic"]


def test_filters_and_the_signal_hold_for_a_tools_form(client: httpx.Client, services: Services) -> None:
    finished(client, services, LINES.encode(), "reviews.jsonl")
    expected = client.get("/jobs/job_1/suspects?by=aum&verdict=mislabeled&label=dog&limit=1000").json()["items"]
    rows = asked(client, "by=aum&verdict=mislabeled&label=dog&format=argilla").json()
    assert [row["id"] for row in rows] == [one["sample"]["id"] for one in expected]
    assert [row["metadata"]["suspicion"] for row in rows] == [one["score"] for one in expected]
    assert client.get("/jobs/job_1/suspects?label=nothing&format=argilla").status_code == 422
    assert asked(client, "min_score=2&format=argilla").json() == []


def test_an_issue_covers_its_image(client: httpx.Client, services: Services) -> None:
    finished(client, services, image_zip(NAMES), "pets.zip")
    flagged = [
        one for one in client.get("/jobs/job_1/suspects?limit=1000").json()["items"] if one["verdict"] != "clean"
    ]
    issues = asked(client, "format=cvat").json()
    assert [one["frame"] for one in issues] == [one["sample"]["index"] for one in flagged]
    assert {tuple(one["position"]) for one in issues} == {(0, 0, 8, 8)}
    samples = asked(client, "format=fiftyone&root=/data/pets/").json()["samples"]
    assert sorted(one["filepath"] for one in samples) == sorted(f"/data/pets/{name}" for name in NAMES)


def test_data_that_a_tool_has_no_place_for_is_refused_with_what_there_is(
    client: httpx.Client, services: Services
) -> None:
    add_finished(services.database, services.blobs)
    refused = client.get("/jobs/job_1/suspects?format=cvat")
    assert (refused.status_code, refused.json()["errors"][0]["loc"]) == (422, ["query", "format"])
    assert "cvat is for image, and this dataset is tabular" in refused.json()["detail"]
    assert refused.json()["detail"].endswith("there are csv, jsonl, parquet, cleanlab, label_studio")
    table = asked(client, "format=label_studio").json()[0]["data"]["table"]
    assert set(table) == {"weight", "colour"}


def test_suggestions_about_planted_errors_are_not_handed_to_a_tool(client: httpx.Client, services: Services) -> None:
    finished(client, services, LINES.encode(), "reviews.jsonl", glitches=[{"kind": "mislabeled_uniform", "rate": 0.1}])
    refused = client.get("/jobs/job_1/suspects?format=prodigy")
    assert (refused.status_code, refused.json()["state"]) == (409, "planted")
    assert client.get("/jobs/job_1/suspects?format=csv").status_code == 200


EXPORT = Path(__file__).parents[1] / "ingest" / "exports" / "label_studio.json"


def test_label_studios_own_tasks_go_back_under_their_numbers(client: httpx.Client, services: Services) -> None:
    answer = client.post("/datasets", **form(EXPORT.read_bytes(), "project-5.json"))
    assert answer.status_code == 201, answer.text
    made = answer.json()
    skipped = client.get(f"/datasets/{made['id']}/skipped").json()["items"]
    assert {row["where"] for row in skipped} == {f"task {number}" for number in (21, 22, 23, 24, 25)}
    add_job(
        services.database,
        DatasetInfo.model_validate({name: made[name] for name in DatasetInfo.model_fields} | {"features": []}),
        "job_1",
    )
    ids = dict(enumerate(("13", "14", "15", "16", "17", "18", "19", "20", "26")))
    finish(services.database, "job_1", dataset_info(rows=9, splits={"train": 9}), ids=ids)
    found = asked(client, "format=label_studio").json()
    assert {one["task"] for one in found} == {int(name) for name in ids.values()}
    assert {(one["result"][0]["from_name"], one["result"][0]["to_name"]) for one in found} == {("label", "text")}
    assert all("predictions" not in one for one in found)
