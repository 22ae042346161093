"""The first ranking of a job that still computes: read like any other, replaced by the final one, and no ground for reviews."""

import csv
import io

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


@pytest.fixture
def kept(services: Services, info: DatasetInfo, held: Claim) -> pa.Table:
    """The first ranking of a job that is completed now, with other suggestions and another order."""
    table = ranking(info)
    first = reversed_scores(table)
    labels = pa.array(["dog"] * len(first))
    first = first.set_column(first.schema.get_field_index("suggested_label"), "suggested_label", labels)
    give_first_ranking(services, held, info, first)
    complete(services, held, table)
    return first


def test_a_first_ranking_can_be_asked_for_once_the_final_one_is_there(client: httpx.Client, kept: pa.Table) -> None:
    page = client.get(URL, params={"stage": "quick", "limit": 1000}).raise_for_status().json()
    assert (page["stage"], page["total"], page["confidence"]) == ("quick", len(kept), "order")
    score = dict(zip(kept["sample_id"].to_pylist(), kept["mislabeled"].to_pylist(), strict=True))
    listed = [one["sample"]["id"] for one in page["items"]]
    assert listed == sorted(listed, key=lambda name: -score[name])
    assert {name: one["score"] for name, one in zip(listed, page["items"], strict=True)} == score
    assert {one["suggested_label"] for one in page["items"]} == {"dog"}
    assert all(set(one["signals"]) == {"mislabeled"} for one in page["items"])
    final = client.get(URL, params={"stage": "full", "limit": 1000}).raise_for_status().json()
    assert final["stage"] == "full"
    assert [one["sample"]["id"] for one in final["items"]] == ids(client, limit="1000") != listed
    assert {one["suggested_label"] for one in final["items"]} != {"dog"}


def test_a_first_ranking_that_was_kept_is_filtered_and_paged_like_any_other(
    client: httpx.Client, kept: pa.Table
) -> None:
    every = client.get(URL, params={"stage": "quick", "limit": 1000}).json()["items"]
    least = every[len(every) // 2]["score"]
    narrowed = ids(client, stage="quick", min_score=str(least), label="cat", limit="1000")
    expected = [one["sample"]["id"] for one in every if one["score"] >= least and one["given_label"] == "cat"]
    assert narrowed == expected != []
    first = client.get(URL, params={"stage": "quick", "limit": 3}).json()
    second = ids(client, stage="quick", limit="3", cursor=first["next"])
    assert second == [one["sample"]["id"] for one in every[3:6]]
    assert (
        client.get(URL, params={"stage": "full", "limit": 3, "cursor": first["next"]}).status_code
        == httpx.codes.BAD_REQUEST
    )
    told = client.get(URL, params={"stage": "quick", "by": "anomalous"})
    assert (told.status_code, told.json()["errors"][0]["loc"]) == (httpx.codes.UNPROCESSABLE_ENTITY, ["query", "by"])


def test_a_first_ranking_that_was_kept_is_exported(client: httpx.Client, kept: pa.Table) -> None:
    answer = client.get(URL, params={"stage": "quick", "format": "csv"}).raise_for_status()
    assert 'filename="job_1-mislabeled-quick.csv"' in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["sample_id"] for row in rows] == ids(client, stage="quick", limit="1000")
    assert {row["suggested_label"] for row in rows} == {"dog"}
    assert "anomalous" not in rows[0]
    assert len(rows) == len(kept)


def test_the_final_ranking_is_not_there_while_only_a_first_one_is(
    client: httpx.Client, services: Services, info: DatasetInfo, held: Claim
) -> None:
    give_first_ranking(services, held, info)
    assert client.get(URL, params={"stage": "quick"}).status_code == httpx.codes.OK
    assert client.get(URL, params={"stage": "full"}).status_code == httpx.codes.CONFLICT


@pytest.mark.parametrize("damaged", [False, True])
def test_a_job_that_has_kept_no_sound_first_ranking_says_so(
    client: httpx.Client, services: Services, info: DatasetInfo, held: Claim, *, damaged: bool
) -> None:
    table = ranking(info)
    if damaged:
        give_first_ranking(services, held, info)
        (services.blobs.ranking("job_1", FIRST) / "result.json").write_text("{}")
    complete(services, held, table)
    told = client.get(URL, params={"stage": "quick"})
    assert told.status_code == httpx.codes.NOT_FOUND
    assert "first ranking" in told.json()["detail"]


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
