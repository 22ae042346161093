"""A ranking as a whole over HTTP: its map, cut-offs, classes and planted errors."""

from collections import Counter
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from service.domain.cut_off import Band, band_ends, share_by_reviews
from service.domain.dataset import DatasetInfo
from service.services import Services
from service.store import ranking_columns
from tests.builders import (
    COMPUTED,
    add_dataset,
    add_finished,
    add_job,
    finish,
    ranking,
    tell_only_the_order,
)

ROWS = 41
JOB = "/jobs/job_1"
SQUARE = "pca:-0.5,-0.5;0.5,-0.5;0.5,0.5;-0.5,0.5"


def places(rows: int) -> np.ndarray[Any, Any]:
    """Coordinates of rows in the order of the upload: on a spiral."""
    turn = np.arange(rows) / 5
    return np.stack([turn / 8 * np.cos(turn), turn / 8 * np.sin(turn)], 1).astype(np.float32)


def wrong(rows: int) -> np.ndarray[Any, Any]:
    return (np.arange(rows) % 10 / 10).astype(np.float32)


@pytest.fixture
def info(services: Services) -> DatasetInfo:
    """A job as a worker of today leaves it, its rows in another order than that of the upload."""
    found = add_finished(services.database, services.blobs, rows=54, splits={"train": ROWS, "test": 13})
    order = np.random.default_rng(0).permutation(ROWS)
    columns = {"map-pca": places(ROWS)[order], "wrong": wrong(ROWS)[order]}
    ranking_columns.save(services.blobs.ranking("job_1"), ranking(found).take(pa.array(order)), COMPUTED, columns)
    return found


@pytest.fixture
def scores(info: DatasetInfo) -> list[dict[str, Any]]:
    return sorted(ranking(info).to_pylist(), key=lambda row: (-row["mislabeled"], row["index"]))


def test_a_map_has_every_sample_at_its_place(client: httpx.Client, scores: list[dict[str, Any]]) -> None:
    found = client.get(f"{JOB}/map").json()
    points = found["points"]
    assert (found["methods"], found["samples"], found["placed"], found["note"]) == (["pca"], ROWS, ROWS, None)
    by_id = {row["sample_id"]: row for row in scores}
    for place, name in enumerate(points["id"]):
        row = by_id[name]
        assert (points["x"][place], points["y"][place]) == pytest.approx(places(ROWS)[row["index"]].tolist(), abs=1e-4)
        assert found["labels"][points["label"][place]] == row["given_label"]
        assert found["labels"][points["suggested"][place]] == row["suggested_label"]
        assert found["verdicts"][points["verdict"][place]] == row["verdict"]
        assert points["decision"][place] == -1
    assert len(points["id"]) == ROWS


def test_a_map_is_bounded_shows_flagged_samples_first_and_is_the_same_again(
    client: httpx.Client, scores: list[dict[str, Any]]
) -> None:
    flagged = [row["sample_id"] for row in scores if row["verdict"] in ("mislabeled", "anomalous")]
    few = client.get(f"{JOB}/map?limit=20").json()["points"]
    assert len(few["id"]) == 20
    assert set(flagged[:15]) <= set(few["id"])
    assert len(set(few["label"])) == 3
    assert client.get(f"{JOB}/map?limit=20").json()["points"] == few


def test_a_map_shows_the_decision_that_holds(client: httpx.Client, info: DatasetInfo) -> None:
    client.post(f"{JOB}/reviews", json=[{"sample_id": "row-3", "decision": "remove"}])
    found = client.get(f"{JOB}/map").json()
    decision = found["points"]["decision"][found["points"]["id"].index("row-3")]
    assert found["decisions"][decision] == "remove"


def test_a_region_selects_exactly_the_samples_inside(client: httpx.Client, info: DatasetInfo) -> None:
    inside = {f"row-{row}" for row in np.flatnonzero((np.abs(places(ROWS)) < 0.5).all(1)).tolist()}
    found = client.get(f"{JOB}/suspects", params={"region": SQUARE, "limit": 100}).json()
    assert {item["sample"]["id"] for item in found["items"]} == inside
    assert 0 < found["total"] == len(inside) < ROWS
    bulk = {"filter": {"region": SQUARE, "label": "cat"}, "decision": "unsure"}
    counted = client.get(f"{JOB}/suspects", params={"region": SQUARE, "label": "cat"}).json()["total"]
    assert client.post(f"{JOB}/reviews/bulk", json=bulk).json()["written"] == counted


@pytest.mark.parametrize(
    "region", ["pca:0,0;1,1", "tsne:0,0;1,0;1,1", "pca:0,0;1,0;a,1", "pca:0,0;1,0;nan,1", "umap:0,0;1,0;1,1"]
)
def test_a_region_that_is_none_is_refused_by_name(client: httpx.Client, info: DatasetInfo, region: str) -> None:
    refused = client.get(f"{JOB}/suspects", params={"region": region})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["loc"][-1] == "region"
    refused = client.post(f"{JOB}/reviews/bulk", json={"filter": {"region": region}, "decision": "keep"})
    assert refused.status_code == 422


def test_a_job_without_a_map_says_why(client: httpx.Client, services: Services) -> None:
    add_finished(services.database, services.blobs)
    found = client.get(f"{JOB}/map").json()
    assert (found["methods"], found["points"]["id"]) == ([], [])
    assert "Run the job again" in found["note"]


