"""Texts of CSV files that a spreadsheet program would compute are shown instead; an upload's own values come back as they were."""

import csv
import io
from typing import Any

import httpx
import pytest

from service.domain.spreadsheet import shown
from service.services import Services
from tests.unit.api.downloads import corrected, downloaded, uploaded

ACTIVE = ["=1+1", "+cmd", "-x", "@sum", "plain"]
LABELS = ["-1", "+1", "=2"]


def table() -> bytes:
    """Names of columns, ids, categories and labels that a spreadsheet would compute, beside negative numbers."""
    lines = [f"=id{i},{ACTIVE[i % 5]},-{i}.5,{LABELS[i % 3]}" for i in range(30)]
    return "\r\n".join(["id,=kind,size,label", *lines, ""]).encode()


def rows(content: str) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(content, newline="")))


@pytest.mark.parametrize("value", ["-1", "+1.5e-3", "-.5", "1", "", "a=b", -2, -0.5, None, "'=1"])
def test_numbers_and_harmless_texts_stay_as_they_are(value: object) -> None:
    assert shown(value) is value


@pytest.mark.parametrize("value", ["=1", "+1+1", "-1-1", "@a", "\ta", "\ra", "-", "-nan", "+1_0"])
def test_a_text_that_would_be_computed_has_an_apostrophe_before_it(value: str) -> None:
    assert shown(value) == f"'{value}"


def test_tables_of_a_dataset_are_safe_to_open_and_raw_on_request(client: httpx.Client) -> None:
    dataset = uploaded(client, table(), "a.csv", id="id", label="label")["id"]
    url = f"/datasets/{dataset}/download"
    safe, raw = client.get(url, params={"format": "csv"}), client.get(url, params={"format": "csv", "raw": "true"})
    assert (safe.headers["X-Spreadsheet-Safe"], "X-Spreadsheet-Safe" in raw.headers) == ("true", False)
    assert [row["'=kind"] for row in rows(safe.text)[:5]] == ["'=1+1", "'+cmd", "'-x", "'@sum", "plain"]
    assert [row["=kind"] for row in rows(raw.text)[:5]] == ACTIVE
    assert [float(row["size"]) for row in rows(safe.text)[:3]] == [-0.5, -1.5, -2.5]
    assert [row["label"] for row in rows(safe.text)[:3]] == ["-1", "+1", "'=2"]
    manifest = client.get(url, params={"format": "manifest"})
    assert manifest.headers["X-Spreadsheet-Safe"] == "true"
    assert rows(manifest.text)[0]["path"] == "'=id0"


def test_an_upload_comes_back_with_its_own_values_corrected_or_not(client: httpx.Client, services: Services) -> None:
    dataset = uploaded(client, table(), "a.csv", id="id", label="label")["id"]
    whole = client.get(f"/datasets/{dataset}/download")
    assert (whole.content, "X-Spreadsheet-Safe" in whole.headers) == (table(), False)
    version = corrected(client, services, dataset, {"=id0": "=2", "=id1": None})["id"]
    lines = table().split(b"\r\n")
    assert downloaded(client, version).split(b"\r\n") == [lines[0], b"=id0,=1+1,-0.5,=2", *lines[3:]]
    for form, known in (("csv", "'=id0"), ("cleanlab", "'=id0")):
        ranking = client.get(f"/jobs/job_1/suspects?format={form}")
        assert ranking.headers["X-Spreadsheet-Safe"] == "true"
        assert known in {row["sample_id"] for row in rows(ranking.text)}
        assert "=id0" in {row["sample_id"] for row in rows(client.get(f"{ranking.url}&raw=true").text)}


def test_reviews_take_back_what_an_export_wrote(client: httpx.Client, services: Services) -> None:
    dataset = uploaded(client, table(), "a.csv", id="id", label="label")["id"]
    corrected(client, services, dataset, {"=id0": "=2"})
    exported = rows(client.get("/jobs/job_1/suspects?format=csv").text)
    said = [{"sample_id": one["sample_id"], "decision": "relabel", "label": "'=2"} for one in exported]
    answer = client.post("/jobs/job_1/reviews", json=said)
    assert (answer.status_code, answer.json()["recorded"]) == (201, 30)
    found = client.get("/jobs/job_1/reviews?limit=100").json()["items"][1:]
    assert {one["sample_id"] for one in found} == {f"=id{number}" for number in range(30)}
    assert {one["label"] or one["given_label"] for one in found} == {"=2"}


def test_a_name_with_an_apostrophe_of_its_own_is_that_name(client: httpx.Client, services: Services) -> None:
    lines = [f"{mark}id{number},{number},{mark}2" for number in range(9) for mark in ("=", "'=")]
    content = "\r\n".join(["id,size,label", *lines, ""]).encode()
    dataset = uploaded(client, content, "a.csv", id="id", label="label")["id"]
    corrected(client, services, dataset, {"=id0": "'=2"})
    said = [{"sample_id": "'=id1", "decision": "relabel", "label": "=2"}]
    assert client.post("/jobs/job_1/reviews", json=said).status_code == 201
    said = [{"sample_id": "=id1", "decision": "relabel", "label": "'=2"}]
    assert client.post("/jobs/job_1/reviews", json=said).status_code == 201
    found = client.get("/jobs/job_1/reviews").json()["items"][1:]
    assert [(one["sample_id"], one["label"]) for one in found] == [("'=id1", "=2"), ("=id1", "'=2")]
    unknown = client.post("/jobs/job_1/reviews", json=[{"sample_id": "'=none", "decision": "keep"}])
    assert (unknown.status_code, "'=none" in unknown.json()["detail"]) == (422, True)
