"""Rows of a dataset before any job, the values that are usual in them, and what became of it."""

from typing import Any

import httpx
import numpy as np
import pytest

from service.services import Services
from tests.builders import add_dataset, add_finished, form, image_zip

ROWS = 54


@pytest.fixture(autouse=True)
def stored(services: Services, client: httpx.Client) -> None:
    add_dataset(services.database, "ds_1", services.blobs, rows=ROWS)


def walk(client: httpx.Client, url: str) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    while url:
        response = client.get(url)
        assert response.status_code == httpx.codes.OK
        seen += response.json()["items"]
        url = response.links["next"]["url"] if response.json()["next"] else ""
    return seen


@pytest.mark.parametrize("limit", [1, 7, 54, 1000])
def test_rows_by_offset_are_that_part_of_the_rows_by_cursor(client: httpx.Client, limit: int) -> None:
    every = walk(client, f"/datasets/ds_1/samples?limit={limit}")
    assert [one["id"] for one in every] == [f"row-{number}" for number in range(ROWS)]
    for offset in (0, 1, 50, 54, 10**12):
        page = client.get("/datasets/ds_1/samples", params={"offset": offset, "limit": limit}).json()
        assert (page["items"], page["total"]) == (every[offset : offset + limit], ROWS)
        assert (page["next"] is None) == (offset + limit >= ROWS)


def test_a_row_is_what_it_is_alone(client: httpx.Client) -> None:
    images = form(image_zip(["a/1.png", "b/1.png"]), "images.zip", {"id": "file_name"})
    made = client.post("/datasets", **images).json()["id"]
    for dataset_id in ("ds_1", made):
        for one in client.get(f"/datasets/{dataset_id}/samples?limit=3").json()["items"]:
            alone = client.get(one["links"]["self"]).json()
            assert {name: one[name] for name in ("id", "index", "split", "label", "links")} == {
                name: alone[name] for name in ("id", "index", "split", "label", "links")
            }
    assert client.get(one["links"]["media"]).status_code == httpx.codes.OK


def test_the_profile_has_the_quantiles_and_frequencies_of_each_class(client: httpx.Client) -> None:
    rows = [client.get(f"/datasets/ds_1/samples/row-{number}").json() for number in range(ROWS)]
    found = client.get("/datasets/ds_1/profile").json()
    assert found["left_out"] == {"features": 0, "classes": 0, "rows": 0}
    weight, colour = found["features"]
    for label, told in [(None, weight["overall"]), *((one["label"], one) for one in weight["by_class"])]:
        values = [row["features"]["weight"] for row in rows if label in (None, row["label"])]
        assert told["quantiles"] == pytest.approx(np.quantile(values, found["quantiles"]).tolist())
        assert (told["count"], told["missing"]) == (len(values), 0)
    for label, told in [(None, colour["overall"]), *((one["label"], one) for one in colour["by_class"])]:
        values = [row["features"]["colour"] for row in rows if label in (None, row["label"])]
        counts = {one["value"]: one["count"] for one in told["values"]}
        assert counts == {value: values.count(value) for value in set(values) - {None}}
        assert (told["missing"], told["other"]) == (values.count(None), 0)
    assert client.get("/datasets/ds_1/profile").json() == found


def test_the_profile_of_texts_has_the_words_that_are_typical_of_each_class(client: httpx.Client) -> None:
    kinds = [("goal", "sport"), ("bank", "money")]
    lines = [f"a {kinds[number % 2][0]} in news {number},{kinds[number % 2][1]}" for number in range(40)]
    made = client.post("/datasets", **form("\n".join(["text,label", *lines]).encode(), "news.csv")).json()
    assert made["modality"] == "text"
    found = client.get(f"/datasets/{made['id']}/profile").json()["typical_words"]
    assert {one["label"]: (one["texts"], one["words"]) for one in found} == {
        label: (20, [{"word": word, "texts": 20, "share": 1.0, "elsewhere": 0.0}])
        for label, word in (("sport", "goal"), ("money", "bank"))
    }
    assert client.get("/datasets/ds_1/profile").json()["typical_words"] == []


def test_a_wide_dataset_of_many_classes_says_what_its_profile_leaves_out(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, most in (("MOST_FEATURES", 1), ("MOST_CLASSES", 2), ("MOST_VALUES", 1), ("_MOST_ROWS", 30)):
        monkeypatch.setattr(f"service.ingest.profile.{name}", most)
    found = client.get("/datasets/ds_1/profile").json()
    assert len(found["features"]) == 1
    assert len(found["features"][0]["by_class"]) == 2
    assert found["left_out"] == {"features": 1, "classes": 1, "rows": ROWS - found["rows"]}
    assert 0 < found["rows"] <= 30


def test_a_dataset_says_what_became_of_it(client: httpx.Client, services: Services) -> None:
    add_finished(services.database, services.blobs, dataset_id="ds_2", rows=ROWS)
    client.post("/jobs/job_1/reviews", json=[{"sample_id": "row-4", "decision": "relabel", "label": "cat"}])
    made = client.post("/datasets/ds_2/versions", json={"job": "job_1", "apply": "reviews"}).json()["id"]
    told = {one["id"]: (one["jobs"], one["version"], one["parent"]) for one in client.get("/datasets").json()["items"]}
    assert told == {"ds_1": (0, 1, None), "ds_2": (1, 1, None), made: (0, 2, "ds_2")}
    assert client.get(f"/datasets/{made}").json()["version"] == 2
