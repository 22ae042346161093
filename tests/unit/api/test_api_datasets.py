"""Datasets over HTTP."""

import gzip
import hashlib
import io
import json
import multiprocessing
import os
import socket
import time
import zipfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from service.api.http import paging
from service.services import Services
from tests.builders import CSV, add_dataset, add_job, form, image_zip

IMAGES = ["cat/1.png", "cat/2.png", "cat/media.png", "dog/1.png", "dog/2.png"]


def upload(client: httpx.Client, **given: Any) -> dict[str, Any]:
    response = client.post("/datasets", **form(**given))
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


def files(services: Services) -> list[Path]:
    # Folders that go meanwhile are passed over, which `rglob` does not do.
    found = (Path(folder) / name for folder, _, names in os.walk(services.settings.home) for name in names)
    return [path for path in found if "suspects.db" not in path.name]


def test_an_upload_becomes_a_dataset_and_says_what_was_inferred(client: httpx.Client) -> None:
    response = client.post("/datasets", **form(spec={"label": "animal", "name": "zoo"}))
    found = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"/datasets/{found['id']}"
    assert (found["name"], found["modality"], found["rows"]) == ("zoo", "tabular", 60)
    assert found["class_counts"] == {"cat": 20, "dog": 20, "eel": 20}
    assert found["features"] == [{"name": "weight", "kind": "numeric"}, {"name": "colour", "kind": "categorical"}]
    assert found["digest"].startswith("sha256:")
    assert found["inferred"]["label"] is None
    named = upload(client, content=CSV.replace(b"animal", b"species"))
    assert named["inferred"]["label"] == "species"
    assert client.get(response.headers["Location"]).json() == found


def test_the_name_is_the_files_own_without_its_suffixes(client: httpx.Client) -> None:
    packed, spec = gzip.compress(CSV), {"label": "animal"}
    assert upload(client, filename="C:\\data\\animals.v2.csv.gz", content=packed, spec=spec)["name"] == "animals.v2"


def test_the_same_bytes_and_spec_are_one_dataset_whatever_the_file_is_called(
    client: httpx.Client, services: Services
) -> None:
    first = upload(client, spec={"label": "animal"})
    kept = files(services)
    assert upload(client, spec={"label": "animal", "exclude": []}, filename="other.csv") == first
    assert files(services) == kept
    assert upload(client, spec={"label": "colour"})["id"] != first["id"]
    assert upload(client, content=CSV + b"1,red,cat\n", spec={"label": "animal"})["id"] != first["id"]
    assert client.get("/datasets").json()["total"] == 3


@pytest.mark.parametrize(
    ("content", "spec", "status"),
    [
        (b"", {}, 422),
        (b"\x00\x01\x02garbage", {}, 415),
        (CSV, {"label": "nothing"}, 422),
        (CSV, {"labels": "animal"}, 422),
        (CSV, ["animal"], 422),
        (gzip.compress(CSV)[:-20], {}, 400),
    ],
)
def test_what_cannot_be_read_is_refused_and_leaves_nothing(
    client: httpx.Client, services: Services, content: bytes, spec: Any, status: int
) -> None:
    response = client.post("/datasets", **form(content, "upload.csv.gz" if status == 400 else "upload", spec=spec))
    assert response.status_code == status, response.text
    assert response.json()["detail"]
    assert files(services) == []
    assert client.get("/datasets").json()["items"] == []


def test_faults_of_the_spec_name_the_field(client: httpx.Client) -> None:
    response = client.post("/datasets", **form(spec={"modality": "smell", "labell": "x"}))
    assert [fault["loc"] for fault in response.json()["errors"]] == [["spec", "modality"], ["spec", "labell"]]


def test_skipped_rows_are_told_one_by_one(client: httpx.Client) -> None:
    holes = b"".join(b"%d,red,\n" % number for number in range(7))
    found = upload(client, content=CSV + holes, spec={"label": "animal"})
    assert found["skipped_rows"] == 7
    seen: list[int] = []
    url: str | None = f"/datasets/{found['id']}/skipped?limit=3"
    while url is not None:
        page = client.get(url).json()
        assert page["total"] == 7
        seen += [row["index"] for row in page["items"]]
        assert all(row["reason"] and row["where"] for row in page["items"])
        url = page["next"] and f"/datasets/{found['id']}/skipped?limit=3&cursor={page['next']}"
    assert seen == list(range(60, 67))
    inside = paging.encode(["skipped", found["id"]], [7])  # the middle of a row
    assert client.get(f"/datasets/{found['id']}/skipped", params={"cursor": inside}).status_code == 400


def test_a_row_comes_back_as_it_was_read(client: httpx.Client) -> None:
    found = upload(client, spec={"label": "animal"})
    row = client.get(f"/datasets/{found['id']}/samples/row-4").json()
    assert row == {
        "id": "row-4",
        "index": 4,
        "split": "train",
        "label": "dog",
        "features": {"weight": 4.5, "colour": "blue"},
        "links": {"self": f"/datasets/{found['id']}/samples/row-4", "media": None},
    }
    assert client.get(f"/datasets/{found['id']}/samples/row-60").status_code == 404
    assert client.get(f"/datasets/{found['id']}/samples/row-4/media").status_code == 404


