"""Rankings as files."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from service.actions.find import find_completed_job, find_dataset
from service.actions.select_suspects import SuspectQuery, select
from service.api.exports.export import Export
from service.api.exports.ranking import ToolNames, export_ranking
from service.api.exports.tables import TABLES, columns
from service.domain.exports import EXPORT_FORMATS
from service.platforms.exports import ExportContext
from service.services import Services
from service.store import rankings
from tests.builders import COMPUTED, add_dataset, add_finished, add_job, finish, image_zip
from tests.unit.api.ranked import ROWS, URL, ranked_rows


@pytest.fixture(autouse=True)
def finished(services: Services, client: httpx.Client) -> list[dict[str, Any]]:
    """A ranking with ties, as its rows were written, most suspicious first."""
    return ranked_rows(services)


def read_csv(content: bytes) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def read_jsonl(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]


def read_parquet(content: bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(content)).to_pylist()
    return rows


READERS = {"csv": read_csv, "jsonl": read_jsonl, "parquet": read_parquet}
KINDS = {"csv": "text/csv", "jsonl": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}


@pytest.mark.parametrize("form", list(READERS))
@pytest.mark.parametrize("how", ["format", "accept"])
def test_an_export_is_the_whole_ranking(
    client: httpx.Client, finished: list[dict[str, Any]], form: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rankings, "_CHUNK", 10)
    # A limit is for pages; an export has every row.
    url = f"{URL}?limit=2" + (f"&format={form}" if how == "format" else "")
    response = client.get(url, headers={"Accept": f"{KINDS[form]};q=0.9, */*;q=0.1"} if how == "accept" else {})
    assert response.headers["Content-Type"].startswith(KINDS[form])
    assert response.headers["Content-Disposition"] == f'attachment; filename="job_1-mislabeled.{form}"'
    rows = READERS[form](response.content)
    assert len(rows) == ROWS
    for rank, (found, row) in enumerate(zip(rows, finished, strict=True), 1):
        expected = {"rank": rank, "score": row["mislabeled"], **{k: v for k, v in row.items() if k != "position"}}
        expected |= dict.fromkeys(("path", "decision", "decided_label", "reviewer", "reviewed_at"))
        if form == "csv":
            expected = {name: "" if value is None else str(value) for name, value in expected.items()}
        assert found == expected


def test_an_export_keeps_filters_and_awkward_names(client: httpx.Client, services: Services) -> None:
    names = {0: 'a "quoted", name', 1: "two\nlines", 2: "猫"}
    info = add_dataset(services.database, "ds_2", services.blobs)
    add_job(services.database, info, "job_2")
    finish(services.database, "job_2", info, ids=names)
    for form, read in READERS.items():
        rows = read(client.get(f"/jobs/job_2/suspects?format={form}").content)
        assert set(names.values()) <= {row["sample_id"] for row in rows}
        some = read(client.get(f"/jobs/job_2/suspects?format={form}&label=cat").content)
        assert {row["given_label"] for row in some} == {"cat"}


@pytest.mark.parametrize("form", ["json", *READERS])
@pytest.mark.parametrize("filtered", ["label", "suggested"])
def test_a_class_that_is_none_is_refused_with_the_classes_there_are(
    client: httpx.Client, form: str, filtered: str
) -> None:
    refused = client.get(URL, params={"format": form, filtered: "nobody"})
    assert refused.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    (fault,) = refused.json()["errors"]
    assert fault["loc"] == ["query", filtered]
    assert all(name in fault["msg"] for name in ("'nobody'", "cat", "dog", "eel"))


@pytest.mark.parametrize("form", ["json", *READERS])
def test_a_verdict_that_is_none_is_refused_with_the_verdicts_there_are(client: httpx.Client, form: str) -> None:
    refused = client.get(URL, params={"format": form, "verdict": "odd"})
    assert refused.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    (fault,) = refused.json()["errors"]
    assert fault["loc"] == ["query", "verdict"]
    assert all(name in fault["msg"] for name in ("mislabeled", "anomalous", "clean"))


@pytest.mark.parametrize("form", list(READERS))
@pytest.mark.parametrize(
    "wanted", [{"verdict": "mislabeled"}, {"suggested": "dog"}, {"min_score": "0.5"}, {"label": "cat", "by": "si"}]
)
def test_an_export_has_the_rows_that_a_page_has(client: httpx.Client, form: str, wanted: dict[str, str]) -> None:
    items = client.get(URL, params={**wanted, "limit": 1000}).json()["items"]
    rows = READERS[form](client.get(URL, params={**wanted, "format": form}).content)
    assert 0 < len(rows) < ROWS
    assert [row["sample_id"] for row in rows] == [item["sample"]["id"] for item in items]


@pytest.mark.parametrize("form", list(READERS))
def test_an_export_says_what_was_decided_by_whom_and_when(
    client: httpx.Client, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rankings, "_CHUNK", 10)
    said: list[dict[str, Any]] = [
        {"sample_id": "row-5", "decision": "relabel", "label": "cat", "reviewer": "Noor"},
        {"sample_id": "row-6", "decision": "keep"},
        {"sample_id": "row-7", "decision": "remove", "reviewer": "Ida"},
        {"sample_id": "row-8", "decision": "relabel", "label": "eel"},  # which it is called already
        {"sample_id": "row-9", "decision": "keep"},
        {"sample_id": "row-9", "decision": "withdraw"},
    ]
    assert client.post("/jobs/job_1/reviews", json=said).status_code == httpx.codes.CREATED
    shown = {item["sample"]["id"]: item["review"] for item in client.get(f"{URL}?limit=1000").json()["items"]}
    rows = {row["sample_id"]: row for row in READERS[form](client.get(f"{URL}?format={form}").content)}
    assert {name for name, row in rows.items() if row["decision"]} == {"row-5", "row-6", "row-7", "row-8"}
    decided = {name: rows[name]["decided_label"] or None for name in ("row-5", "row-6", "row-7", "row-8")}
    assert decided == {"row-5": "cat", "row-6": "cat", "row-7": None, "row-8": "eel"}
    assert [rows[name]["reviewer"] or None for name in ("row-5", "row-6", "row-7")] == ["Noor", None, "Ida"]
    for name, row in rows.items():
        review = shown[name]
        if review is None:
            assert not row["reviewed_at"]
            continue
        assert (row["decision"], row["reviewer"] or None) == (review["decision"], review["reviewer"])
        at = row["reviewed_at"]
        assert (at if isinstance(at, datetime) else datetime.fromisoformat(at)) == datetime.fromisoformat(
            review["created_at"]
        )


@pytest.mark.parametrize("form", list(READERS))
def test_an_export_names_the_file_of_every_image(client: httpx.Client, services: Services, form: str) -> None:
    names = [f"{kind}/{number} a.png" for kind in ("cat", "dog", "eel") for number in range(3)]
    made = client.post("/datasets", files={"file": ("zoo.zip", image_zip(names))})
    info = find_dataset(services, made.json()["id"])
    add_job(services.database, info, "job_2")
    kept = [client.get(f"/datasets/{info.id}/samples/{name}").json()["id"] for name in names]
    finish(services.database, "job_2", info, ids=dict(enumerate(kept)))
    rows = READERS[form](client.get(f"/jobs/job_2/suspects?format={form}").content)
    assert {row["path"] for row in rows} == set(names)


@pytest.mark.parametrize("form", ["json", "csv", "jsonl", "parquet"])
@pytest.mark.parametrize("filters", ["part=tighter", "region=pca:0,0;1,0;1,1"])
def test_a_filter_that_the_job_cannot_answer_is_refused_before_a_file_begins(
    client: httpx.Client, form: str, filters: str
) -> None:
    refused = client.get(f"{URL}?format={form}&{filters}")
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")


def test_tables_have_the_same_columns_and_the_signals_that_were_asked_for(client: httpx.Client) -> None:
    def names(**query: str) -> set[tuple[str, ...]]:
        return {
            tuple(read(client.get(URL, params={**query, "format": form}).content)[0]) for form, read in READERS.items()
        }

    (every,) = names()
    (some,) = names(signals="si, aai")
    assert some == (*every[: -len(COMPUTED)], "si", "aai")
    assert names(signals="") == {every[: -len(COMPUTED)]}
    assert set(client.get(f"{URL}?signals=si,aai").json()["items"][0]["signals"]) == {"si", "aai"}
    refused = client.get(f"{URL}?format=csv&signals=si,nothing")
    assert (refused.status_code, refused.json()["errors"][0]["loc"]) == (422, ["query", "signals"])


def test_the_table_of_cleanlab_has_its_columns_and_its_sign(
    client: httpx.Client, finished: list[dict[str, Any]]
) -> None:
    response = client.get(f"{URL}?format=cleanlab")
    assert response.headers["Content-Disposition"] == 'attachment; filename="job_1-mislabeled.cleanlab.csv"'
    rows = read_csv(response.content)
    assert [row["sample_id"] for row in rows] == [row["sample_id"] for row in finished]
    for found, row in zip(rows, finished, strict=True):
        assert found["is_label_issue"] == str(row["verdict"] == "mislabeled")
        assert (found["given_label"], found["predicted_label"]) == (row["given_label"], row["suggested_label"])
    scores = [float(row["label_score"]) for row in rows]
    assert scores == sorted(scores)
    assert all(0 <= score <= 1 for score in scores)


def test_a_form_that_is_not_made_is_refused_with_the_list(client: httpx.Client) -> None:
    refused = client.get(URL, headers={"Accept": "image/png"})
    assert (refused.status_code, "text/csv" in refused.json()["detail"]) == (406, True)
    assert client.get(f"{URL}?format=xlsx").json()["errors"][0]["loc"] == ["query", "format"]
    for accept in ("*/*", "application/json", "text/html, */*;q=0.1", "application/*"):
        assert client.get(URL, headers={"Accept": accept}).headers["Content-Type"] == "application/json"
    spreadsheet = client.get(URL, headers={"Accept": "application/json;q=0, text/csv"})
    assert spreadsheet.headers["Content-Type"].startswith("text/csv")


@pytest.mark.parametrize("form", [name for name, one in EXPORT_FORMATS.items() if one.fits("tabular")])
def test_a_file_begins_once_ten_rows_were_read(services: Services, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    add_finished(services.database, services.blobs, "job_many", "ds_many", rows=320, splits={"train": 240, "test": 80})
    job = find_completed_job(services, "job_many")
    asked: list[int] = []
    read = rankings.rows_by_index

    def count(connection: sa.Connection, job_id: str, index: Sequence[int]) -> list[rankings.Row]:
        asked.append(len(index))
        return read(connection, job_id, index)

    monkeypatch.setattr(rankings, "rows_by_index", count)
    with services.database.read() as connection:
        found = select(services, connection, job, SuspectQuery())
    pieces = export_ranking(services, job, "mislabeled", found, EXPORT_FORMATS[form], ToolNames())
    # The head of a table comes before any row.
    begun = next(pieces)
    while not asked:
        begun += next(pieces)
    assert asked == [10]
    whole = begun + b"".join(pieces)
    assert sum(asked) == 240
    if form == "parquet":
        assert len(begun) > 1_000
        file = pq.ParquetFile(io.BytesIO(whole))
        assert [file.metadata.row_group(place).num_rows for place in range(file.num_row_groups)] == [10, 50, 180]
    else:
        assert begun.count(b"row-") >= (10 if EXPORT_FORMATS[form].modalities is None else 1)
        assert whole.count(b"row-") == 240


@pytest.mark.parametrize("form", list(READERS))
def test_a_table_gives_a_piece_for_each_chunk_that_is_read(form: str) -> None:
    sizes, names = (10, 50, 200, *[1_000] * 12, 7), columns(["mislabeled"])
    read: list[int] = []

    def chunks() -> Iterator[list[dict[str, Any]]]:
        for size in sizes:
            read.append(size)
            yield [dict.fromkeys(names) | {"index": sum(read[:-1]) + place} for place in range(size)]

    context = ExportContext("job_1", "tabular", ("cat",), "csv", "label", None, "", True)
    pieces = iter(TABLES[form](chunks(), Export(names, context, Path("data"))))
    whole, before = b"", 0
    for piece in pieces:
        # A client that is gone is noticed between two pieces.
        assert len(read) - before <= 1
        whole, before = whole + piece, len(read)
    assert [row["index"] for row in READERS[form](whole)] == [
        str(one) if form == "csv" else one for one in range(sum(sizes))
    ]
    if form == "parquet":
        file = pq.ParquetFile(io.BytesIO(whole))
        groups = [file.metadata.row_group(place).num_rows for place in range(file.num_row_groups)]
        assert groups == [10, 50, 200, 1_000, 2_000, 4_000, 5_000, 7]
