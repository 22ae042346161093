"""Reviews over HTTP."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from service.actions.rerun import run_again
from service.api.http import paging
from service.domain.precision import BAND_ENDS, reviewed_share, shares_by_day, shares_by_rank
from service.domain.review import Decision, Outcome
from service.services import Services
from service.store import datasets, reviews
from tests.builders import COMPUTED, NOON, add_finished, finish, ranking, ranking_of

ROWS = 41
URL = "/jobs/job_1/reviews"


@pytest.fixture(autouse=True)
def rows(services: Services, client: httpx.Client) -> list[dict[str, Any]]:
    """The ranked rows of a finished job, most suspicious first."""
    info = add_finished(services.database, services.blobs, rows=54, splits={"train": ROWS, "test": 13})
    return sorted(ranking(info).to_pylist(), key=lambda row: (-row["mislabeled"], row["index"]))


def post(client: httpx.Client, *decisions: dict[str, Any], key: str | None = None) -> httpx.Response:
    return client.post(URL, json=list(decisions), headers={"Idempotency-Key": key} if key else {})


def recorded(response: httpx.Response) -> tuple[int, int]:
    answer = response.json()
    return answer["recorded"], answer["reviewed"]


def said(sample_id: str, decision: str, label: str | None = None) -> dict[str, Any]:
    return {"sample_id": sample_id, "decision": decision} | ({"label": label} if label else {})


def test_the_latest_decision_is_shown_with_the_suspect_and_all_are_listed(client: httpx.Client) -> None:
    assert recorded(post(client, said("row-5", "keep"), said("row-6", "remove"))) == (2, 2)
    assert recorded(post(client, said("row-5", "relabel", "cat"))) == (1, 2)
    found = {item["sample"]["id"]: item["review"] for item in client.get("/jobs/job_1/suspects").json()["items"]}
    assert {name for name, review in found.items() if review} == {"row-5", "row-6"}
    # Row 5 carries eel and is planted: the ranking suggests cat.
    assert {name: found["row-5"][name] for name in ("decision", "label", "outcome", "source")} == {
        "decision": "relabel",
        "label": "cat",
        "outcome": "relabelled_to_suggestion",
        "source": "api",
    }
    assert client.get("/jobs/job_1/samples/row-5").json()["review"] == found["row-5"]
    assert client.get("/jobs/job_1/samples/row-7").json()["review"] is None
    page = client.get(URL, params={"limit": 2}).json()
    assert ([one["sample_id"] for one in page["items"]], page["total"]) == (["row-5", "row-6"], 3)
    rest = client.get(URL, params={"cursor": page["next"]}).json()
    assert ([(one["sample_id"], one["decision"]) for one in rest["items"]], rest["next"]) == (
        [("row-5", "relabel")],
        None,
    )


def test_the_history_of_a_sample_is_what_was_decided_of_it_alone(client: httpx.Client) -> None:
    post(client, said("row-5", "keep"), said("row-6", "remove"), said("row-5", "unsure"))
    first = client.get(URL, params={"sample_id": "row-5", "limit": 1}).json()
    rest = client.get(URL, params={"sample_id": "row-5", "cursor": first["next"]}).json()
    assert [one["decision"] for one in first["items"] + rest["items"]] == ["keep", "unsure"]
    assert (first["total"], rest["next"]) == (2, None)
    assert client.get(URL, params={"cursor": first["next"]}).status_code == 400
    assert client.get(URL, params={"sample_id": "nobody"}).json()["items"] == []


def test_a_sample_that_was_held_out_can_be_reviewed(client: httpx.Client) -> None:
    assert post(client, said("row-50", "keep")).status_code == 201
    assert client.get("/jobs/job_1/samples/row-50").json()["review"]["outcome"] == "confirmed"
    assert client.get(f"{URL}/summary").json()["reviewed"] == 0


@pytest.mark.parametrize(
    ("bad", "place"),
    [
        (said("row-99", "keep"), [1, "sample_id"]),
        (said("row-1", "relabel", "fox"), [1, "label"]),
        (said("row-1", "guess"), [1, "decision"]),
        (said("row-1", "relabel"), [1]),
        (said("row-1", "keep", "cat"), [1]),
        ({"sample_id": "row-1"}, [1, "decision"]),
        (said("row-1", "keep") | {"why": "?"}, [1, "why"]),
    ],
)
def test_one_fault_refuses_all_and_names_its_place(client: httpx.Client, bad: dict[str, Any], place: list[Any]) -> None:
    response = post(client, said("row-1", "keep"), bad, said("row-2", "keep"))
    assert (response.status_code, [fault["loc"] for fault in response.json()["errors"]]) == (422, [place])
    assert client.get(URL).json()["total"] == 0


@pytest.mark.parametrize("place", [-1, 2**63, "x", None])
def test_a_cursor_of_its_own_making_is_refused(client: httpx.Client, place: Any) -> None:
    cursor = paging.encode(["reviews", "job_1"], [place])
    assert client.get(URL, params={"cursor": cursor}).status_code == 400


@pytest.mark.parametrize("body", [{}, [], "keep", 7, [7], [None], {"reviews": []}])
def test_what_is_no_list_of_decisions_is_refused(client: httpx.Client, body: Any) -> None:
    assert client.post(URL, json=body).status_code == 422


def test_many_faults_are_told_of_in_part(client: httpx.Client) -> None:
    errors = post(client, *(said(f"row-{i}", "keep") for i in range(100, 200))).json()["errors"]
    assert (len(errors), errors[-1]["msg"]) == (21, "and 80 more faults")


def test_the_same_key_keeps_decisions_once(client: httpx.Client) -> None:
    for _ in range(2):
        assert recorded(post(client, said("row-1", "keep"), key="k")) == (1, 1)
    assert client.get(URL).json()["total"] == 1
    assert post(client, said("row-2", "keep"), key="k").status_code == 422


def test_the_summary_counts_what_was_flagged_and_how_it_ended(
    client: httpx.Client, rows: list[dict[str, Any]], services: Services
) -> None:
    flagged = [row for row in rows if row["verdict"] != "clean"]
    clean = [row for row in rows if row["verdict"] == "clean"]
    removed, kept, unsure, turned = flagged[:4], flagged[4:6], flagged[6:7], flagged[7:9]
    decisions = [
        *(said(row["sample_id"], "remove") for row in removed),
        *(said(row["sample_id"], "keep") for row in kept),
        *(said(row["sample_id"], "unsure") for row in unsure),
        *(said(row["sample_id"], "relabel", row["given_label"]) for row in turned),
        said(clean[0]["sample_id"], "remove"),
    ]
    post(client, *decisions)
    found = client.get(f"{URL}/summary").json()
    assert (found["samples"], found["flagged"], found["reviewed"]) == (ROWS, len(flagged), 10)
    assert found["outcomes"]["flagged"] == {
        "relabelled_to_suggestion": 0,
        "relabelled_otherwise": 0,
        "removed": 4,
        "confirmed": 4,
        "plausible": 0,
        "unsure": 1,
        "pending": len(flagged) - 9,
    }
    assert found["outcomes"]["clean"]["removed"] == 1
    assert (found["precision"]["wrong"], found["precision"]["decided"], found["precision"]["precision"]) == (4, 8, 0.5)
    assert found["by_verdict"]["clean"]["precision"] == 1.0
    assert sum(one["decided"] for one in found["by_verdict"].values()) == 9
    assert [one["name"] for one in found["by_signal"]] == COMPUTED
    place = {row["sample_id"]: rank for rank, row in enumerate(rows, 1)}
    top = [said for said in decisions if place[said["sample_id"]] <= 10 and said["decision"] != "unsure"]
    first = next(one for one in found["by_signal"] if one["name"] == "mislabeled")["bands"][0]
    assert (first["first"], first["last"], first["decided"]) == (1, 10, len(top))
    assert first["wrong"] == sum(said["decision"] == "remove" for said in top)
    (day,) = found["over_time"]
    assert (day["decided"], day["so_far"]["wrong"]) == (8, 4)
    # A later change of mind moves the decision to its own day.
    changed = Decision(sample_id=kept[0]["sample_id"], decision="remove")
    with services.database.write() as connection:
        reviews.add(connection, "job_1", [changed], "doccano", services.now() + timedelta(days=1))
    later = client.get(f"{URL}/summary", params={"signal": "si"}).json()
    assert [(day["decided"], day["wrong"], day["so_far"]["wrong"]) for day in later["over_time"]] == [
        (7, 4, 4),
        (1, 1, 5),
    ]
    assert [one["name"] for one in later["by_signal"]] == ["si"]


def test_a_decision_is_shown_beside_the_suspects_of_every_job_of_the_chain_and_listed_once(
    client: httpx.Client, services: Services
) -> None:
    with services.database.write() as connection:  # what the builder flags, it says to be planted too
        connection.exec_driver_sql("UPDATE suspects SET planted_kind = NULL, planted_label = NULL")
    post(client, said("row-5", "relabel", "cat"), said("row-6", "remove"), said("row-50", "keep"))
    assert client.post("/jobs/job_1/rerun").status_code == 202
    later = services.now() + timedelta(minutes=5)
    (following,) = run_again(replace(services, now=lambda: later))
    with services.database.read() as connection:
        info = datasets.get(connection, client.get(f"/jobs/{following}").json()["dataset"]["id"])
    assert info is not None
    finish(services.database, following, info, table=ranking_of(services.blobs, info))
    post(client, said("row-8", "relabel", "cat"))
    url = f"/jobs/{following}"
    items = client.get(f"{url}/suspects").json()["items"]
    shown = {one["sample"]["id"]: one["review"] for one in items if one["review"]}
    assert {name: (one["decision"], one["label"], one["outcome"], one["job"]) for name, one in shown.items()} == {
        "row-5": ("keep", None, "confirmed", "job_1"),
        "row-8": ("relabel", "cat", "relabelled_to_suggestion", "job_1"),
    }
    assert client.get(f"{url}/samples/row-8").json()["review"] == shown["row-8"]
    assert client.get(f"{url}/samples/row-50").json()["review"]["outcome"] == "confirmed"
    assert client.get(f"{url}/reviews").json()["total"] == 0
    assert client.get(f"{url}/reviews/summary").json()["reviewed"] == 2
    told = client.post(f"{url}/reviews", json=[said("row-49", "keep")]).json()
    assert (told["recorded"], told["reviewed"]) == (1, 3)
    assert [one["sample_id"] for one in client.get(URL).json()["items"]] == ["row-5", "row-6", "row-50", "row-8"]
    assert {one["given_label"] for one in client.get(URL).json()["items"]} == {"eel", "cat"}


def test_a_job_of_which_no_review_changes_or_verifies_anything_is_not_run_again(client: httpx.Client) -> None:
    assert client.post("/jobs/job_1/rerun").status_code == 422
    post(client, said("row-5", "unsure"))
    assert client.post("/jobs/job_1/rerun").status_code == 422
    post(client, said("row-5", "keep"))
    assert client.post("/jobs/job_1/rerun").status_code == 202


def test_every_reviewed_sample_is_in_one_band() -> None:
    removed = {1, 10, 11, 50, 51, 1000, 1001, 5000}
    outcomes = [Outcome.REMOVED if rank in removed else Outcome.PENDING for rank in range(1, 6001)]
    found = shares_by_rank(outcomes[: BAND_ENDS[-1]], Counter(outcomes))
    assert [(band.first, band.last, band.decided) for band in found] == [
        (1, 10, 2),
        (11, 50, 2),
        (51, 100, 1),
        (101, 500, 0),
        (501, 1000, 1),
        (1001, None, 2),
    ]


def test_a_share_says_how_sure_it_is() -> None:
    found = reviewed_share({Outcome.REMOVED: 8, Outcome.CONFIRMED: 2, Outcome.UNSURE: 1, Outcome.PENDING: 1})
    assert (found.wrong, found.decided, found.precision) == (8, 10, 0.8)
    # Newcombe (1998) gives Wilson's interval in closed form; computed by hand for 8 of 10.
    assert found.low == pytest.approx(0.49016, abs=1e-4)
    assert found.high == pytest.approx(0.94331, abs=1e-4)
    assert reviewed_share({}).precision is None


def test_days_add_up() -> None:
    outcomes = {NOON.date() + timedelta(days=i): Counter({Outcome.REMOVED: 4 - bool(i)}) for i in (2, 0, 1)}
    found = shares_by_day(outcomes)
    assert {day.day: day.decided for day in found} == {day: told.total() for day, told in outcomes.items()}
    assert [day.so_far.wrong for day in found] == [4, 7, 10]
