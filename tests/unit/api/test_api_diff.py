"""Two jobs side by side, over HTTP; the rankings are compared with a slow, obvious reading of both."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.domain.review import Decision
from service.services import Services
from service.settings import Settings
from service.store import jobs, rankings, reviews
from service.store.tables import jobs as jobs_table
from tests.builders import NOON, add_dataset, add_finished, add_job, finish, ranking

TRAIN = 41
SPLITS = {"train": TRAIN, "test": 13}
LATER = NOON + timedelta(hours=1)


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    if request.param == "sqlite":
        return settings
    return settings.model_copy(update={"database_url": request.getfixturevalue("empty_postgres")})


@pytest.fixture(autouse=True)
def finished(services: Services, client: httpx.Client) -> None:
    """Job 1 over an upload, and its reviews: five removed, two relabelled."""
    add_finished(services.database, services.blobs, rows=54, splits=SPLITS)
    gone = [Decision(sample_id=f"row-{i}", decision="remove") for i in (0, 3, 10, 17, 30)]
    turned = [Decision(sample_id=f"row-{i}", decision="relabel", label="cat") for i in (5, 20)]
    with services.database.write() as connection:
        reviews.add(connection, "job_1", [*gone, *turned], "api", services.now())


def corrected(client: httpx.Client, services: Services, **options: Any) -> dict[str, Any]:
    """Job 2 over the corrected dataset; its ranking is another one. Gives the dataset."""
    made: dict[str, Any] = client.post("/datasets/ds_1/versions", json={"job": "job_1", "apply": "reviews"}).json()
    info = add_dataset(services.database, "ds_2", rows=54, splits=SPLITS).model_copy(update={"id": made["id"]})
    add_job(services.database, info, "job_2", LATER, **options)
    finish(services.database, "job_2", info, now=LATER)
    rows = [row for row in ranking(info).to_pylist() if row["index"] not in (0, 3, 10, 17, 30)]
    kept = [row["index"] for row in pq.read_table(services.blobs.canonical(info.id), columns=["index"]).to_pylist()]
    chance = np.random.default_rng(7)
    for row in rows:
        row["position"] = kept.index(row["index"])
        row["mislabeled"] = round(float(chance.random()), 2)
        row["given_label"] = "cat" if row["index"] in (5, 20) else row["given_label"]
        row["verdict"] = "mislabeled" if row["mislabeled"] > 0.8 else "clean"
    with services.database.write() as connection:
        rankings.save(connection, "job_2", pa.Table.from_pylist(rows))
    return made


def walk(client: httpx.Client, job_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    items = client.get(f"/jobs/{job_id}/suspects", params={"limit": 1000}).json()["items"]
    yield from ((item["sample"]["id"], item) for item in items)


def ids(found: dict[str, Any], name: str) -> list[str]:
    assert found[name]["total"] == len(found[name]["items"])
    return [item["sample_id"] for item in found[name]["items"]]


@pytest.mark.parametrize("url", ["/jobs/job_1/diff?other=job_2", "/jobs/job_2/diff?other=job_1", "/jobs/job_2/diff?"])
def test_the_difference_is_that_of_the_two_rankings_whichever_is_asked(
    client: httpx.Client, services: Services, url: str
) -> None:
    made = corrected(client, services)
    found = client.get(f"{url}&limit=15").json()
    old, new = dict(walk(client, "job_1")), dict(walk(client, "job_2"))
    assert (found["before"]["job"], found["after"]["job"], found["after"]["dataset"]) == ("job_1", "job_2", made["id"])
    assert (found["common"], found["only_before"], found["only_after"]) == (TRAIN - 5, 5, 0)
    flagged = [{name for name, item in side.items() if item["verdict"] != "clean"} for side in (old, new)]
    assert (found["before"]["flagged"], found["after"]["flagged"]) == tuple(map(len, flagged))
    assert ids(found, "appeared") == [name for name in new if name in flagged[1] - flagged[0]]
    assert ids(found, "vanished") == [name for name in old if name in flagged[0] - flagged[1]]
    assert ids(found, "relabelled") == [name for name in old if name in ("row-5", "row-20")]
    top = [list(side)[:15] for side in (old, new)]
    assert ids(found, "entered") == [name for name in top[1] if name not in top[0]]
    assert ids(found, "left") == [name for name in top[0] if name not in top[1]]
    assert ids(found, "moved") == [name for name in top[1] if name in top[0] and old[name]["rank"] != new[name]["rank"]]
    for name in ("appeared", "vanished", "relabelled", "entered", "left", "moved"):
        for item in found[name]["items"]:
            for place, side in ((item["before"], old), (item["after"], new)):
                known = side.get(item["sample_id"])
                assert place == (known and {part: known[part] for part in place})
    assert {item["sample_id"]: item["why"] for item in found["vanished"]["items"]}["row-10"] == "removed"
    assert {item["why"] for item in found["relabelled"]["items"]} == {"relabelled"}


def test_lists_are_cut_and_say_how_long_they_are(client: httpx.Client, services: Services) -> None:
    corrected(client, services)
    whole = client.get("/jobs/job_2/diff", params={"limit": 1000}).json()["vanished"]
    part = client.get("/jobs/job_2/diff", params={"limit": 2}).json()["vanished"]
    assert (part["items"], part["total"]) == (whole["items"][:2], whole["total"])


def set_accuracies(services: Services, *accuracies: float | None) -> None:
    for job_id, accuracy in zip(("job_1", "job_2"), accuracies, strict=True):
        with services.database.write() as connection:
            job = jobs.get(connection, job_id)
            assert job is not None
            model = {**(job.result or {})["model"], "reference_accuracy": accuracy}
            result = {**(job.result or {}), "model": model}
            connection.execute(jobs_table.update().where(jobs_table.c.id == job_id).values(result=result))


def set_reference(services: Services, reference: dict[str, Any]) -> None:
    with services.database.write() as connection:
        job = jobs.get(connection, "job_1")
        assert job is not None
        spec = {**job.spec.model_dump(mode="json"), "reference": reference}
        connection.execute(jobs_table.update().where(jobs_table.c.id == "job_1").values(spec=spec))


@pytest.mark.parametrize(
    ("reference", "comparable"),
    [
        ({"split": "test", "trusted": True}, True),
        ({"samples": ["row-1", "row-2"], "trusted": True}, True),
        ({"samples": ["row-1", "row-5"], "trusted": True}, False),  # row 5 has another label now
        ({"holdout": 0.2, "trusted": False}, False),
    ],
)
def test_accuracies_are_compared_only_where_they_mean_the_same(
    client: httpx.Client, services: Services, reference: dict[str, Any], comparable: bool
) -> None:
    corrected(client, services, reference={k: v for k, v in reference.items() if k != "trusted"})
    set_reference(services, reference)
    set_accuracies(services, 0.75, 0.875)
    found = client.get("/jobs/job_2/diff").json()["accuracy"]
    assert (found["comparable"], found["before"], found["after"]) == (comparable, 0.75, 0.875)
    assert found["gain"] == (0.125 if comparable else None)


def test_what_differs_beside_the_dataset_is_named(client: httpx.Client, services: Services) -> None:
    corrected(client, services, training={"seed": 1}, reference={"split": "test"})
    found = client.get("/jobs/job_2/diff").json()
    assert (found["differing"], found["accuracy"]["comparable"]) == (["reference", "training"], False)


@pytest.mark.parametrize(
    ("url", "status", "place"),
    [
        ("/jobs/job_1/diff", 422, ["query", "other"]),
        ("/jobs/job_1/diff?other=job_1", 422, ["query", "other"]),
        ("/jobs/job_1/diff?other=job_9", 404, None),
        ("/jobs/job_1/diff?other=job_3", 409, None),
        ("/jobs/job_2/diff?by=x", 422, ["query", "by"]),
        ("/jobs/job_2/diff?limit=0", 422, ["query", "limit"]),
    ],
)
def test_what_cannot_be_compared_is_refused(
    client: httpx.Client, services: Services, url: str, status: int, place: list[str] | None
) -> None:
    corrected(client, services)
    add_job(services.database, add_dataset(services.database, "ds_3"), "job_3")
    response = client.get(url)
    assert response.status_code == status
    assert [fault["loc"] for fault in response.json().get("errors", [])] == ([place] if place else [])
