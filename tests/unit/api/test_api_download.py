"""Corrected datasets come back as files: in the form of the upload, and in forms of our own."""

import csv
import gzip
import io
import json
import tarfile
import zipfile
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.services import Services
from service.store.originals import find_original
from tests.builders import image_zip
from tests.unit.api.downloads import corrected, downloaded, uploaded
from tests.unit.ingest.uploads import npz_of, png, tar_of, zip_of

PORTS = ["Oslo", "Bergen", "Malmö"]


def shipping(rows: int = 18) -> list[dict[str, Any]]:
    return [
        {"ref": f"u{i}", "tons": i * 1.5, "flag": "nl" if i % 4 else "de", "port": PORTS[i % 3]} for i in range(rows)
    ]


def table(rows: list[dict[str, Any]], kind: str) -> bytes:
    """Rows in a format."""
    if kind == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()
    if kind == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    if kind == "json":
        return json.dumps(rows, indent=2).encode()
    sink = io.BytesIO()
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), sink)
    else:
        whole = pa.Table.from_pylist(rows)
        with pa.ipc.new_file(sink, whole.schema) as writer_of_arrow:
            writer_of_arrow.write_table(whole)
    return sink.getvalue()


KINDS = ["csv", "jsonl", "json", "parquet", "arrow"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_upload_comes_back_byte_for_byte_until_it_is_corrected(client: httpx.Client, kind: str) -> None:
    content = table(shipping(), kind)
    info = uploaded(client, content, f"ships.{kind}", label="port")
    answer = client.get(f"/datasets/{info['id']}/download")
    assert answer.content == content
    assert answer.headers["content-disposition"].startswith(f'attachment; filename="ships.{kind}"')


@pytest.mark.parametrize("exclude", [[], ["port_code"]])
@pytest.mark.parametrize("kind", KINDS)
def test_what_says_the_label_in_other_words_changes_with_it(
    client: httpx.Client, services: Services, kind: str, exclude: list[str]
) -> None:
    rows = [{**row, "port_code": 10 + PORTS.index(row["port"])} for row in shipping(24)]
    info = uploaded(client, table(rows, kind), f"ships.{kind}", label="port", exclude=exclude)
    assert info["inferred"]["label_copies"] == ["port_code"]
    made = corrected(client, services, info["id"], {"u4": "Malmö"})
    again = uploaded(client, downloaded(client, made["id"]), f"corrected.{kind}", label="port", exclude=exclude)
    assert again["inferred"]["label_copies"] == ["port_code"]
    assert again["class_counts"] == {"Bergen": 7, "Malmö": 9, "Oslo": 8}


@pytest.mark.parametrize("kind", KINDS)
def test_a_corrected_upload_has_other_labels_and_fewer_rows_and_else_the_same(
    client: httpx.Client, services: Services, kind: str
) -> None:
    rows = shipping()
    info = uploaded(client, table(rows, kind), f"ships.{kind}", label="port", exclude=["flag"])
    made = corrected(client, services, info["id"], {"u4": "Malmö", "u7": None, "u8": ""})
    expected = [{**row, "port": "Malmö"} if row["ref"] == "u4" else row for row in rows if row["ref"] != "u7"]
    found = downloaded(client, made["id"])
    if kind in ("csv", "jsonl"):
        assert found == table(expected, kind)
    elif kind == "json":
        assert json.loads(found) == expected
    else:
        opened = (
            pq.read_table(io.BytesIO(found)) if kind == "parquet" else pa.ipc.open_file(io.BytesIO(found)).read_all()
        )
        assert opened.to_pylist() == expected
        assert opened.schema.equals(pa.Table.from_pylist(rows).schema, check_metadata=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_corrected_upload_is_the_same_dataset_when_it_is_uploaded_again(
    client: httpx.Client, services: Services, kind: str
) -> None:
    info = uploaded(client, table(shipping(), kind), f"ships.{kind}", label="port", id="ref")
    made = corrected(client, services, info["id"], {"u4": "Malmö", "u7": None, "u9": "Bergen"})
    assert made["content_digest"] != info["content_digest"]
    again = uploaded(client, downloaded(client, made["id"]), f"ships.{kind}", label="port", id="ref")
    assert again["content_digest"] == made["content_digest"]
    assert again["id"] != made["id"]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_without_ids_round_trip_also_where_some_are_gone(
    client: httpx.Client, services: Services, kind: str
) -> None:
    rows = [{name: value for name, value in row.items() if name != "ref"} for row in shipping()]
    info = uploaded(client, table(rows, kind), f"ships.{kind}", label="port")
    made = corrected(client, services, info["id"], {"row-4": "Malmö", "row-2": None})
    again = uploaded(client, downloaded(client, made["id"]), f"ships.{kind}", label="port")
    assert again["content_digest"] == made["content_digest"]


def test_texts_round_trip(client: httpx.Client, services: Services) -> None:
    said = ["the boat, she leaks", 'a "fine" hull', "late\nagain"]
    rows = [{"text": f"{said[i % 3]} number {i}", "mood": ["glad", "cross"][i % 2]} for i in range(20)]
    info = uploaded(client, table(rows, "csv"), "moods.csv", label="mood", modality="text")
    assert info["modality"] == "text"
    made = corrected(client, services, info["id"], {"row-3": "glad", "row-5": None})
    found = downloaded(client, made["id"])
    assert found == table([{**row, "mood": "glad"} if i == 3 else row for i, row in enumerate(rows) if i != 5], "csv")
    again = uploaded(client, found, "moods.csv", label="mood", modality="text")
    assert again["content_digest"] == made["content_digest"]


def test_gzip_stays_gzip_and_the_name_says_that_it_is_corrected(client: httpx.Client, services: Services) -> None:
    info = uploaded(client, gzip.compress(table(shipping(), "csv")), "ships.csv.gz", label="port")
    made = corrected(client, services, info["id"], {"u4": "Malmö"})
    answer = client.get(f"/datasets/{made['id']}/download")
    assert 'filename="ships-corrected.csv.gz"' in answer.headers["content-disposition"]
    assert gzip.decompress(answer.content).decode().splitlines()[5] == "u4,6.0,de,Malmö"


def folders(kind: str) -> bytes:
    files = {
        f"{name}/{i}.png": png(value=i + 40 * place) for place, name in enumerate(["boot", "bag"]) for i in range(5)
    }
    return zip_of(files) if kind == "zip" else tar_of(files, packed=kind == "tar.gz")


def names_in(content: bytes, kind: str) -> list[str]:
    if kind == "zip":
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            assert packed.testzip() is None
            return packed.namelist()
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return archive.getnames()


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_images_move_to_the_folder_of_their_class(client: httpx.Client, services: Services, kind: str) -> None:
    info = uploaded(client, folders(kind), f"shoes.{kind}")
    made = corrected(client, services, info["id"], {"boot/1.png": "bag", "boot/2.png": None, "bag/3.png": ""})
    found = downloaded(client, made["id"])
    assert sorted(names_in(found, kind)) == sorted(
        ["boot/0.png", "boot/3.png", "boot/4.png", *(f"bag/{i}.png" for i in range(5)), "bag/1-1.png"]
    )
    again = uploaded(client, found, f"shoes.{kind}")
    assert again["content_digest"] == made["content_digest"]


def test_images_of_any_upload_come_as_a_zip_of_class_folders(client: httpx.Client, services: Services) -> None:
    names = [f"{name}/{i}.png" for name in ("boot", "bag") for i in range(4)]
    info = uploaded(client, image_zip(names), "shoes.zip", label="label")
    made = corrected(client, services, info["id"], {"boot/1.png": "bag", "boot/2.png": None})
    found = downloaded(client, made["id"], "zip")
    assert names_in(found, "zip")[:2] == ["bag/0.png", "bag/1.png"]
    with zipfile.ZipFile(io.BytesIO(found)) as packed:
        assert {one.compress_type for one in packed.infolist()} == {zipfile.ZIP_STORED}
        assert not any(one.flag_bits & 8 for one in packed.infolist())  # readers of streams know no other sizes
    again = uploaded(client, found, "shoes.zip")
    assert again["content_digest"] == made["content_digest"]


def test_the_manifest_tells_of_every_image_what_became_of_it(client: httpx.Client, services: Services) -> None:
    info = uploaded(client, folders("zip"), "shoes.zip")
    made = corrected(client, services, info["id"], {"boot/1.png": "bag", "boot/2.png": None, "bag/3.png": ""})
    lines = list(csv.DictReader(io.StringIO(downloaded(client, made["id"], "manifest").decode())))
    told = {row["path"]: (row["old_label"], row["new_label"], row["decision"], row["reviewer"]) for row in lines}
    assert len(lines) == 10
    assert told["boot/1.png"] == ("boot", "bag", "relabel", "api")
    assert told["boot/2.png"] == ("boot", "", "remove", "api")
    assert told["bag/3.png"] == ("bag", "bag", "keep", "api")
    assert told["bag/4.png"] == ("bag", "bag", "", "")


def read_own(content: bytes, form: str) -> list[dict[str, Any]]:
    if form == "csv":
        return list(csv.DictReader(io.StringIO(content.decode())))
    if form == "jsonl":
        return [json.loads(line) for line in content.splitlines()]
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(content)).to_pylist()
    return rows


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_our_own_forms_have_the_names_of_the_client(client: httpx.Client, services: Services, form: str) -> None:
    info = uploaded(client, table(shipping(), "csv"), "ships.csv", label="port", id="ref")
    made = corrected(client, services, info["id"], {"u4": "Malmö", "u7": None})
    rows = read_own(downloaded(client, made["id"], form, columns="previous_label,reviewed_by"), form)
    assert list(rows[0]) == ["ref", "tons", "flag", "port", "previous_label", "reviewed_by"]
    assert len(rows) == 17
    row = next(one for one in rows if one["ref"] == "u4")
    assert (float(row["tons"]), row["flag"], row["port"], row["previous_label"], row["reviewed_by"]) == (
        6, "de", "Malmö", "Bergen", "api",
    )  # fmt: skip
    assert list(read_own(downloaded(client, made["id"], form), form)[0]) == ["ref", "tons", "flag", "port"]


def read_upload(content: bytes, kind: str) -> list[dict[str, Any]]:
    if kind in ("csv", "jsonl", "parquet"):
        return read_own(content, kind)
    rows: list[dict[str, Any]] = (
        json.loads(content) if kind == "json" else pa.ipc.open_file(io.BytesIO(content)).read_all().to_pylist()
    )
    return rows


@pytest.mark.parametrize("kind", KINDS)
def test_who_decided_what_is_added_to_the_upload_on_request(
    client: httpx.Client, services: Services, kind: str
) -> None:
    rows = shipping()
    info = uploaded(client, table(rows, kind), f"ships.{kind}", label="port", id="ref")
    made = corrected(client, services, info["id"], {"u4": "Malmö", "u5": ""})
    found = downloaded(client, made["id"], columns="previous_label,reviewed_by")
    read = read_upload(found, kind)
    assert [list(row)[-2:] for row in read] == [["previous_label", "reviewed_by"]] * len(rows)
    assert (read[4]["previous_label"], read[4]["reviewed_by"], read[5]["previous_label"]) == ("Bergen", "api", "Malmö")
    assert not read[6]["reviewed_by"]


def test_a_version_of_a_version_is_made_of_the_first_upload(client: httpx.Client, services: Services) -> None:
    rows = shipping()
    info = uploaded(client, table(rows, "csv"), "ships.csv", label="port", id="ref")
    first = corrected(client, services, info["id"], {"u4": "Malmö", "u7": None})
    second = corrected(client, services, first["id"], {"u4": "Bergen", "u9": "Bergen"}, "job_2")
    expected = [{**row, "port": "Bergen"} if row["ref"] == "u9" else row for row in rows if row["ref"] != "u7"]
    assert downloaded(client, second["id"]) == table(expected, "csv")
    again = uploaded(client, downloaded(client, second["id"]), "ships.csv", label="port", id="ref")
    assert again["content_digest"] == second["content_digest"]


def test_a_version_stays_to_be_had_when_its_parent_is_deleted(client: httpx.Client, services: Services) -> None:
    info = uploaded(client, table(shipping(), "csv"), "ships.csv", label="port", id="ref")
    made = corrected(client, services, info["id"], {"u4": "Malmö"})
    before, shared = downloaded(client, made["id"]), services.blobs.original(made["id"])
    assert shared.stat().st_nlink == 2  # the bytes are there once
    assert client.delete("/jobs/job_1").status_code == 204
    assert client.delete(f"/datasets/{info['id']}").status_code == 204
    assert downloaded(client, made["id"]) == before
    assert client.delete(f"/datasets/{made['id']}").status_code == 204
    assert not shared.exists()


def test_a_dataset_without_its_upload_says_which_formats_work(client: httpx.Client, services: Services) -> None:
    info = uploaded(client, table(shipping(), "csv"), "ships.csv", label="port")
    services.blobs.original(info["id"]).unlink()
    assert find_original(services.blobs, info["id"]) is None
    answer = client.get(f"/datasets/{info['id']}/download")
    assert (answer.status_code, answer.json()["formats"]) == (409, ["csv", "parquet", "jsonl", "manifest"])
    assert "not kept" in answer.json()["detail"]
    assert client.get(f"/datasets/{info['id']}/download?format=zip").json()["formats"] == answer.json()["formats"]
    assert len(read_own(downloaded(client, info["id"], "csv"), "csv")) == 18


def test_what_is_unknown_is_refused(client: httpx.Client, services: Services) -> None:
    info = uploaded(client, table(shipping(), "csv"), "ships.csv", label="port")
    at = f"/datasets/{info['id']}/download"
    assert client.get(at, params={"format": "xml"}).json()["errors"][0]["loc"] == ["query", "format"]
    assert client.get(at, params={"columns": "colour"}).json()["errors"][0]["loc"] == ["query", "columns"]
    assert client.get("/datasets/ds_none/download").status_code == 404


@pytest.mark.parametrize("labels", [["1.0", "0.0"], ["Yes", "No"]], ids=str)
def test_a_class_is_written_as_the_file_writes_it(client: httpx.Client, services: Services, labels: list[str]) -> None:
    content = "x,w,y\n" + "".join(f"{i},{i * 7 % 5},{labels[i % 2]}\n" for i in range(20))
    spec: dict[str, Any] = {"label": "y"}
    if labels[0] == "Yes":
        spec["merge_labels"] = {"ja": ["Yes"], "nein": ["No"]}
    info = uploaded(client, content.encode(), "answers.csv", **spec)
    made = corrected(client, services, info["id"], {"row-2": info["classes"][0 if labels[0] == "1.0" else 1]})
    found = downloaded(client, made["id"]).decode().splitlines()
    assert found[3] == f"2,4,{labels[1]}"
    assert found[:3] + found[4:] == content.splitlines()[:3] + content.splitlines()[4:]


@pytest.mark.parametrize("line", ["'{x}','{y}','{label}'", "{x},{y},'{label}'"])
@pytest.mark.parametrize("labels", [("a,k", "b,k"), ("a", "b")], ids=str)
def test_a_table_in_single_quotes_round_trips(
    client: httpx.Client, services: Services, line: str, labels: tuple[str, str]
) -> None:
    lines = [line.format(x=i + 0.4494, y=i % 7 + 0.2551, label=labels[i % 2]) for i in range(60)]
    info = uploaded(client, "\n".join(["x,y,label", *lines, ""]).encode(), "ports.csv", label="label")
    assert (info["modality"], info["classes"]) == ("tabular", list(labels))
    made = corrected(client, services, info["id"], {"row-3": labels[0], "row-5": None})
    found = downloaded(client, made["id"])
    lines[3] = lines[3].replace(labels[1], labels[0])
    assert found.decode().splitlines() == ["x,y,label", *lines[:5], *lines[6:]]
    assert uploaded(client, found, "ports.csv", label="label")["content_digest"] == made["content_digest"]


def test_uploads_are_not_kept_where_the_installation_says_so(
    client: httpx.Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(services.settings), "keep_uploads", False)
    info = uploaded(client, table(shipping(), "csv"), "ships.csv", label="port")
    assert client.get(f"/datasets/{info['id']}/download").status_code == 409


def test_a_file_of_predictions_says_that_it_is_not_kept(client: httpx.Client, services: Services) -> None:
    guesses = np.full((12, 2), 0.5, np.float32)
    info = uploaded(client, npz_of(labels=np.arange(12) % 2, pred_probs=guesses), "guesses.npz")
    refused = client.get(f"/datasets/{info['id']}/download")
    assert refused.status_code == 409
    assert "predictions is not kept" in refused.json()["detail"]
    assert set(refused.json()["formats"]) == {"csv", "parquet", "jsonl", "manifest"}
    made = corrected(client, services, info["id"], {"row-2": "1"})
    assert list(csv.reader(io.StringIO(downloaded(client, made["id"], "csv").decode())))[3][-1] == "1"


def test_arrays_of_images_round_trip(client: httpx.Client, services: Services) -> None:
    pixels = np.arange(20 * 64, dtype=np.uint8).reshape(20, 8, 8)
    content = npz_of(x=pixels, y=np.arange(20) % 3)
    info = uploaded(client, content, "digits.npz")
    assert info["modality"] == "image"
    made = corrected(client, services, info["id"], {"row-4": "2", "row-7": None})
    again = uploaded(client, downloaded(client, made["id"]), "digits.npz")
    assert (again["content_digest"], again["rows"]) == (made["content_digest"], 19)
    assert len(names_in(downloaded(client, made["id"], "zip"), "zip")) == 19


def test_the_upload_is_among_the_formats_that_work(client: httpx.Client) -> None:
    info = uploaded(client, table(shipping(), "csv"), "ships.csv", label="port")
    refused = client.get(f"/datasets/{info['id']}/download?format=zip").json()
    assert refused["formats"] == ["original", "csv", "parquet", "jsonl", "manifest"]
    for form in refused["formats"]:
        assert downloaded(client, info["id"], form)


def test_a_class_in_several_columns_is_refused_with_what_works(client: httpx.Client, services: Services) -> None:
    content = "x,oak,elm\n" + "".join(f"{i},{i % 2},{1 - i % 2}\n" for i in range(20))
    info = uploaded(client, content.encode(), "trees.csv", label=["oak", "elm"])
    made = corrected(client, services, info["id"], {"row-4": "oak"})
    answer = client.get(f"/datasets/{made['id']}/download")
    assert (answer.status_code, answer.json()["formats"]) == (409, ["csv", "parquet", "jsonl", "manifest"])
    assert read_own(downloaded(client, made["id"], "csv"), "csv")[4]["label"] == "oak"
