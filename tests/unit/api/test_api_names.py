"""Names of datasets, jobs and the like are one line of text."""

from pathlib import Path

import httpx
import pytest

from service.domain.dataset import DatasetSpec
from service.services import Services
from service.store.originals import find_original, keep_original
from service.store.seal import seal_folder
from tests.builders import CSV, add_dataset, form

BAD = ["two\nlines", "two\rlines", "a\ttab", "a\x07bell", "two\u2028lines", "turned \u202egnp.exe"]


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_a_name_that_is_more_than_one_line_is_refused_by_its_field(
    client: httpx.Client, services: Services, name: str
) -> None:
    info = add_dataset(services.database)
    answers = {
        ("spec", "name"): client.post("/datasets", **form(spec={"name": name})),
        ("name",): client.post("/jobs", json={"dataset": info.id, "name": name}),
        ("spec", "dataset", "name"): client.post("/jobs", **form(spec={"dataset": {"name": name}})),
    }
    for loc, answer in answers.items():
        assert answer.status_code == 422
        (fault,) = answer.json()["errors"]
        assert (tuple(fault["loc"]), "one line of text" in fault["msg"]) == (loc, True)
    assert client.get("/datasets").json()["total"] == 1


@pytest.mark.parametrize("name", ["Été — 漢字 \u3000wide", "👩\u200d👧 family", "עברית", "  spaced  "])
def test_a_name_in_any_script_is_kept_as_it_is(client: httpx.Client, name: str) -> None:
    answer = client.post("/datasets", **form(spec={"name": name, "label": "animal"}))
    assert (answer.status_code, answer.json()["name"]) == (201, name)


def test_a_file_whose_name_is_more_than_one_line_is_taken_under_a_name_with_spaces(client: httpx.Client) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="my\tfarm \xe2\x80\xaeanimals.csv"\r\n\r\n'
        + CSV
        + b'\r\n--b\r\nContent-Disposition: form-data; name="spec"\r\n\r\n{"label": "animal"}\r\n--b--\r\n'
    )
    answer = client.post("/datasets", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert (answer.status_code, answer.json()["name"]) == (201, "my farm  animals")


def test_an_upload_that_was_stored_under_such_a_name_is_still_read(services: Services, tmp_path: Path) -> None:
    upload, blobs = tmp_path / "upload", services.blobs
    upload.write_bytes(CSV)
    blobs.dataset("ds_1").mkdir(parents=True)
    keep_original(blobs, "ds_1", upload, "a.csv", DatasetSpec().model_copy(update={"name": "two\nlines"}))
    seal_folder(blobs.dataset("ds_1"))
    found = find_original(blobs, "ds_1")
    assert found is not None
    assert found.spec.name == "two\nlines"
