"""What a job says of its reviews, its reruns and its line; and how answers travel."""

import gzip
import time
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from service.actions.rerun import run_again
from service.services import Services
from service.store import datasets
from tests.builders import add_dataset, add_finished, finish, ranking_of

JOB = "/jobs/job_1"


@pytest.fixture(autouse=True)
def finished(services: Services, client: httpx.Client) -> None:
    add_finished(services.database, services.blobs, rows=54, splits={"train": 41, "test": 13})


def job(client: httpx.Client, path: str = JOB) -> dict[str, Any]:
    answer: dict[str, Any] = client.get(path).json()
    return answer


def review(client: httpx.Client, *rows: int, decision: str = "keep") -> None:
    said = [{"sample_id": f"row-{row}", "decision": decision} for row in rows]
    assert client.post(f"{JOB}/reviews", json=said).status_code == httpx.codes.CREATED


def test_a_job_counts_what_is_flagged_and_reviewed(client: httpx.Client) -> None:
    items = client.get(f"{JOB}/suspects?limit=1000").json()["items"]
    review(client, 1, 2, 3)
    review(client, 3, decision="withdraw")
    for told in (job(client), client.get("/jobs").json()["items"][0]):
        assert told["flagged"] == sum(item["verdict"] != "clean" for item in items)
        assert told["reviewed"] == 2


@pytest.mark.parametrize("verified", [50, 51])
def test_a_list_has_few_samples_of_a_long_reference_and_the_job_all(
    client: httpx.Client, services: Services, verified: int
) -> None:
    info = add_dataset(services.database, "ds_2", rows=60, blobs=services.blobs)
    names = [f"row-{row}" for row in range(verified)]
    made = client.post("/jobs", json={"dataset": info.id, "reference": {"samples": names}})
    assert made.json()["spec"]["reference"]["samples"] == names
    assert job(client, f"/jobs/{made.json()['id']}") == made.json()
    listed, _ = client.get("/jobs").json()["items"]
    reference = listed["spec"]["reference"]
    assert reference.pop("sample_count", len(names)) == len(names)
    assert reference["samples"] == names[:50]
    reference["samples"] = names
    assert listed == made.json()


def test_a_reference_of_which_a_list_has_a_part_cannot_be_sent_back_as_the_whole(
    client: httpx.Client, services: Services
) -> None:
    info = add_dataset(services.database, "ds_2", rows=60, blobs=services.blobs)
    for samples, status in ((50, 202), (51, 422)):
        names = [f"row-{row}" for row in range(samples)]
        client.post("/jobs", json={"dataset": info.id, "reference": {"samples": names}}).raise_for_status()
        reference = client.get("/jobs").json()["items"][0]["spec"]["reference"]
        assert client.post("/jobs", json={"dataset": info.id, "reference": reference}).status_code == status


def next_job(client: httpx.Client) -> str:
    """The rerun of the job. Sweeps are an hour apart here, so that only a thread that was woken begins it."""
    for _ in range(1200):
        following = job(client)["links"]["next"]
        if following is not None:
            return str(following).removeprefix("/jobs/")
        time.sleep(0.05)
    raise AssertionError("no rerun within a minute")


def test_a_rerun_says_when_it_starts_and_why_it_cannot(client: httpx.Client, services: Services) -> None:
    assert "reviewed" in job(client)["rerun_blocked"]
    review(client, 1, 2, decision="remove")
    told = job(client)
    assert (told["rerun_blocked"], told["rerun_at"]) == (None, None)
    asked = client.post(f"{JOB}/rerun")
    assert asked.status_code == httpx.codes.ACCEPTED
    starts = datetime.fromisoformat(asked.json()["starts_at"])
    assert timedelta(seconds=55) < starts - services.now() <= timedelta(seconds=60)
    assert datetime.fromisoformat(job(client)["rerun_at"]) == starts
    assert run_again(services) == []
    now = client.post(f"{JOB}/rerun", json={"now": True})
    assert datetime.fromisoformat(now.json()["starts_at"]) <= services.now()
    following = next_job(client)
    told, then = job(client), job(client, f"/jobs/{following}")
    assert following in told["rerun_blocked"]
    assert (told["links"]["next"], then["links"]["previous"]) == (f"/jobs/{following}", JOB)
    assert then["rerun_blocked"].startswith("the job is queued")
    assert client.post(f"{JOB}/rerun", json={"now": "perhaps"}).status_code == httpx.codes.UNPROCESSABLE_ENTITY


def test_the_line_is_the_same_from_every_job_of_it(client: httpx.Client, services: Services) -> None:
    review(client, 1, 2, decision="remove")
    client.post(f"{JOB}/rerun", json={"now": True})
    second = next_job(client)
    info = client.get(f"/jobs/{second}").json()["dataset"]
    finish(services.database, second, (made := _info(services, info["id"])), table=ranking_of(services.blobs, made))
    # A version that is made by hand, and a job over it.
    client.post(f"/jobs/{second}/reviews", json=[{"sample_id": "row-4", "decision": "relabel", "label": "cat"}])
    version = client.post(f"/datasets/{info['id']}/versions", json={"job": second, "apply": "reviews"}).json()
    third = client.post("/jobs", json={"dataset": version["id"]}).json()["id"]
    lines = [client.get(f"/jobs/{one}/lineage").json()["items"] for one in ("job_1", second, third)]
    assert lines[0] == lines[1] == lines[2]
    told = [(one["version"], one["job"], one["rows"], one["relabelled"], one["removed"]) for one in lines[0]]
    assert told == [(1, "job_1", 54, 0, 0), (2, second, 52, 0, 2), (3, third, 52, 1, 0)]
    assert [one["reviewed"] for one in lines[0]] == [3, 1, 0]
    assert [one["flagged"] is None for one in lines[0]] == [False, False, True]


def _info(services: Services, dataset_id: str) -> Any:
    with services.database.read() as connection:
        return datasets.get(connection, dataset_id)


def test_json_is_compressed_where_the_client_accepts_it(client: httpx.Client) -> None:
    def get(path: str, accepted: str) -> httpx.Response:
        with client.stream("GET", path, headers={"Accept-Encoding": accepted}) as response:
            raw = b"".join(response.iter_raw())
        response.extensions["raw"] = raw
        return response

    suspects = f"{JOB}/suspects?limit=1000"
    plain = get(suspects, "identity")
    for accepted in ("gzip", "br, gzip;q=0.5", "*"):
        packed = get(suspects, accepted)
        assert packed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed.extensions["raw"]) == plain.extensions["raw"]
        assert int(packed.headers["Content-Length"]) == len(packed.extensions["raw"]) < len(plain.extensions["raw"]) / 3
        assert "Accept-Encoding" in packed.headers["Vary"]
    for path, accepted in (
        (suspects, "gzip;q=0"),
        (suspects, "br"),
        (f"{suspects}&format=parquet", "gzip"),
        (f"{suspects}&format=jsonl", "gzip"),
        (f"{JOB}/events", "gzip"),
        ("/healthz", "gzip"),
    ):
        assert "Content-Encoding" not in get(path, accepted).headers
