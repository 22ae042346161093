"""Rankings over HTTP, page by page."""

import json
import math
from collections.abc import Callable
from typing import Any

import httpx
import hypothesis
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from service.actions.find import find_dataset
from service.domain.signal import SIGNALS
from service.services import Services
from service.store import ranking_columns, rankings
from tests.builders import COMPUTED, add_dataset, add_job, finish, ranking
from tests.unit.api.ranked import ROWS, URL, ranked_rows


@pytest.fixture(autouse=True)
def finished(services: Services, client: httpx.Client) -> list[dict[str, Any]]:
    """A ranking with ties, as its rows were written, most suspicious first."""
    return ranked_rows(services)


def walk(client: httpx.Client, url: str) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    while url:
        response = client.get(url)
        assert response.status_code == 200, response.text
        seen += response.json()["items"]
        url = response.links["next"]["url"] if response.json()["next"] else ""
    return seen


@pytest.mark.parametrize("limit", [1, 7, 41, 1000])
def test_pages_never_overlap_and_lose_none(client: httpx.Client, finished: list[dict[str, Any]], limit: int) -> None:
    items = walk(client, f"{URL}?limit={limit}")
    assert [item["sample"]["id"] for item in items] == [row["sample_id"] for row in finished]
    assert [item["rank"] for item in items] == list(range(1, ROWS + 1))


def test_an_item_is_what_the_worker_wrote(client: httpx.Client, finished: list[dict[str, Any]]) -> None:
    page = client.get(URL).json()
    assert (page["by"], page["total"], page["next"]) == ("mislabeled", ROWS, None)
    for item, row in zip(page["items"], finished, strict=True):
        assert item["score"] == row["mislabeled"]
        assert item["signals"] == {name: row[name] for name in COMPUTED}
        assert all(math.isfinite(value) for value in item["signals"].values())
        for name in ("given_label", "suggested_label", "suggested_confidence", "verdict"):
            assert item[name] == row[name]
        glitch = row["planted_kind"] and {"kind": row["planted_kind"], "original_label": row["planted_label"]}
        assert item["planted"] == glitch
        assert item["review"] is None
        assert item["sample"]["index"] == row["index"]
        assert item["sample"]["preview"]["weight"] == row["position"] / 2
        assert client.get(item["sample"]["links"]["self"]).json()["id"] == row["sample_id"]


Wanted = Callable[[dict[str, Any]], bool]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("label=dog", lambda row: row["given_label"] == "dog"),
        ("suggested=eel", lambda row: row["suggested_label"] == "eel"),
        ("verdict=anomalous", lambda row: row["verdict"] == "anomalous"),
        ("min_score=0.5", lambda row: row["mislabeled"] >= 0.5),
        ("label=cat&verdict=clean", lambda row: (row["given_label"], row["verdict"]) == ("cat", "clean")),
        ("min_score=2", lambda _row: False),
        ("min_confidence=0.7", lambda row: row["suggested_confidence"] >= 0.7),
        ("disagrees=true", lambda row: row["given_label"] != row["suggested_label"]),
        ("disagrees=false", lambda row: row["given_label"] == row["suggested_label"]),
        ("q=ROW-1", lambda row: "row-1" in row["sample_id"]),
        ("q=w-7&verdict=clean", lambda row: "w-7" in row["sample_id"] and row["verdict"] == "clean"),
        ("reviewed=true", lambda _row: False),
    ],
)
def test_filters_keep_the_order_and_count_what_they_keep(
    client: httpx.Client, finished: list[dict[str, Any]], query: str, wanted: Wanted
) -> None:
    expected = [row["sample_id"] for row in finished if wanted(row)]
    items = walk(client, f"{URL}?{query}&limit=3")
    assert [item["sample"]["id"] for item in items] == expected
    assert [item["place"] for item in items] == list(range(1, len(expected) + 1))
    ranks = {row["sample_id"]: rank for rank, row in enumerate(finished, 1)}
    assert [item["rank"] for item in items] == [ranks[name] for name in expected]
    assert client.get(f"{URL}?{query}&limit=3").json()["total"] == len(expected)


