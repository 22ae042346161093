"""Decisions on many samples at once, and undoing them."""

from collections import Counter
from typing import Any

import httpx
import hypothesis
import pytest
from hypothesis import strategies as st

from service.services import Services
from tests.builders import add_finished, ranking

ROWS = 41
SUSPECTS, URL = "/jobs/job_1/suspects", "/jobs/job_1/reviews"


@pytest.fixture(autouse=True)
def rows(services: Services, client: httpx.Client) -> list[dict[str, Any]]:
    """The ranked rows of a finished job."""
    info = add_finished(services.database, services.blobs, rows=54, splits={"train": ROWS, "test": 13})
    found: list[dict[str, Any]] = ranking(info).to_pylist()
    return found


def standing(client: httpx.Client) -> dict[str, tuple[str, str | None, str | None]]:
    """Decision, label and reviewer that hold, by sample."""
    items = client.get(SUSPECTS, params={"limit": 1000}).json()["items"]
    reviews = {item["sample"]["id"]: item["review"] for item in items if item["review"]}
    return {name: (one["decision"], one["label"], one["reviewer"]) for name, one in reviews.items()}


def bulk(client: httpx.Client, key: str = "", **body: Any) -> dict[str, Any]:
    response = client.post(f"{URL}/bulk", json=body, headers={"Idempotency-Key": key} if key else {})
    assert response.status_code == httpx.codes.CREATED, response.text
    answer: dict[str, Any] = response.json()
    return answer


def undo(client: httpx.Client, batch: str) -> dict[str, Any]:
    response = client.post(f"{URL}/undo", json={"batch": batch})
    assert response.status_code == httpx.codes.CREATED, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_accepting_suggestions_relabels_each_sample_to_its_own(
    client: httpx.Client, rows: list[dict[str, Any]]
) -> None:
    expected = {
        row["sample_id"]: ("relabel", row["suggested_label"], "Noor")
        for row in rows
        if row["verdict"] == "mislabeled" and row["suggested_confidence"] >= 0.5
    }
    asked: dict[str, Any] = {
        "filter": {"verdict": "mislabeled", "min_confidence": 0.5},
        "decision": "relabel",
        "reviewer": "Noor",
    }
    assert bulk(client, **asked, dry_run=True) == {"matched": len(expected), "written": 0, "batch": None}
    assert standing(client) == {}
    answer = bulk(client, **asked)
    assert (answer["matched"], answer["written"]) == (len(expected), len(expected))
    assert standing(client) == expected


@pytest.mark.parametrize(
    ("asked", "query"),
    [
        ({"label": "dog"}, {"label": "dog"}),
        ({"q": "row-1", "verdict": "clean"}, {"q": "row-1", "verdict": "clean"}),
        ({"by": "anomalous", "min_score": 0.5}, {"by": "anomalous", "min_score": "0.5"}),
        ({}, {}),
    ],
)
def test_a_filter_means_what_it_means_in_the_ranking(
    client: httpx.Client, asked: dict[str, Any], query: dict[str, str]
) -> None:
    shown = client.get(SUSPECTS, params={**query, "limit": "1000"}).json()
    assert bulk(client, filter=asked, decision="keep")["matched"] == shown["total"]
    assert standing(client) == {item["sample"]["id"]: ("keep", None, None) for item in shown["items"]}


def test_a_repeated_request_decides_once(client: httpx.Client) -> None:
    asked: dict[str, Any] = {"filter": {"reviewed": False, "label": "cat"}, "decision": "remove"}
    first = bulk(client, "k", **asked)
    assert bulk(client, "k", **asked) == first
    assert client.get(URL).json()["total"] == first["written"]
    other = client.post(f"{URL}/bulk", json={**asked, "decision": "keep"}, headers={"Idempotency-Key": "k"})
    assert other.status_code == httpx.codes.UNPROCESSABLE_ENTITY


DECISION = st.sampled_from(["keep", "remove", "unsure", "withdraw", "cat", "dog"])


def one(number: int, what: str) -> dict[str, Any]:
    decided = {"decision": "relabel", "label": what} if what in ("cat", "dog") else {"decision": what}
    return {"sample_id": f"row-{number}", "reviewer": f"who {number}", **decided}


