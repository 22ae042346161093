"""What is wrong in the data of a job beside labels, over HTTP."""

from typing import Any

import httpx
import pytest

from service.domain.issue import ISSUE_TYPES, ISSUES, MOST_SAMPLES
from service.services import Services
from service.store import rankings
from tests.builders import add_finished, kept_issues

URL = "/jobs/job_1/issues"


@pytest.fixture(autouse=True)
def job(services: Services) -> None:
    """A job as a worker of today leaves it: one type could not be looked for."""
    add_finished(services.database, services.blobs)
    keep(services, kept_issues())


def keep(services: Services, issues: dict[str, Any]) -> None:
    with services.database.write() as connection:
        rankings.replace_summaries(connection, "job_1", {"issues": issues})


def test_types_come_in_the_order_of_the_table_with_what_their_score_is(client: httpx.Client) -> None:
    answer = client.get(URL).json()
    assert [one["type"] for one in answer["items"]] == [name for name in ISSUE_TYPES if name != "leakage"]
    assert answer["total"] == len(answer["items"])
    for one in answer["items"]:
        assert (one["title"], one["score_is"]) == (ISSUES[one["type"]].title, ISSUES[one["type"]].score)
    assert answer["not_checked"] == [
        {
            "type": "leakage",
            "title": "Held-out samples that are also trained on",
            "reason": "This job holds no sample out.",
        }
    ]


def test_samples_are_cut_at_the_limit_and_counted_whole(client: httpx.Client) -> None:
    (copies,) = client.get(URL, params={"type": "exact_duplicates", "limit": 3}).json()["items"]
    assert [(one["id"], one["group"]) for one in copies["samples"]] == [("row-0", 0), ("row-1", 0), ("row-2", 1)]
    assert (copies["flagged"], copies["score"], copies["found"]) == (6, 0.1, True)
    assert len(client.get(URL, params={"type": "exact_duplicates"}).json()["items"][0]["samples"]) == 6


def test_a_type_is_asked_for_alone_and_others_are_refused(client: httpx.Client) -> None:
    answer = client.get(URL, params={"type": "leakage"}).json()
    assert (answer["items"], [one["type"] for one in answer["not_checked"]]) == ([], ["leakage"])
    for wrong in ({"type": "labels"}, {"limit": 0}, {"limit": MOST_SAMPLES + 1}):
        assert client.get(URL, params=wrong).status_code == httpx.codes.UNPROCESSABLE_ENTITY


def test_a_job_of_an_earlier_version_says_that_it_did_not_look(client: httpx.Client, services: Services) -> None:
    add_finished(services.database, services.blobs, "job_2", "ds_2")
    answer = client.get("/jobs/job_2/issues").json()
    assert answer["items"] == []
    assert [one["type"] for one in answer["not_checked"]] == list(ISSUE_TYPES)
    assert all("a new job" in one["reason"] for one in answer["not_checked"])