@pytest.mark.parametrize("by", ["mislabeled", "si"])
def test_a_cut_off_flags_what_the_filter_shows_and_expects_the_mean_probability(
    client: httpx.Client, info: DatasetInfo, by: str
) -> None:
    found = client.get(f"{JOB}/cut-offs", params={"by": by}).json()
    assert (found["basis"], found["why_not"]) == ("probability", None)
    assert found["items"][-1]["flagged"] == ROWS
    for item in found["items"]:
        page = client.get(f"{JOB}/suspects", params={"by": by, "min_score": item["score"], "limit": 100}).json()
        assert page["total"] == item["flagged"]
        index = [one["sample"]["index"] for one in page["items"]]
        assert item["expected"] == pytest.approx(float(wrong(ROWS)[index].mean()), abs=1e-6)


def test_cut_offs_expect_nothing_where_confidence_is_only_an_order(client: httpx.Client, services: Services) -> None:
    add_finished(services.database, services.blobs)
    tell_only_the_order(services.database)
    found = client.get(f"{JOB}/cut-offs").json()
    assert found["basis"] is None
    assert "not measured" in found["why_not"]
    assert {item["expected"] for item in found["items"]} == {None}


def test_cut_offs_say_where_nothing_is_known(client: httpx.Client, info: DatasetInfo) -> None:
    found = client.get(f"{JOB}/cut-offs?by=anomalous").json()
    assert found["basis"] is None
    assert found["why_not"]
    assert {item["expected"] for item in found["items"]} == {None}


def test_reviews_tell_the_share_once_there_are_enough_everywhere(
    client: httpx.Client, scores: list[dict[str, Any]]
) -> None:
    ids = [row["sample_id"] for row in scores]
    first = [{"sample_id": name, "decision": "remove"} for name in ids[:12]]
    client.post(f"{JOB}/reviews", json=first)
    items = client.get(f"{JOB}/cut-offs").json()["items"]
    assert all(item["reviewed"] is None for item in items if item["flagged"] > 24)
    client.post(f"{JOB}/reviews", json=[{"sample_id": name, "decision": "keep"} for name in ids[12:]])
    last = client.get(f"{JOB}/cut-offs").json()["items"][-1]
    assert last["decided"] == ROWS
    assert last["reviewed"] == pytest.approx({"share": 12 / ROWS, "low": 12 / ROWS, "high": 12 / ROWS})


def test_a_share_by_reviews_counts_each_band_by_its_size() -> None:
    assert band_ends(100) == [12, 25, 50, 100]
    assert band_ends(1) == [1]
    found = share_by_reviews([Band(10, 10, 10), Band(90, 30, 3)])
    assert found is not None
    assert found.share == pytest.approx((10 + 9) / 100)
    assert found.low < found.share < found.high
    assert share_by_reviews([Band(50, 40, 40), Band(50, 4, 0)]) is None


def test_class_health_counts_each_class(client: httpx.Client, info: DatasetInfo) -> None:
    client.post(
        f"{JOB}/reviews",
        json=[{"sample_id": "row-0", "decision": "remove"}, {"sample_id": "row-3", "decision": "keep"}],
    )
    rows = ranking(info).to_pylist()
    items = client.get(f"{JOB}/classes").json()["items"]
    shares = [(one["mislabeled"] + one["anomalous"]) / one["samples"] for one in items]
    assert shares == sorted(shares, reverse=True)
    for item in items:
        own = [row for row in rows if row["given_label"] == item["label"]]
        other = Counter(row["suggested_label"] for row in own if row["suggested_label"] != item["label"])
        assert item["samples"] == len(own)
        assert item["mislabeled"] == sum(row["verdict"] == "mislabeled" for row in own)
        assert (item["confused_with"], item["confused"]) == other.most_common(1)[0]
        assert (item["decided"], item["wrong"]) == ((2, 1) if item["label"] == "cat" else (0, 0))


def test_curves_of_planted_errors_end_with_all_of_them(client: httpx.Client, scores: list[dict[str, Any]]) -> None:
    found = client.get(f"{JOB}/planted-errors?signals=mislabeled,si").json()
    planted = [row["planted_kind"] is not None for row in scores]
    assert found["kinds"] == {"mislabeled_uniform": sum(planted)}
    assert [item["signal"] for item in found["items"]] == ["mislabeled", "si"]
    for point in found["items"][0]["points"]:
        hits = sum(planted[: point["flagged"]])
        assert point["precision"] == pytest.approx(hits / point["flagged"])
        assert point["recall"] == pytest.approx(hits / sum(planted))
    assert found["items"][0]["points"][-1]["recall"] == 1
    assert client.get(f"{JOB}/planted-errors?kind=swap").status_code == 422


def test_nothing_planted_has_no_curves(client: httpx.Client, services: Services) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    add_job(services.database, info)
    table = ranking(info)
    place = table.schema.get_field_index("planted_kind")
    finish(
        services.database,
        "job_1",
        info,
        table=table.set_column(place, "planted_kind", pa.nulls(len(table), pa.string())),
    )
    assert client.get(f"{JOB}/planted-errors").json() == {"kinds": {}, "items": [], "total": 0}
