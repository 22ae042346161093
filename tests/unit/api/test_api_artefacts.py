"""A service whose files are in an artefact store, and whose data folder is a cache of it."""

import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from service.background.collect import collect
from service.services import Services
from service.settings import Settings
from service.store.artefact_cache import ArtefactCache
from service.store.artefact_store import ArtefactStore
from service.store.blobs import Blobs
from tests.builders import add_finished, form
from tests.damage import cut_short, flip_bit

UPLOAD = form(spec={"label": "animal"})
OLD = timedelta(hours=25)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The folder of the store."""
    return tmp_path / "store"


@pytest.fixture
def settings(settings: Settings, store: Path) -> Settings:
    return settings.model_copy(update={"artefacts": f"file://{store}"})


def stored(store: Path) -> list[str]:
    return sorted(path.relative_to(store).as_posix() for path in store.rglob("*") if path.is_file())


def cut_off(services: Services) -> None:
    """The store is away."""
    home = services.blobs.home
    object.__setattr__(services, "blobs", Blobs(home, ArtefactCache(home, ArtefactStore("file:///dev/null/away"), 1)))


def put(services: Services, store: Path, key: str, age: timedelta = OLD) -> Path:
    """A file of the store, written so long ago."""
    path = store / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"12345")
    os.utime(path, ((services.now() - age).timestamp(),) * 2)
    return path


def test_a_dataset_outlives_the_data_folder_and_ends_with_its_deletion(
    client: httpx.Client, services: Services, store: Path
) -> None:
    info = client.post("/datasets", **UPLOAD).json()
    folder = f"datasets/{info['id']}"
    assert f"{folder}/data.parquet" in stored(store)
    before = client.get(f"/datasets/{info['id']}/samples").json()
    profile = client.get(f"/datasets/{info['id']}/profile").json()
    shutil.rmtree(services.blobs.home / "datasets")
    assert client.get(f"/datasets/{info['id']}/samples").json() == before
    assert client.get(f"/datasets/{info['id']}/profile").json() == profile
    assert client.get(f"/datasets/{info['id']}/download?format=original").content == UPLOAD["files"]["file"][1]
    # What the store lost is there again after another upload of the same file.
    shutil.rmtree(services.blobs.home / "datasets")
    shutil.rmtree(store / folder)
    assert client.post("/datasets", **UPLOAD).json()["id"] == info["id"]
    assert f"{folder}/data.parquet" in stored(store)
    assert client.get(f"/datasets/{info['id']}/samples").json() == before
    client.delete(f"/datasets/{info['id']}").raise_for_status()
    assert stored(store) == []


@pytest.mark.parametrize("damage", [flip_bit, cut_short, Path.unlink])
@pytest.mark.parametrize("file", ["data.parquet", "seal"])
def test_what_is_damaged_in_the_store_is_there_again_after_an_upload_though_the_copy_here_is_sound(
    client: httpx.Client, services: Services, store: Path, file: str, damage: Callable[[Path], None]
) -> None:
    info = client.post("/datasets", **UPLOAD).json()
    folder = f"datasets/{info['id']}"
    before, written = client.get(f"/datasets/{info['id']}/samples").json(), (store / folder / file).read_bytes()
    damage(store / folder / file)
    assert client.post("/datasets", **UPLOAD).json()["id"] == info["id"]
    assert (store / folder / file).read_bytes() == written
    shutil.rmtree(services.blobs.home / "datasets")  # as on another host
    assert client.get(f"/datasets/{info['id']}/samples").json() == before


def test_a_copy_that_is_damaged_here_is_fetched_again(client: httpx.Client, services: Services) -> None:
    info = client.post("/datasets", **UPLOAD).json()
    before = client.get(f"/datasets/{info['id']}/samples").json()
    flip_bit(services.blobs.canonical(info["id"]))
    first = client.get(f"/datasets/{info['id']}/samples")
    assert (first.status_code, first.json()["code"], first.headers["Retry-After"]) == (503, "unavailable", "1")
    assert client.get(f"/datasets/{info['id']}/samples").json() == before


def test_a_store_that_is_away_is_told_and_no_row_is_written(client: httpx.Client, services: Services) -> None:
    assert (
        client.get("/readyz")
        .json()["checks"]["storage"]["detail"]
        .startswith("can be written, and the artefact store; ")
    )
    cut_off(services)
    refused = client.post("/datasets", **UPLOAD)
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert "the artefact store file:///dev/null/away cannot be written" in refused.json()["detail"]
    assert int(refused.headers["Retry-After"]) > 0
    assert client.get("/datasets").json()["items"] == []
    storage = client.get("/readyz").json()["checks"]["storage"]
    assert storage == {"ok": False, "detail": "the artefact store cannot be written; see the log of the API"}


def test_the_store_is_collected_as_the_folder_is(services: Services, store: Path) -> None:
    info = add_finished(services.database, services.blobs)
    services.blobs.upload(services.blobs.dataset(info.id))
    put(services, store, "jobs/job_1/evidence/loss.npy")
    kept = stored(store)
    put(services, store, "jobs/job_1/checkpoints/00001.pt")  # it ended months ago
    put(services, store, "jobs/job_9/ranking/header.json")
    put(services, store, "datasets/ds_9/data.parquet")
    put(services, store, "uploads/abc.question")
    put(services, store, "jobs/job_8/model.safetensors")
    young = put(services, store, "jobs/job_8/ranking/header.json", timedelta(hours=1))
    assert collect(services) == 4
    assert services.collected.numbers == {"orphan": 2, "unfinished": 1, "checkpoints": 1}
    assert services.collected.sizes == {"orphan": 10, "unfinished": 5, "checkpoints": 5}
    others = [path.relative_to(store).as_posix() for path in (young, young.parents[1] / "model.safetensors")]
    assert stored(store) == sorted(kept + others)


def test_each_host_removes_its_copies_of_what_was_deleted_elsewhere(services: Services, store: Path) -> None:
    add_finished(services.database, services.blobs)
    put(services, store, "jobs/job_9/model.safetensors", timedelta(0))
    copy = services.blobs.model("job_9")
    for path in (copy, copy.parent):
        os.utime(path, (0, 0))
    with services.database.try_lock("collect") as free:  # another service collects the store
        assert free
        assert collect(services) == 1
    assert not copy.exists()
    assert stored(store) == ["jobs/job_9/model.safetensors"]


def test_deletions_while_the_store_is_away_are_made_up_for(services: Services, store: Path) -> None:
    put(services, store, "jobs/job_9/model.safetensors")
    add_finished(services.database, services.blobs)
    at_hand = services.blobs
    cut_off(services)
    services.blobs.remove(services.blobs.job("job_9"))
    object.__setattr__(services, "blobs", at_hand)
    assert stored(store) == ["jobs/job_9/model.safetensors"]
    collect(services)
    assert stored(store) == []