# The ranking is only read.
@hypothesis.settings(max_examples=25, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(
    query=st.fixed_dictionaries(
        {},
        optional={
            "by": st.sampled_from(COMPUTED),
            "label": st.sampled_from(["cat", "dog", "eel"]),
            "verdict": st.sampled_from(["mislabeled", "anomalous", "clean", "not_judged"]),
            "disagrees": st.booleans(),
            "min_confidence": st.floats(0, 1),
            "min_score": st.floats(0, 1),
            "q": st.sampled_from(["1", "row-2", "W-3", "x"]),
        },
    ),
    offset=st.integers(0, ROWS + 5),
    limit=st.integers(1, 9),
)
def test_a_page_by_offset_is_that_part_of_the_pages_by_cursor(
    client: httpx.Client, query: dict[str, Any], offset: int, limit: int
) -> None:
    every = walk(client, f"{URL}?{httpx.QueryParams({**query, 'limit': limit})}")
    page = client.get(URL, params={**query, "offset": offset, "limit": limit}).json()
    assert page["items"] == every[offset : offset + limit]
    assert page["total"] == len(every)
    assert (page["next"] is None) == (offset + limit >= len(every))


def test_rows_that_are_named_come_again_whatever_their_place(client: httpx.Client) -> None:
    every = {item["sample"]["id"]: item for item in client.get(f"{URL}?limit=1000").json()["items"]}
    page = client.get(URL, params={"ids": "row-30,row-3,nothing,row-3", "limit": 1}).json()
    assert {item["sample"]["id"] for item in page["items"]} == {"row-3", "row-30"}
    for item in page["items"]:
        assert {**item, "place": 0} == {**every[item["sample"]["id"]], "place": 0}
    assert (page["total"], page["next"]) == (2, None)
    refused = client.get(URL, params={"ids": ",".join(map(str, range(201)))})
    assert (refused.status_code, refused.json()["errors"][0]["loc"]) == (422, ["query", "ids"])


def test_a_cursor_and_an_offset_do_not_go_together(client: httpx.Client) -> None:
    cursor = client.get(f"{URL}?limit=5").json()["next"]
    refused = client.get(f"{URL}?offset=5&cursor={cursor}")
    assert (refused.status_code, refused.json()["errors"][0]["loc"]) == (422, ["query", "offset"])


def test_what_is_reviewed_is_filtered_as_it_is_shown(client: httpx.Client, finished: list[dict[str, Any]]) -> None:
    def shown(query: str) -> list[str]:
        return [item["sample"]["id"] for item in walk(client, f"{URL}?{query}&limit=3")]

    names = [row["sample_id"] for row in finished]
    assert shown("reviewed=false") == names
    said: list[dict[str, Any]] = [
        {"sample_id": "row-5", "decision": "relabel", "label": "cat"},
        {"sample_id": "row-8", "decision": "relabel", "label": "eel"},  # which it is called already: kept
        {"sample_id": "row-6", "decision": "keep"},
        {"sample_id": "row-7", "decision": "remove"},
        {"sample_id": "row-9", "decision": "unsure"},
        {"sample_id": "row-10", "decision": "keep"},
        {"sample_id": "row-10", "decision": "withdraw"},
    ]
    for one in said:  # one by one, with a look between: what is kept in memory follows
        client.post("/jobs/job_1/reviews", json=[one])
        reviewed = shown("reviewed=true")
        assert reviewed == [item["sample"]["id"] for item in walk(client, URL + "?limit=1000") if item["review"]]
        assert shown("reviewed=false") == [name for name in names if name not in reviewed]
    every = walk(client, URL + "?limit=1000")
    for decision in ("relabel", "keep", "remove", "unsure"):
        expected = [item["sample"]["id"] for item in every if (item["review"] or {}).get("decision") == decision]
        assert expected
        assert shown(f"decision={decision}") == expected


def test_a_cursor_loses_nothing_while_its_list_is_reviewed(client: httpx.Client) -> None:
    url, seen = f"{URL}?reviewed=false&limit=5", []
    while url:
        response = client.get(url)
        page = [item["sample"]["id"] for item in response.json()["items"]]
        client.post("/jobs/job_1/reviews", json=[{"sample_id": name, "decision": "keep"} for name in page])
        seen += page
        url = response.links["next"]["url"] if response.json()["next"] else ""
    assert len(seen) == len(set(seen)) == ROWS


def test_texts_are_searched_as_far_as_they_are_shown(client: httpx.Client, services: Services) -> None:
    texts = [f"The {'STRASSE' if number % 2 else 'straße'} {number} {'x' * 200} end" for number in range(30)]
    lines = "".join(f"{text},{'abc'[number % 3]}\n" for number, text in enumerate(texts))
    content = f"text,label\n{lines}".encode()
    spec = {"label": "label", "modality": "text"}
    made = client.post("/datasets", files={"file": ("texts.csv", content)}, data={"spec": json.dumps(spec)})
    info = find_dataset(services, made.json()["id"])
    add_job(services.database, info, "job_2")
    finish(services.database, "job_2", info)
    for part, count in (("straSSe", 30), ("e 17", 1), ("end", 0), ("row-2", 11), ("", 30)):
        assert client.get("/jobs/job_2/suspects", params={"q": part}).json()["total"] == count


def test_a_ranking_of_an_earlier_version_is_shown_as_one_whose_columns_were_written(
    client: httpx.Client, services: Services, finished: list[dict[str, Any]]
) -> None:
    info = add_dataset(services.database, "ds_2", services.blobs, rows=54, splits={"train": ROWS, "test": 13})
    add_job(services.database, info, "job_2")
    table = ranking(info)
    finish(services.database, "job_2", info, table=table)
    ranking_columns.save(services.blobs.ranking("job_2"), table, COMPUTED)
    assert not services.blobs.ranking("job_1").exists()
    for query in ("", "by=aum", "label=dog&by=si", "verdict=clean&q=3", "min_score=0.4"):
        made, written = (
            [
                (item["sample"]["id"], item["rank"])
                for item in client.get(f"/jobs/{job}/suspects?{query}").json()["items"]
            ]
            for job in ("job_1", "job_2")
        )
        assert made == written
    first, second = services.blobs.ranking("job_1"), services.blobs.ranking("job_2")
    for path in (one for one in first.iterdir() if "seal" not in one.name):
        assert path.read_bytes() == (second / path.name).read_bytes()


@pytest.mark.parametrize(
    ("query", "verdicts"),
    [
        ("by=mislabeled", {"mislabeled"}),
        ("by=anomalous", {"anomalous"}),
        ("by=si", {"mislabeled", "anomalous"}),
        ("by=si&verdict=clean", {"clean"}),
        ("by=mislabeled&label=dog", {"mislabeled"}),
    ],
)
def test_flagged_counts_the_asked_for_verdict_on_every_page(
    client: httpx.Client, finished: list[dict[str, Any]], query: str, verdicts: set[str]
) -> None:
    expected = sum(row["verdict"] in verdicts for row in finished)
    first = client.get(f"{URL}?{query}&limit=5")
    second = client.get(first.links["next"]["url"])
    assert first.json()["flagged"] == second.json()["flagged"] == expected


@pytest.mark.parametrize("by", ["anomalous", "aum"])
def test_any_computed_signal_ranks(client: httpx.Client, by: str) -> None:
    scores = [(-item["score"], item["sample"]["index"]) for item in walk(client, f"{URL}?by={by}&limit=6")]
    assert len(scores) == ROWS
    assert scores == sorted(scores)


def test_a_signal_that_is_not_there_is_refused_with_the_reason(client: httpx.Client, services: Services) -> None:
    unknown = client.get(f"{URL}?by=vibes")
    assert (unknown.status_code, unknown.json()["errors"][0]["loc"]) == (422, ["query", "by"])
    assert all(name in unknown.json()["detail"] for name in COMPUTED)
    assert "trusted reference" in client.get(f"{URL}?by=support_same").json()["detail"]
    info = add_dataset(services.database, "ds_2", services.blobs)
    add_job(services.database, info, "job_2", signals=["si"])
    finish(services.database, "job_2", info, signals=["mislabeled", "anomalous", "si"])
    assert "not among" in client.get("/jobs/job_2/suspects?by=aum").json()["detail"]
    assert set(client.get("/jobs/job_2/suspects").json()["items"][0]["signals"]) == {"mislabeled", "anomalous", "si"}


@pytest.mark.parametrize(
    "query",
    [
        "decision=withdraw",
        "offset=-1",
        "min_confidence=nan",
        "limit=0",
        "limit=1001",
        "limit=x",
        "min_score=nan",
        "min_score=inf",
        "verdict=guilty",
    ],
)
def test_what_cannot_be_meant_is_refused(client: httpx.Client, query: str) -> None:
    response = client.get(f"{URL}?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"] == ["query", query.partition("=")[0]]


def test_a_cursor_belongs_to_its_query(client: httpx.Client) -> None:
    cursor = client.get(f"{URL}?limit=5").json()["next"]
    assert client.get(f"{URL}?limit=9&cursor={cursor}").json()["items"][0]["rank"] == 6
    for query in ("q=1", "by=si", "label=dog", "min_score=0", "verdict=clean"):
        assert client.get(f"{URL}?{query}&cursor={cursor}").status_code == 400
    for broken in ("x", cursor[:-3], "e30", "W10", "é", "%2B", "WzFd" * 50):
        assert client.get(f"{URL}?cursor={broken}").status_code == 400


def test_before_completion_the_state_and_a_wait_are_told(client: httpx.Client, services: Services) -> None:
    add_job(services.database, add_dataset(services.database, "ds_2"), "job_2")
    for path in ("suspects", "signals", "groups", "verify-next", "samples/row-1"):
        response = client.get(f"/jobs/job_2/{path}")
        assert (response.status_code, response.json()["state"]) == (409, "queued")
        assert int(response.headers["Retry-After"]) > 0


def test_everything_about_one_sample(client: httpx.Client, finished: list[dict[str, Any]]) -> None:
    row = next(row for row in finished if row["index"] == 5)
    found = client.get("/jobs/job_1/samples/row-5").json()
    assert (found["held_out"], found["verdict"], found["given_label"]) == (False, "mislabeled", row["given_label"])
    assert found["planted"]["original_label"] == row["planted_label"]
    assert set(found["signals"]) == set(COMPUTED)
    assert found["signals"]["mislabeled"] == {"value": row["mislabeled"], "rank": finished.index(row) + 1}
    assert found["features"] == {"weight": 2.5, "colour": "colour 0"}
    assert found["trajectory"]["epochs"] == [1, 2, 3]
    assert found["trajectory"]["margin"] == [0.25, -0.5, -1.0]
    assert found["trajectory"]["class_influence"] == {"eel": [2, 2, 2], "cat": [-3, -3, -3]}
    link = "/datasets/ds_1/samples/row-6"
    assert found["supporting"] == [
        {"id": "row-6", "label": "cat", "influence": 2.5, "by_checkpoint": [1, 2, -0.5], "link": link}
    ]
    assert [(one["id"], one["influence"]) for one in found["opposing"]] == [("row-0", -4.5), ("row-3", -2)]
    assert found["witnesses"] == {"class": "cat", "looked_at": 4, "against": [1, 4, 3]}
    assert "2 of 3 checkpoints" in found["reason"]
    assert "from epoch 2 on, most of the 4 reference samples labelled cat" in found["reason"]
    assert "2 of class cat" in found["reason"]


def test_a_sample_that_is_no_strong_suspect_has_sums_only(client: httpx.Client) -> None:
    found = client.get("/jobs/job_1/samples/row-8").json()
    assert found["witnesses"] is None
    assert [(one["id"], one["influence"]) for one in found["opposing"]] == [("row-4", -2), ("row-1", -1)]
    assert [one["by_checkpoint"] for one in (*found["supporting"], *found["opposing"])] == [None] * 3
    assert "push against it" not in found["reason"]


def test_a_sample_without_evidence_still_has_its_scores(client: httpx.Client, services: Services) -> None:
    services.blobs.remove(services.blobs.evidence("job_1"))
    found = client.get("/jobs/job_1/samples/row-5").json()
    assert (found["trajectory"], found["supporting"], found["opposing"]) == (None, [], [])
    assert set(found["signals"]) == set(COMPUTED)


def test_ranks_of_a_sample_are_its_places_in_the_rankings(client: httpx.Client) -> None:
    signals = client.get("/jobs/job_1/samples/row-8").json()["signals"]
    for by in ("anomalous", "si", "knn_vote"):
        order = [item["sample"]["id"] for item in client.get(f"{URL}?by={by}&limit=1000").json()["items"]]
        assert signals[by]["rank"] == order.index("row-8") + 1


def test_a_held_out_sample_says_why(client: httpx.Client, services: Services) -> None:
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({}, "row-50", "split test, which takes no part"),
        ({"reference": {"split": "test"}}, "row-50", "split test, which serves as the reference"),
        ({"reference": {"holdout": 0.5}}, "row-7", "part of the reference"),
    ]
    for number, (options, sample, words) in enumerate(cases, 2):
        info = add_dataset(
            services.database, f"ds_{number}", services.blobs, rows=54, splits={"train": ROWS, "test": 13}
        )
        add_job(services.database, info, f"job_{number}", **options)
        # The ranking has the first rows only.
        finish(services.database, f"job_{number}", info.model_copy(update={"splits": {"train": 6}}))
        found = client.get(f"/jobs/job_{number}/samples/{sample}").json()
        assert (found["held_out"], found["signals"], found["verdict"]) == (True, {}, None)
        assert words in found["reason"]
    assert client.get("/jobs/job_1/samples/row-99").status_code == 404