def test_images_are_reached_by_links_whatever_their_names(client: httpx.Client) -> None:
    found = upload(client, content=image_zip(IMAGES), filename="animals.zip", spec={"id": "file_name"})
    assert found["modality"] == "image"
    digests = set()
    for name in IMAGES:
        plain = client.get(f"/datasets/{found['id']}/samples/{name}").json()
        row = client.get(plain["links"]["self"]).json()
        assert row["id"] == plain["id"] == name
        assert row["label"] == name.partition("/")[0]
        media = client.get(row["links"]["media"])
        assert (media.status_code, media.headers["Content-Type"]) == (200, "image/png")
        assert "sandbox" in media.headers["Content-Security-Policy"]
        digests.add(hashlib.sha256(media.content).hexdigest())
    assert len(digests) == len(IMAGES)


def test_images_come_as_browsers_show_them_where_that_is_asked_for(client: httpx.Client) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(4):
            file = io.BytesIO()
            Image.fromarray(np.full((40, 30), 1000 * (number + 1), np.uint16)).save(file, "TIFF")
            archive.writestr(f"{'cat' if number % 2 else 'dog'}/{number}.tiff", file.getvalue())
    found = upload(client, content=packed.getvalue(), filename="deep.zip")
    seen = set()
    for name in ("dog/0.tiff", "cat/1.tiff", "dog/2.tiff", "cat/3.tiff"):
        media = client.get(f"/datasets/{found['id']}/samples/{name}").json()["links"]["media"]
        assert client.get(media).headers["Content-Type"] == "image/tiff"
        shown = client.get(media, params={"side": 20})
        assert shown.headers["Content-Type"] == "image/png"
        assert "sandbox" in shown.headers["Content-Security-Policy"]
        with Image.open(io.BytesIO(shown.content)) as image:
            assert (image.mode, image.size) == ("L", (15, 20))
            seen.add(image.getextrema())
    assert seen == {(round(number * 1000 / 4095 * 255),) * 2 for number in (1, 2, 3, 4)}
    for side in ("0", "4096", "large"):
        assert client.get(media, params={"side": side}).status_code == 422


def test_a_sample_that_ends_in_media_is_not_taken_for_another_ones_media(client: httpx.Client) -> None:
    rows = [{"id": "a", "text": "first", "label": "x"}, {"id": "a/media", "text": "second", "label": "y"}]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    spec = {"modality": "text", "id": "id", "label": "label"}
    base = f"/datasets/{upload(client, content=content, filename='t.jsonl', spec=spec)['id']}/samples"
    assert client.get(f"{base}/a").json()["features"] == {"text": "first"}
    assert client.get(f"{base}/a/media").text == "first"
    assert client.get(f"{base}/a%2Fmedia").json()["features"] == {"text": "second"}
    assert client.get(f"{base}/a%2Fmedia/media").text == "second"


def test_a_dataset_in_use_stays_and_says_by_whom(client: httpx.Client, services: Services) -> None:
    one, two = (add_dataset(services.database, name, services.blobs) for name in ("ds_1", "ds_2"))
    add_job(services.database, one, "job_1", reference={"dataset": two.id})
    for info in (one, two):
        response = client.delete(f"/datasets/{info.id}")
        assert (response.status_code, response.json()["jobs"]) == (409, ["job_1"])
    client.post("/jobs/job_1/cancel")
    assert client.delete("/datasets/ds_1").status_code == 409
    assert client.delete("/jobs/job_1").status_code == 204
    for info in (one, two):
        assert client.delete(f"/datasets/{info.id}").status_code == 204
        assert client.get(f"/datasets/{info.id}").status_code == 404
    assert files(services) == []


def test_pages_of_datasets_never_overlap_and_lose_none(client: httpx.Client, services: Services) -> None:
    for number in range(7):
        add_dataset(services.database, f"ds_{number}")
    seen: list[str] = []
    url = "/datasets?limit=3"
    while url:
        response = client.get(url)
        seen += [item["id"] for item in response.json()["items"]]
        url = response.links["next"]["url"] if response.json()["next"] else ""
        assert ("next" in response.links) == bool(url)
    assert seen == [f"ds_{number}" for number in reversed(range(7))]


def test_an_upload_is_not_read_on_when_its_client_goes_away(client: httpx.Client, services: Services) -> None:
    lines = "".join(f"{i * 7919 % 100_003},{i * 104_729 % 1_299_709}.5,{'pq'[i % 2]}\n" for i in range(1_000_000))
    request = client.build_request("POST", "/datasets", **form(content=f"a,b,label\n{lines}".encode()))
    heads = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with socket.create_connection((client.base_url.host, client.base_url.port)) as connection:
        connection.sendall(f"POST /datasets HTTP/1.1\r\n{heads}\r\n".encode() + request.read())
        while not multiprocessing.active_children():
            time.sleep(0.01)
    deadline = time.monotonic() + 30
    while (multiprocessing.active_children() or files(services)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert files(services) == []
    assert client.get("/datasets").json()["total"] == 0