@hypothesis.settings(max_examples=15, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(
    before=st.lists(st.builds(one, st.integers(0, 9), DECISION), min_size=1, max_size=12),
    decision=st.sampled_from(["relabel", "keep", "remove", "unsure", "withdraw"]),
    asked=st.sampled_from([{}, {"label": "cat"}, {"reviewed": True}, {"verdict": "mislabeled"}]),
)
def test_undoing_restores_exactly_and_can_be_undone(
    client: httpx.Client, before: list[dict[str, Any]], decision: str, asked: dict[str, Any]
) -> None:
    assert client.post(URL, json=before).status_code == httpx.codes.CREATED
    held = standing(client)
    done = bulk(client, filter=asked, decision=decision, reviewer="bulk")
    if done["batch"] is None:
        assert standing(client) == held
        return
    after = standing(client)
    undone = undo(client, done["batch"])
    assert (undone["restored"], undone["left"]) == (done["written"], 0)
    assert standing(client) == held
    assert undo(client, done["batch"]) == {"restored": 0, "left": done["written"], "batch": None}
    assert undo(client, undone["batch"])["restored"] == done["written"]
    assert standing(client) == after


def test_undoing_leaves_what_was_decided_again_since(client: httpx.Client) -> None:
    first = client.post(URL, json=[one(3, "keep"), one(4, "dog")]).json()
    client.post(URL, json=[one(4, "remove")])
    answer = undo(client, first["batch"])
    assert (answer["restored"], answer["left"]) == (1, 1)
    assert standing(client) == {"row-4": ("remove", None, "who 4")}


def test_what_is_undone_has_the_name_of_who_undid_it(client: httpx.Client) -> None:
    client.post(URL, json=[one(3, "keep")])
    decided = client.post(URL, json=[one(3, "remove"), one(4, "dog")]).json()["batch"]
    client.post(f"{URL}/undo", json={"batch": decided, "reviewer": "Noor"}).raise_for_status()
    said = [(each["sample_id"], each["decision"], each["reviewer"]) for each in client.get(URL).json()["items"]]
    # What holds again is still the word of who gave it.
    assert said[3:] == [("row-3", "keep", "who 3"), ("row-4", "withdraw", "Noor")]


def test_what_cannot_be_meant_is_refused(client: httpx.Client) -> None:
    for body, where in (
        ({"filter": {"by": "vibes"}, "decision": "keep"}, ["filter", "by"]),
        ({"filter": {"label": "fox"}, "decision": "keep"}, ["filter", "label"]),
        ({"filter": {}, "decision": "relabel", "label": "fox"}, ["label"]),
        ({"filter": {"min_score": "x"}, "decision": "keep"}, ["filter", "min_score"]),
        ({"decision": "keep"}, ["filter"]),
        ({"filter": {"disagrees": False}, "decision": "relabel"}, ["filter", "disagrees"]),
    ):
        refused = client.post(f"{URL}/bulk", json=body)
        assert (refused.status_code, refused.json()["errors"][0]["loc"]) == (422, where)
    assert client.post(f"{URL}/undo", json={"batch": "batch_0"}).json()["errors"][0]["loc"] == ["batch"]


@pytest.mark.parametrize("query", [{}, {"verdict": "mislabeled"}, {"reviewed": "false"}, {"limit": "2"}])
def test_the_confusion_counts_the_ranking(
    client: httpx.Client, rows: list[dict[str, Any]], query: dict[str, str]
) -> None:
    bulk(client, filter={"label": "cat", "verdict": "mislabeled"}, decision="keep")
    reviewed = standing(client)
    kept = [
        row
        for row in rows
        if row["verdict"] == query.get("verdict", row["verdict"])
        and not ("reviewed" in query and row["sample_id"] in reviewed)
    ]
    pairs = Counter((row["given_label"], row["suggested_label"]) for row in kept)
    found = client.get("/jobs/job_1/confusion", params=query).json()
    assert [(one["label"], one["samples"], one["agreeing"]) for one in found["classes"]] == [
        (name, sum(count for pair, count in pairs.items() if pair[0] == name), pairs[name, name])
        for name in ("cat", "dog", "eel")
    ]
    others = {pair: count for pair, count in pairs.items() if pair[0] != pair[1]}
    counts = [one["count"] for one in found["items"]]
    assert counts == sorted(others.values(), reverse=True)[: int(query.get("limit", 1000))]
    assert all(others[one["given"], one["suggested"]] == one["count"] for one in found["items"])
    assert (found["total"], found["disagreeing"]) == (len(others), sum(others.values()))
    assert found["left_out"] == found["disagreeing"] - sum(counts)