def test_signals_are_described_with_their_summaries(client: httpx.Client) -> None:
    found = client.get("/jobs/job_1/signals").json()
    assert [one["name"] for one in found["items"]] == COMPUTED
    assert found["total"] == len(COMPUTED)
    for one in found["items"]:
        signal = SIGNALS[one["name"]]
        assert (one["title"], one["high"], one["source"], one["cost"]) == (
            signal.title,
            signal.high,
            signal.source,
            signal.cost,
        )
        assert one["histogram"] == {"edges": [0, 0.5, 1], "counts": [3, 6]}
        assert one["quantiles"]["0.5"] == 0.5
        assert set(one["correlations"]) == set(COMPUTED) - {one["name"]}
        assert one["detection"] is None


def test_verification_is_proposed_in_the_order_that_the_worker_found(client: httpx.Client, services: Services) -> None:
    with services.database.read() as connection:
        positions = rankings.summaries(connection, "job_1")["proposals"]["positions"]
    found = client.get("/jobs/job_1/verify-next?count=1000").json()["items"]
    assert [one["sample"]["index"] for one in found] == positions
    assert sorted(positions) == list(range(ROWS))
    assert client.get("/jobs/job_1/verify-next?count=6").json()["items"] == found[:6]
    body = {"dataset": "ds_1", "reference": {"samples": [one["sample"]["id"] for one in found[:6]]}}
    assert client.post("/jobs", json=body).status_code == 202


