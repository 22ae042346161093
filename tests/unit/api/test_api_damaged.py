"""What the service answers where its files are damaged: nothing wrong, and the cure."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest

from service.domain.errors import Damaged
from service.services import Services
from service.store import open_rankings, ranking_columns, searched_texts
from tests.builders import COMPUTED, add_finished, form, ranking
from tests.damage import cut_short, flip_bit

Damage = Callable[[Path], None]
UPLOAD = form(spec={"label": "animal"})


def problem(answer: httpx.Response) -> str:
    assert answer.status_code == 500, answer.text
    assert answer.json()["code"] == "damaged"
    return str(answer.json()["detail"])


@pytest.mark.parametrize("damage", [flip_bit, cut_short])
def test_a_damaged_dataset_is_never_shown_and_its_upload_mends_it(
    client: httpx.Client, services: Services, damage: Damage
) -> None:
    info = client.post("/datasets", **UPLOAD).json()
    before = client.get(f"/datasets/{info['id']}/samples").json()
    damage(services.blobs.canonical(info["id"]))
    detail = problem(client.get(f"/datasets/{info['id']}/samples"))
    assert f"datasets/{info['id']}/data.parquet is damaged" in detail
    assert "upload the file again" in detail
    again = client.post("/datasets", **UPLOAD)
    assert again.json()["id"] == info["id"]
    assert client.get(f"/datasets/{info['id']}/samples").json() == before
    assert client.get(f"/datasets/{info['id']}/download?format=original").content == UPLOAD["files"]["file"][1]


@pytest.mark.parametrize("name", ["original", "original.json", "skipped.jsonl"])
def test_no_damaged_file_of_a_dataset_is_given_out(client: httpx.Client, services: Services, name: str) -> None:
    content = b"weight,animal\n" + b"".join(
        b"%d,%s\n" % (i, b"" if i < 2 else b"cat" if i % 2 else b"dog") for i in range(40)
    )
    info = client.post("/datasets", **form(content, spec={"label": "animal"})).json()
    assert info["skipped_rows"] == 2
    flip_bit(services.blobs.dataset(info["id"]) / name)
    path = "skipped" if name == "skipped.jsonl" else "download?format=original"
    assert f"{name} is damaged" in problem(client.get(f"/datasets/{info['id']}/{path}"))


def test_damaged_evidence_is_never_shown(client: httpx.Client, services: Services) -> None:
    add_finished(services.database, services.blobs)
    assert client.get("/jobs/job_1/samples/row-5").status_code == 200
    flip_bit(services.blobs.evidence("job_1") / "suspect_supporting.npy", 1)
    assert "jobs/job_1/evidence/suspect_supporting.npy is damaged" in problem(client.get("/jobs/job_1/samples/row-5"))
    assert client.get("/jobs/job_1/samples/row-1").status_code == 200


@pytest.mark.parametrize("name", ["order-mislabeled.npy", "verdict.npy", "header.json", "ids.bytes", "map-pca.npy"])
@pytest.mark.parametrize("damage", [flip_bit, cut_short])
def test_damaged_columns_of_a_ranking_are_made_again_of_the_database(
    client: httpx.Client, services: Services, name: str, damage: Damage
) -> None:
    info = add_finished(services.database, services.blobs)
    table, folder = ranking(info), services.blobs.ranking("job_1")
    part = np.arange(len(table)).astype(np.int8)
    ranking_columns.save(folder, table, COMPUTED, {"part": part, "map-pca": np.zeros((len(table), 2), np.float32)})
    query = {"sample": "row-", "verdict": "clean", "limit": "100"}
    sound = client.get("/jobs/job_1/suspects", params=query).json()
    damage(folder / name)
    with services.database.read() as connection:
        columns = ranking_columns.opened(connection, folder, "job_1")
        assert columns.with_id("row-").all()
        assert (
            columns.order(connection, "job_1", "mislabeled").tolist()
            == np.argsort(-table["mislabeled"].to_numpy(), kind="stable").tolist()
        )
    assert columns.part is not None
    assert columns.part.tolist() == part.tolist()
    if name == "map-pca.npy":
        # Which is not in the database.
        with pytest.raises(Damaged):
            columns.coordinates("pca")
    else:
        assert columns.coordinates("pca") is not None
    object.__setattr__(services, "open_rankings", open_rankings.OpenRankings())
    assert client.get("/jobs/job_1/suspects", params=query).json() == sound


def test_a_damaged_profile_is_computed_again(client: httpx.Client, services: Services) -> None:
    info = client.post("/datasets", **UPLOAD).json()
    sound = client.get(f"/datasets/{info['id']}/profile").json()
    for damage in (flip_bit, cut_short):
        damage(services.blobs.profile(info["id"]))
        assert client.get(f"/datasets/{info['id']}/profile").json() == sound
    assert json.loads(services.blobs.profile(info["id"]).read_text())["rows"] == 60


def test_damaged_files_of_a_search_are_made_again(client: httpx.Client, services: Services) -> None:
    content = b"text,label\n" + b"".join(
        b"the %d words of a text,%s\n" % (i, b"ab"[i % 2 : i % 2 + 1]) for i in range(40)
    )
    info = client.post("/datasets", **form(content, "texts.csv", {"modality": "text", "label": "label"})).json()
    folder, data = services.blobs.search(info["id"]), services.blobs.canonical(info["id"])
    sound = searched_texts.with_text(folder, data, "7 WORDS").tolist()
    assert sum(sound) == 4
    for name in ("texts.bytes", "texts-starts.npy"):
        flip_bit(folder / name, 1)
        assert searched_texts.with_text(folder, data, "7 WORDS").tolist() == sound
