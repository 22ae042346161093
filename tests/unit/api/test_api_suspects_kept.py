"""What is kept of rankings between requests never shows: answers are those of the moment."""

from typing import Any

import httpx
import hypothesis
import pytest
from hypothesis import strategies as st

from service.actions.find import find_completed_job, known_job
from service.actions.select_suspects import SuspectQuery, select
from service.api.schemas.samples import SuspectPage
from service.domain.errors import NotFound
from service.domain.review import Decision
from service.services import Services
from service.store import ranking_columns, reviews
from tests.builders import CLASSES, COMPUTED, add_finished, ranking

ROWS = 41
URL = "/jobs/job_1/suspects"


@pytest.fixture(autouse=True)
def rows(services: Services) -> list[dict[str, Any]]:
    """A ranking with columns, in the order of the upload."""
    info = add_finished(services.database, services.blobs, rows=54, splits={"train": ROWS, "test": 13})
    table = ranking(info)
    ranking_columns.save(services.blobs.ranking("job_1"), table, COMPUTED)
    saved: list[dict[str, Any]] = table.to_pylist()
    return saved


def say(client: httpx.Client, row: int, decision: str, **more: str) -> None:
    said = [{"sample_id": f"row-{row}", "decision": decision, **more}]
    client.post("/jobs/job_1/reviews", json=said).raise_for_status()


def test_a_page_is_what_its_schema_says(client: httpx.Client) -> None:
    say(client, 5, "relabel", label="dog")
    for query in ({}, {"signals": "si,aai"}, {"signals": ""}, {"by": "aum", "limit": "3"}, {"label": "cat"}):
        page = client.get(URL, params=query).raise_for_status().json()
        assert SuspectPage.model_validate(page).model_dump(mode="json") == page


def test_rows_that_are_kept_show_the_review_of_now(client: httpx.Client) -> None:
    def shown() -> dict[str, Any]:
        return {one["sample"]["id"]: one["review"] for one in client.get(URL).json()["items"]}

    assert set(shown().values()) == {None}
    say(client, 5, "remove")
    assert {name: one["decision"] for name, one in shown().items() if one} == {"row-5": "remove"}
    say(client, 5, "withdraw")
    assert set(shown().values()) == {None}


def test_a_deleted_job_is_not_found_though_it_was_kept(client: httpx.Client) -> None:
    assert client.get(URL).status_code == 200
    assert client.delete("/jobs/job_1").status_code == 204
    assert client.get(URL).status_code == 404
    assert client.get("/jobs/job_1").status_code == 404


def test_a_kept_job_is_not_seen_from_another_project(client: httpx.Client, services: Services) -> None:
    assert client.get(URL).status_code == 200
    with services.database.read() as connection:
        assert known_job(services, connection, "job_1").id == "job_1"
    other = services.of("other")
    with other.database.read() as connection, pytest.raises(NotFound):
        known_job(other, connection, "job_1")


def test_an_answer_that_the_client_has_comes_without_a_body(client: httpx.Client) -> None:
    first = client.get(URL)
    tag = first.headers["ETag"]
    again = client.get(URL, headers={"If-None-Match": f'"other", {tag}'})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert "Content-Type" not in again.headers
    say(client, 5, "remove")
    changed = client.get(URL, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag
    plain = client.get(URL, headers={"Accept-Encoding": "identity"})
    assert plain.headers["ETag"] == changed.headers["ETag"]


def test_errors_and_changes_have_no_tag(client: httpx.Client) -> None:
    assert "ETag" not in client.get("/jobs/nothing", headers={"If-None-Match": "*"}).headers
    assert "ETag" not in client.post("/jobs/job_1/reviews", json=[{"sample_id": "row-1", "decision": "keep"}]).headers


DECIDED = {1: "keep", 2: "remove", 7: "unsure", 8: "keep"}
QUERIES = st.builds(
    SuspectQuery,
    by=st.sampled_from(["mislabeled", "si", "aum"]),
    label=st.none() | st.sampled_from(CLASSES),
    suggested=st.none() | st.sampled_from(CLASSES),
    verdict=st.none() | st.sampled_from(["mislabeled", "anomalous", "clean", "not_judged"]),
    min_score=st.none() | st.floats(-0.1, 1.1),
    min_confidence=st.none() | st.floats(0, 1),
    disagrees=st.none() | st.booleans(),
    reviewed=st.none() | st.booleans(),
    decision=st.none() | st.sampled_from(["keep", "remove", "relabel"]),
    search=st.none() | st.sampled_from(["1", "ROW-2", "x"]),
)


@hypothesis.settings(
    max_examples=80, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(query=QUERIES, start=st.integers(0, ROWS), size=st.integers(1, 9))
def test_a_filter_keeps_what_a_look_at_every_row_keeps(
    services: Services, rows: list[dict[str, Any]], query: SuspectQuery, start: int, size: int
) -> None:
    _decide_once(services)
    wanted = [rank for rank, row in enumerate(_ordered(rows, query.by), 1) if _passes(row, query)]
    index = [_ordered(rows, query.by)[rank - 1]["index"] for rank in wanted]
    job = find_completed_job(services, "job_1")
    for _ in range(2):  # the second time of what was kept
        with services.database.read() as connection:
            found = select(services, connection, job, query)
        assert (len(found), found.ranks.tolist(), found.index) == (len(wanted), wanted, index)
        part = found.part(start, start + size)
        assert (len(part), part.ranks.tolist()) == (len(wanted[start : start + size]), wanted[start : start + size])
        assert [found.start_after(rank) for rank in (0, 7, ROWS)] == [
            sum(one <= rank for one in wanted) for rank in (0, 7, ROWS)
        ]


def _decide_once(services: Services) -> None:
    with services.database.write() as connection:
        if not reviews.last_number(connection, "job_1"):
            said = [
                Decision.model_validate({"sample_id": f"row-{row}", "decision": one}) for row, one in DECIDED.items()
            ]
            reviews.add(connection, "job_1", said, "api", services.now())


def _ordered(rows: list[dict[str, Any]], by: str) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (-row[by], row["index"]))


def _passes(row: dict[str, Any], query: SuspectQuery) -> bool:
    decision = DECIDED.get(row["index"])
    return all(
        (
            query.label in (None, row["given_label"]),
            query.suggested in (None, row["suggested_label"]),
            query.verdict in (None, row["verdict"]),
            query.min_score is None or row[query.by] >= query.min_score,
            query.min_confidence is None or row["suggested_confidence"] >= query.min_confidence,
            query.disagrees in (None, row["given_label"] != row["suggested_label"]),
            query.reviewed in (None, decision is not None),
            query.decision in (None, decision),
            query.search is None or query.search.lower() in row["sample_id"],
        )
    )
