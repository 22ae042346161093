"""Both parts of each label over HTTP: what is shown of them, and filters and decisions by part."""

import httpx
import pytest

from service.services import Services
from service.store import rankings
from tests.builders import add_finished, group, ranking, save_parts

ROWS = 41
URL = "/jobs/job_1"
DOGS = [f"row-{row}" for row in range(1, ROWS, 3)]
TIGHTER, LOOSER = ["row-4", "row-1"], [name for name in DOGS if name not in ("row-4", "row-1")]


@pytest.fixture(autouse=True)
def job(services: Services, client: httpx.Client) -> None:
    """A job as a worker of today leaves it."""
    info = add_finished(services.database, services.blobs, rows=54, splits={"train": ROWS, "test": 13})
    save_parts(services.blobs, "job_1", ranking(info))


def test_groups_show_both_parts_and_where_each_leans(client: httpx.Client) -> None:
    (found,) = client.get(f"{URL}/groups").json()["items"]
    assert (found["label"], found["size"], found["separation"], found["gap"]) == ("dog", 2, 0.8, 0.9)
    assert found["sample_ids"] == TIGHTER
    tighter, looser = found["parts"]
    assert (tighter["part"], tighter["size"], tighter["is_smaller"]) == ("tighter", 2, True)
    assert (tighter["leans_to"], tighter["lean"]) == ("eel", 0.8)
    assert (looser["part"], looser["size"], looser["is_smaller"]) == ("looser", len(LOOSER), False)
    assert (looser["leans_to"], looser["lean"]) == (None, 0)
    assert (tighter["sample_ids"], looser["sample_ids"]) == (TIGHTER, LOOSER)
    for part in found["parts"]:
        assert [card["id"] for card in part["previews"]] == part["sample_ids"][:10]
    assert found["previews"] == tighter["previews"]


def test_of_two_equal_parts_neither_is_smaller(client: httpx.Client, services: Services) -> None:
    found = group(ROWS)
    found["parts"][1] |= {"size": 2, "positions": [7, 10]}
    with services.database.write() as connection:
        rankings.save_summaries(connection, "job_1", {"groups": {"groups": [found]}})
    (shown,) = client.get(f"{URL}/groups").json()["items"]
    assert [part["is_smaller"] for part in shown["parts"]] == [False, False]


def test_a_job_of_an_earlier_version_shows_what_it_has(client: httpx.Client, services: Services) -> None:
    found = {name: value for name, value in group(ROWS).items() if name not in ("parts", "gap")}
    with services.database.write() as connection:
        rankings.save_summaries(connection, "job_1", {"groups": {"groups": [found]}})
    (shown,) = client.get(f"{URL}/groups").json()["items"]
    assert (shown["sample_ids"], shown["gap"], shown["parts"]) == (TIGHTER, 0, [])


@pytest.mark.parametrize(("part", "members"), [("tighter", TIGHTER), ("looser", LOOSER)])
def test_a_part_is_a_filter_of_the_ranking_and_of_decisions(
    client: httpx.Client, part: str, members: list[str]
) -> None:
    wanted = {"label": "dog", "part": part}
    found = client.get(f"{URL}/suspects", params={**wanted, "limit": 100}).json()
    assert {item["sample"]["id"] for item in found["items"]} == set(members)
    assert found["total"] == len(members)
    said = client.post(f"{URL}/reviews/bulk", json={"filter": wanted, "decision": "relabel", "label": "eel"}).json()
    assert said["written"] == len(members)
    reviewed = client.get(f"{URL}/suspects", params={"decision": "relabel", "limit": 100}).json()
    assert {item["sample"]["id"] for item in reviewed["items"]} == set(members)
    client.post(f"{URL}/reviews/undo", json={"batch": said["batch"]})
    assert client.get(f"{URL}/suspects", params={"decision": "relabel"}).json()["total"] == 0


def test_a_part_that_is_none_and_a_job_without_parts_are_refused_by_name(
    client: httpx.Client, services: Services
) -> None:
    add_finished(services.database, services.blobs, "job_2", "ds_2")
    for job, part in (("job_1", "left"), ("job_2", "tighter")):
        refused = [
            client.get(f"/jobs/{job}/suspects", params={"part": part}),
            client.post(f"/jobs/{job}/reviews/bulk", json={"filter": {"part": part}, "decision": "keep"}),
        ]
        for response in refused:
            assert response.status_code == 422
            assert response.json()["errors"][0]["loc"][-1] == "part"
