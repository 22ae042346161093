"""The report over HTTP: its numbers, labels, planted errors and reviews are those of the API."""

from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from service.domain.signal import SIGNALS
from service.domain.specs import Loop
from service.services import Services
from service.store import datasets, loops, rankings, tables
from tests.builders import add_finished, add_job, finish, play_rescoring, ranking_of
from tests.unit.api.reports import ROWS, html, markdown, plant, rows_of


@pytest.fixture(autouse=True)
def finished(services: Services, client: httpx.Client) -> None:
    """A completed job over a table."""
    add_finished(services.database, services.blobs, rows=54, splits={"train": ROWS, "test": 13})


@pytest.mark.parametrize("show", [html, markdown])
def test_its_numbers_are_those_of_the_api(client: httpx.Client, show: Any) -> None:
    page = show(client)
    items = client.get("/jobs/job_1/suspects", params={"limit": 50}).json()["items"]
    listed = rows_of(page)
    assert [sample for sample, _ in listed] == [item["sample"]["id"] for item in items]
    for (_, said), item in zip(listed, items, strict=True):
        fits = item["suggested_label"] == item["given_label"]
        assert str(item["rank"]) in said.split()
        assert item["given_label"] in said
        assert item["suggested_label"] in said
        assert f"{100 * item['suggested_confidence']:.0f} %" in said or (fits and show is html)
        assert str(item["sample"]["preview"]["colour"] or "missing") in said
        assert ("looks unlike its class" in said) == (item["verdict"] == "anomalous")
    signals = {one["name"]: one for one in client.get("/jobs/job_1/signals").json()["items"]}
    rows = page.table("Signal", "A high value means")
    assert [row["Signal"] for row in rows] == list(signals)
    for row in rows:
        assert row["A high value means"] == f"{SIGNALS[row['Signal']].title}: {SIGNALS[row['Signal']].high}"
        assert row["Median"] == f"{signals[row['Signal']]['quantiles']['0.5']:.4g}"
    result = client.get("/jobs/job_1").json()["result"]
    for warning in result["warnings"]:
        assert warning["detail"] in page.text
    assert f"About {result['estimates']['mislabeled']['count']} of {ROWS} labels look wrong" in page.text
    assert "Likely between 1 and 3." in page.text


@pytest.mark.parametrize("show", [html, markdown])
def test_labels_are_counted_as_the_ranking_has_them(client: httpx.Client, show: Any) -> None:
    items = client.get("/jobs/job_1/suspects?limit=1000").json()["items"]
    page = show(client)
    rows = page.table("Class", "Samples", "Labels that look wrong")
    assert {row["Class"] for row in rows} == {"cat", "dog", "eel"}
    for row in rows:
        mine = [item["verdict"] for item in items if item["given_label"] == row["Class"]]
        assert [int(row[name]) for name in ("Samples", "Labels that look wrong", "Unlike the class")] == [
            len(mine),
            mine.count("mislabeled"),
            mine.count("anomalous"),
        ]
        flagged = 1 - mine.count("clean") / len(mine)
        assert row["Share flagged"] == f"{100 * flagged:.1f} %"
    for row in page.table("Given label", "Suggested label", "Samples"):
        pair = (row["Given label"], row["Suggested label"])
        assert int(row["Samples"]) == sum(
            (item["given_label"], item["suggested_label"], item["verdict"]) == (*pair, "mislabeled") for item in items
        )


@pytest.mark.parametrize("show", [html, markdown])
def test_what_cannot_be_told_is_said_with_the_reason_and_the_cure(
    client: httpx.Client, services: Services, show: Any
) -> None:
    with services.database.write() as connection:
        stored = connection.execute(sa.select(tables.jobs.c.result)).scalar_one()
        unknown = {
            "count": 0,
            "low": 0,
            "high": ROWS,
            "status": "unknown",
            "reason": "The classes overlap. Verify at least 150.",
        }
        warning = {
            "code": "no_trusted_reference",
            "title": "Nothing is verified",
            "detail": "x",
            "action": {"kind": "verify", "label": "Verify 50 samples", "count": 50},
        }
        changed = {
            **stored,
            "estimates": {**stored["estimates"], "mislabeled": unknown},
            "warnings": [warning],
        }
        connection.execute(tables.jobs.update().values(result=changed))
    text = " ".join(show(client).text.split())
    assert "Cannot tell how many labels are wrong" in text
    assert text.count("Cannot tell") - text.count("“Cannot tell”") == 1
    assert text.count("The classes overlap. Verify at least 150.") == 1
    assert "What to do" not in text
    assert "Verify 50 samples to improve the ranking." in text
    assert "Nothing is verified" in text
    assert "looks fine" not in text
    assert "not judged" in text


@pytest.mark.parametrize("show", [html, markdown])
def test_what_was_planted_and_found_is_told_by_kind(client: httpx.Client, services: Services, show: Any) -> None:
    plant(services)
    page = show(client)
    tables = [table for table in page.tables if table[0][:2] == ["Signal", "What it is"]]
    signals = client.get("/jobs/job_1/signals").json()["items"]
    for table, kind in zip(tables, ("all", "duplicate", "mislabeled_pair"), strict=True):
        found = {one["name"]: one["detection"] if kind == "all" else one["detection_by_kind"][kind] for one in signals}
        best = sorted(found, key=lambda name: -found[name]["average_precision"])
        measures = ("precision", "recall", "f1", "average_precision", "auroc")
        expected = [[name, SIGNALS[name].title, *(f"{found[name][one]:.3f}" for one in measures)] for name in best]
        assert [[cell.strip() for cell in row] for row in table[1:]] == expected
    assert "mislabeled pair: 5 samples" in page.text
    planted = {row["sample_id"] for row in _ranked(services) if row["planted_kind"]}
    assert {sample for sample, said in rows_of(page) if "planted: was " in said} == planted