def test_what_was_reviewed_is_not_proposed_for_verification_again(client: httpx.Client) -> None:
    before = [one["sample"]["id"] for one in client.get("/jobs/job_1/verify-next?count=1000").json()["items"]]

    def say(sample_id: str, decision: str) -> None:
        assert client.post("/jobs/job_1/reviews", json=[{"sample_id": sample_id, "decision": decision}]).is_success

    for sample_id, decision in zip(before, ("keep", "unsure", "remove"), strict=False):
        say(sample_id, decision)
    left = client.get("/jobs/job_1/verify-next?count=4").json()["items"]
    assert [one["sample"]["id"] for one in left] == before[3:7]
    say(before[1], "withdraw")
    left = client.get("/jobs/job_1/verify-next?count=4").json()["items"]
    assert [one["sample"]["id"] for one in left] == [before[1], *before[3:6]]


def test_why_a_sample_is_proposed_is_told_with_its_numbers(client: httpx.Client, services: Services) -> None:
    def why(turn: int, closer: int, among: int) -> str:
        told = {"positions": [4], "turns": [turn], "closer": [closer], "among": [among]}
        with services.database.write() as connection:
            rankings.save_summaries(connection, "job_1", {"proposals": told})
        (one,) = client.get("/jobs/job_1/verify-next").json()["items"]
        return str(one["why"])

    assert why(0, 13, 13) == "Of 14 samples labelled dog that were looked at, none is more typical."
    assert why(0, 0, 0) == "The only sample labelled dog."
    assert why(2, 5, 13) == "Closer to it than to any earlier proposal: 5 of 11 other samples labelled dog."
    assert why(1, 0, 2) == "Closer to it than to any earlier proposal: 0 of 1 other sample labelled dog."
    assert why(2, 0, 2) == "The last of the samples labelled dog that were looked at."


