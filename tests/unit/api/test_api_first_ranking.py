"""The first ranking of a job that still computes: read like any other, replaced by the final one, and no ground for reviews."""

import httpx
import pyarrow as pa
import pytest

from service.domain.dataset import DatasetInfo
from service.domain.job import Progress, State
from service.domain.stage import FIRST
from service.services import Services
from service.store import jobs, rankings
from service.store.jobs import Claim
from tests.builders import LEASE, NOON, add_dataset, add_job, give_first_ranking, ranking, result

URL = "/jobs/job_1/suspects"


@pytest.fixture
def info(services: Services) -> DatasetInfo:
    return add_dataset(services.database, blobs=services.blobs)


@pytest.fixture
def held(services: Services, info: DatasetInfo) -> Claim:
    add_job(services.database, info)
    with services.database.write() as connection:
        found = jobs.claim(connection, "job_1", "worker-1", LEASE, NOON)
    assert found is not None
    return found


def reversed_scores(table: pa.Table) -> pa.Table:
    place = table.schema.get_field_index("mislabeled")
    return table.set_column(place, "mislabeled", pa.array([1 - one for one in table["mislabeled"].to_pylist()]))


def ids(client: httpx.Client, **query: str) -> list[str]:
    page = client.get(URL, params=query).raise_for_status().json()
    return [one["sample"]["id"] for one in page["items"]]


def complete(services: Services, held: Claim, table: pa.Table) -> None:
    with services.database.write() as connection:
        for state in (State.TRAINING, State.SCORING, State.RANKING):
            jobs.advance(connection, held, state, Progress(phase=state), NOON)
        jobs.complete(connection, held, {**result(len(table)), "stage": "full"}, NOON)
        rankings.save(connection, "job_1", table)


def test_a_job_without_a_ranking_has_no_suspects_yet(client: httpx.Client, held: Claim) -> None:
    assert held.job_id == "job_1"
    assert client.get(URL).status_code == httpx.codes.CONFLICT
    assert client.get("/jobs/job_1").json()["result"] is None


def test_a_first_ranking_is_read_and_the_final_one_takes_its_place(
    client: httpx.Client, services: Services, info: DatasetInfo, held: Claim
) -> None:
    table = ranking(info)
    give_first_ranking(services, held, info, reversed_scores(table))
    page = client.get(URL).raise_for_status().json()
    assert (page["stage"], page["total"], page["confidence"]) == ("quick", len(table), "order")
    assert set(page["items"][0]["signals"]) >= {"mislabeled"}
    job = client.get("/jobs/job_1").json()
    assert (job["state"], job["result"]["stage"], job["flagged"]) == ("preparing", "quick", None)
    first, narrowed = ids(client), ids(client, label="cat", min_score="0.2")
    assert 0 < len(narrowed) < len(first)
    sample = client.get(f"/jobs/job_1/samples/{first[0]}").raise_for_status().json()
    assert sample["signals"]["mislabeled"]["rank"] == 1
    complete(services, held, table)
    assert ids(client) != first
    assert sorted(ids(client)) == sorted(first)
    assert client.get(URL).json()["stage"] == "full"
    assert client.get(f"/jobs/job_1/samples/{first[0]}").json()["signals"]["mislabeled"]["rank"] > 1
    assert services.blobs.ranking("job_1", FIRST).exists()


@pytest.mark.parametrize("path", ["signals", "groups", "report", "reviews", "audit", "map", "classes", "diff"])
def test_what_needs_the_final_ranking_waits_for_it(
    client: httpx.Client, services: Services, info: DatasetInfo, held: Claim, path: str
) -> None:
    give_first_ranking(services, held, info)
    assert client.get(f"/jobs/job_1/{path}").status_code == httpx.codes.CONFLICT


def test_nothing_is_reviewed_by_a_first_ranking(
    client: httpx.Client, services: Services, info: DatasetInfo, held: Claim
) -> None:
    give_first_ranking(services, held, info)
    said = [{"sample_id": ids(client)[0], "decision": "keep"}]
    assert client.post("/jobs/job_1/reviews", json=said).status_code == httpx.codes.CONFLICT
    assert client.post("/jobs/job_1/audit/draws", json={"count": 2}).status_code == httpx.codes.CONFLICT


def test_a_first_ranking_ends_with_a_cancelled_job(
    client: httpx.Client, services: Services, info: DatasetInfo, held: Claim
) -> None:
    give_first_ranking(services, held, info)
    client.post("/jobs/job_1/cancel").raise_for_status()
    assert client.get(URL).status_code == httpx.codes.GONE
    assert client.get("/jobs/job_1").json()["result"] is None