def _ranked(services: Services) -> list[Any]:
    with services.database.read() as connection:
        columns = services.open_rankings.get(connection, services.blobs, "job_1").columns
        return list(rankings.top(connection, "job_1", columns, "mislabeled", 1000))


@pytest.mark.parametrize("show", [html, markdown])
def test_reviews_are_told_with_their_precision(client: httpx.Client, show: Any) -> None:
    assert f"{'n' if show is html else 'N'}obody has " in show(client).text
    flagged = [
        item for item in client.get("/jobs/job_1/suspects?limit=50").json()["items"] if item["verdict"] == "mislabeled"
    ]
    wrong, right = flagged[0], flagged[1]
    decisions = [
        {"sample_id": wrong["sample"]["id"], "decision": "relabel", "label": wrong["suggested_label"]},
        {"sample_id": right["sample"]["id"], "decision": "keep"},
    ]
    client.post("/jobs/job_1/reviews", json=decisions)
    summary = client.get("/jobs/job_1/reviews/summary").json()
    page = show(client)
    row = page.table("Of", "Decided", "Wrong")[0]
    assert (row["Decided"], row["Wrong"], row["Share wrong"]) == ("2", "1", "50.0 %")
    for bound in ("low", "high"):
        assert f"{100 * summary['precision'][bound]:.1f} %" in " ".join(row.values())
    said = dict(rows_of(page))
    assert "reviewed: wrong, relabelled as suggested" in said[wrong["sample"]["id"]]
    assert "reviewed: label was right" in said[right["sample"]["id"]]


@pytest.mark.parametrize("show", [html, markdown])
def test_reviews_of_samples_that_are_not_flagged_count_and_a_rescoring_by_them_is_told(
    client: httpx.Client, services: Services, show: Any
) -> None:
    (services.blobs.checkpoints("job_1") / "00001.pt").touch()
    said: list[dict[str, Any]] = [{"sample_id": f"row-{row}", "decision": "keep"} for row in range(8, 20)]
    said[-1] |= {"decision": "relabel", "label": "eel"}  # it is a dog
    client.post("/jobs/job_1/reviews", json=said).raise_for_status()
    before = " ".join(show(client).text.split())
    assert "12 ranked samples are verified by now; scoring again would use that." in before
    client.post("/jobs/job_1/rescore").raise_for_status()
    play_rescoring(services, range(ROWS))  # of the first ten, which are flagged, two are reviewed
    page, job = show(client), client.get("/jobs/job_1").json()
    text = " ".join(page.text.split())
    assert (job["reviewed"], job["verified"], job["result"]["rescored"]["samples"]) == (12, 12, 12)
    assert "1 of 12 reviewed was wrong; 0 of the 2 flagged ones among them" in text
    assert "12 samples that people have verified since, by which the samples were scored again." in text
    assert "nobody has verified" not in text
    assert "that needs 150 verified samples; 12 are verified" in text
    rows = {row["Of"]: (row["Decided"], row["Wrong"]) for row in page.table("Of", "Decided", "Wrong")}
    assert (rows["all samples"], rows["all flagged samples"]) == (("12", "1"), ("2", "0"))
    counted = page.table("Decision", "All samples", "Flagged samples")
    assert {row["Decision"]: (row["All samples"], row["Flagged samples"]) for row in counted} == {
        "label was right": ("11", "2"),
        "wrong, relabelled as suggested": ("1", "0"),
    }


@pytest.mark.parametrize("show", [html, markdown])
def test_a_review_of_another_job_of_the_chain_is_told_in_the_words_of_this_one(
    client: httpx.Client, services: Services, show: Any
) -> None:
    # Relabelled, run again over that, and then kept after all: in the second job that is a relabelling back.
    one = next(item for item in client.get("/jobs/job_1/suspects?limit=50").json()["items"] if not item["planted"])
    name, other = one["sample"]["id"], next(label for label in ("cat", "dog", "eel") if label != one["given_label"])
    say = {"sample_id": name, "decision": "relabel", "label": other}
    client.post("/jobs/job_1/reviews", json=[say])
    version = client.post("/datasets/ds_1/versions", json={"job": "job_1", "apply": "reviews"}).json()
    with services.database.read() as connection:
        info = datasets.get(connection, version["id"])
    assert info is not None
    add_job(services.database, info, "job_2")
    finish(services.database, "job_2", info, table=ranking_of(services.blobs, info))
    with services.database.write() as connection:
        loops.add(connection, "job_1", Loop(after=1))
        loops.set_next_job(connection, "job_1", "job_2")
    client.post("/jobs/job_1/reviews", json=[{"sample_id": name, "decision": "keep"}])
    listed = client.get("/jobs/job_2/suspects?limit=50").json()["items"]
    item = next(item for item in listed if item["sample"]["id"] == name)
    review, suggested = item["review"], item["suggested_label"]
    assert (review["decision"], review["label"]) == ("relabel", one["given_label"])
    decided = "as suggested" if one["given_label"] == suggested else f"to {one['given_label']}"
    said = dict(rows_of(show(client, "/jobs/job_2/report")))
    assert f"reviewed: wrong, relabelled {decided}" in said[name]