def test_a_job_that_proposed_nothing_has_an_empty_list(client: httpx.Client, services: Services) -> None:
    with services.database.write() as connection:
        rankings.save_summaries(connection, "job_1", {})
    answer = client.get("/jobs/job_1/verify-next").json()
    assert answer == {"items": [], "total": 0, "confidence": "probability", "note": None}


def test_rows_that_were_not_judged_are_filtered_exported_and_explained(
    client: httpx.Client, services: Services
) -> None:
    info = add_dataset(services.database, "ds_2", services.blobs)
    add_job(services.database, info, "job_2")
    table = ranking(info)
    verdicts = ["not_judged" if verdict == "clean" else verdict for verdict in table["verdict"].to_pylist()]
    table = table.set_column(table.column_names.index("verdict"), "verdict", pa.array(verdicts))
    finish(services.database, "job_2", info, blobs=services.blobs, table=table)
    url, expected = "/jobs/job_2/suspects", verdicts.count("not_judged")
    found = client.get(f"{url}?verdict=not_judged").json()
    assert found["total"] == found["flagged"] == expected > 0
    assert {item["verdict"] for item in found["items"]} == {"not_judged"}
    assert client.get(f"{url}?verdict=clean").json()["total"] == 0
    assert client.get(f"{url}?format=csv&verdict=not_judged").text.count(",not_judged,") == expected
    name = found["items"][0]["sample"]["id"]
    assert client.get(f"/jobs/job_2/samples/{name}").json()["verdict"] == "not_judged"
    review = {"sample_id": name, "decision": "keep"}
    assert client.post("/jobs/job_2/reviews", json=[review]).status_code in (200, 201)
    summary = client.get("/jobs/job_2/reviews/summary").json()
    assert summary["by_verdict"]["not_judged"]["decided"] == 1
    assert summary["flagged"] == len(verdicts) - expected


def test_estimates_of_earlier_versions_have_a_status_and_warnings_a_title(client: httpx.Client) -> None:
    result = client.get("/jobs/job_1").json()["result"]
    assert result["estimates"]["mislabeled"]["status"] == "rough"
    assert result["estimates"]["anomalous"]["status"] == "unknown"
    assert result["estimates"]["anomalous"]["reason"]
    assert all(warning["title"] and warning["action"] is None for warning in result["warnings"])
