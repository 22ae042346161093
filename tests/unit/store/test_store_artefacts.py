"""Files that hosts share by an artefact store: here a folder; tests/integration/test_artefacts.py has S3."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from service.domain.dataset import DatasetInfo
from service.domain.errors import ArtefactsUnavailable, Damaged
from service.settings import Settings
from service.store import datasets, units
from service.store.artefact_cache import ArtefactCache
from service.store.artefact_store import ArtefactStore, StoredArtefact
from service.store.blobs import Blobs, open_blobs
from service.store.create import create_with_files
from service.store.engine import Database
from service.store.seal import check, read_checked, remove_sealed, seal_folder, sealed_write
from service.store.units import Units
from tests.builders import dataset_info
from tests.damage import flip_bit

NO_FOLDER = "file:///dev/null/artefacts"  # where nothing can be written


class Watched(ArtefactStore):
    """A store that notes what is read, and does something to each file that comes."""

    def __init__(self, folder: Path, after: Callable[[Path], None] = lambda _path: None) -> None:
        super().__init__(f"file://{folder}")
        self.read: list[str] = []
        self.after = after

    def get(self, files: Mapping[str, Path]) -> None:
        super().get(files)
        for key, path in files.items():
            self.read.append(key)
            self.after(path)


@pytest.fixture
def store(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "store")


def host(tmp_path: Path, name: str, store: ArtefactStore, max_bytes: int = 2**30) -> Blobs:
    """The data folder of a host."""
    return Blobs(tmp_path / name, ArtefactCache(tmp_path / name, store, max_bytes))


def add_files(blobs: Blobs, dataset_id: str = "ds_1", content: bytes = b"rows") -> Path:
    """The files of a dataset, sealed."""
    folder = blobs.dataset(dataset_id)
    folder.mkdir(parents=True)
    (folder / "data.parquet").write_bytes(content)
    seal_folder(folder)
    return folder


def write_ranking(blobs: Blobs, content: str) -> Path:
    """A ranking as a worker writes it."""
    folder = blobs.job("job_1") / "ranking"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "header.json").write_text(content)
    seal_folder(folder)
    return folder


def grow_old(blobs: Blobs) -> None:
    """Nothing of this host was used for a day."""
    for path in (blobs.home / "cache").glob("*.use"):
        os.utime(path, (time.time() - 86_400,) * 2)


def test_what_one_host_stored_another_reads(tmp_path: Path, store: Watched) -> None:
    one, other = host(tmp_path, "one", store), host(tmp_path, "other", store)
    one.upload(add_files(one), write_ranking(one, "{}"))
    assert read_checked(other.canonical("ds_1")) == b"rows"
    assert (other.ranking("job_1") / "header.json").read_text() == "{}"
    assert not other.skipped("ds_1").exists()
    assert not other.ranking("job_1", 1).exists()


def test_a_question_is_asked_on_one_host_and_answered_on_another(tmp_path: Path, store: Watched) -> None:
    api, worker = host(tmp_path, "api", store), host(tmp_path, "worker", store)
    question = api.question("abc")
    question.write_bytes(b"samples")
    api.upload(question)
    assert worker.question("abc").read_bytes() == b"samples"
    assert not api.answer("abc").exists()
    answer = worker.answer("abc")
    answer.write_bytes(b"probabilities")
    worker.upload(answer)
    assert api.answer("abc").read_bytes() == b"probabilities"
    for path in (question, api.uploads / "abc.answer"):
        api.remove(path)
    assert (list(api.uploads.iterdir()), store.under("")) == ([], {})


def test_without_a_store_nothing_but_paths_is_given(tmp_path: Path) -> None:
    blobs = open_blobs(Settings(home=tmp_path))
    blobs.upload(blobs.canonical("ds_1"), blobs.ranking("job_1"))
    blobs.probe()
    with blobs.in_use(blobs.dataset("ds_1")):
        assert list(tmp_path.iterdir()) == []
    assert (blobs.stored(), blobs.has_checkpoints("job_1")) == ({}, False)


def test_no_row_is_written_before_its_files_are_stored(tmp_path: Path, store: Watched, empty_sqlite: str) -> None:
    blobs, stored = host(tmp_path, "one", store), []

    def add(_connection: sa.Connection, _info: DatasetInfo) -> None:
        stored.extend(sorted(store.under("")))

    def create(blobs: Blobs) -> None:
        def make() -> DatasetInfo:
            folder.mkdir(parents=True)
            (folder / "data.parquet").write_bytes(b"rows")
            return dataset_info("ds_1")

        database, folder = Database(sa.create_engine(empty_sqlite)), blobs.dataset("ds_1")
        create_with_files(database, blobs, folder, make, add, datasets.by_digest)

    create(blobs)
    assert stored == ["datasets/ds_1/data.parquet", "datasets/ds_1/seal"]
    away = host(tmp_path, "away", ArtefactStore(NO_FOLDER))
    stored.clear()
    with pytest.raises(ArtefactsUnavailable, match="cannot be written"):
        create(away)
    assert stored == []
    assert not away.dataset("ds_1").exists()


def test_a_file_is_fetched_once_whoever_asks_at_once(tmp_path: Path, store: Watched) -> None:
    one = host(tmp_path, "one", store)
    one.upload(add_files(one), write_ranking(one, "{}"))
    store.after = lambda _path: time.sleep(0.05)
    # Two processes of a host have a cache each over the same folder.
    others = [host(tmp_path, "other", store) for _ in range(2)] * 2

    def read(blobs: Blobs) -> None:
        check(blobs.canonical("ds_1"))
        check(blobs.ranking("job_1") / "header.json")

    threads = [threading.Thread(target=read, args=[blobs]) for blobs in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.read.count("datasets/ds_1/data.parquet") == 1
    assert store.read.count("jobs/job_1/ranking/header.json") == 1


def test_one_that_was_stopped_while_it_fetched_does_not_hold_up_the_others_for_ever(
    tmp_path: Path, store: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = host(tmp_path, "one", store), host(tmp_path, "other", store)
    one.upload(add_files(one), write_ranking(one, "{}"))
    monkeypatch.setattr(units, "_PATIENCE_S", 0.1)
    with Units(other.home).fetching(other.dataset("ds_1")), Units(other.home).fetching(other.job("job_1")):
        assert other.canonical("ds_1").read_bytes() == b"rows"
        assert (other.ranking("job_1") / "header.json").read_text() == "{}"


def test_what_is_damaged_on_the_way_is_fetched_once_more(tmp_path: Path, store: Watched) -> None:
    one, other = host(tmp_path, "one", store), host(tmp_path, "other", store)
    one.upload(add_files(one), write_ranking(one, "{}"))
    damaged: list[str] = []

    def damage_first(path: Path) -> None:
        if path.name not in ("seal", *damaged):
            damaged.append(path.name)
            flip_bit(path)

    store.after = damage_first
    assert read_checked(other.canonical("ds_1")) == b"rows"
    assert read_checked(other.ranking("job_1") / "header.json") == b"{}"
    assert damaged == ["data.parquet", "header.json"]


def test_what_is_damaged_in_the_store_is_told_and_never_put_in_place(tmp_path: Path, store: Watched) -> None:
    one, other = host(tmp_path, "one", store), host(tmp_path, "other", store)
    one.upload(add_files(one))
    flip_bit(tmp_path / "store/datasets/ds_1/data.parquet")
    with pytest.raises(Damaged, match=r"datasets/ds_1/data\.parquet is damaged in file://"):
        other.canonical("ds_1")
    assert not (other.dataset("ds_1") / "data.parquet").exists()
    assert [path for path in (other.home / "cache").iterdir() if path.is_dir()] == []


def test_a_copy_that_was_damaged_here_is_dropped_and_fetched_again(tmp_path: Path, store: Watched) -> None:
    one, other = host(tmp_path, "one", store), host(tmp_path, "other", store)
    one.upload(add_files(one), write_ranking(one, "{}"))
    for path in (other.canonical("ds_1"), other.ranking("job_1") / "header.json"):
        flip_bit(path)
        with pytest.raises(Damaged) as told:
            check(path)
        assert other.forget(told.value)
    assert read_checked(other.canonical("ds_1")) == b"rows"
    assert read_checked(other.ranking("job_1") / "header.json") == b"{}"
    alone = add_files(other, "ds_2") / "data.parquet"
    flip_bit(alone)
    with pytest.raises(Damaged) as told:
        check(alone)
    assert not other.forget(told.value)  # the store does not have it
    assert alone.exists()


def test_results_of_an_attempt_that_was_cut_off_give_way_to_those_that_were_stored_later(
    tmp_path: Path, store: Watched
) -> None:
    cut_off, later = host(tmp_path, "cut off", store), host(tmp_path, "later", store)
    cut_off.upload(write_ranking(cut_off, "old"))
    later.upload(write_ranking(later, "new"))
    for path, content in ((cut_off.job("job_1") / "model.safetensors", b"old"), (later.model("job_1"), b"new")):
        with sealed_write(path) as part:
            part.write_bytes(content)
    later.upload(later.job("job_1") / "model.safetensors")
    again = host(tmp_path, "cut off", store)
    assert (again.ranking("job_1") / "header.json").read_text() == "new"
    assert again.model("job_1").read_bytes() == b"new"


def test_an_upload_takes_the_place_of_all_that_another_attempt_stored(tmp_path: Path, store: Watched) -> None:
    blobs = host(tmp_path, "one", store)
    folder = write_ranking(blobs, "{}")
    (folder / "order-si.npy").write_bytes(b"1")
    blobs.upload(folder)
    (folder / "order-si.npy").unlink()
    blobs.upload(folder)
    assert sorted(store.under("jobs")) == ["jobs/job_1/ranking/header.json", "jobs/job_1/ranking/seal"]


def test_checkpoints_are_those_of_the_store_and_damaged_ones_are_left_out(tmp_path: Path, store: Watched) -> None:
    one, other = host(tmp_path, "one", store), host(tmp_path, "other", store)
    for epoch in (1, 2, 4):
        path = one.checkpoints("job_1") / f"{epoch:05d}.pt"
        with sealed_write(path) as part:
            part.write_bytes(b"weights %d" % epoch)
        one.upload(path)
    flip_bit(tmp_path / "store/jobs/job_1/checkpoints/00002.pt")
    stale = other.job("job_1") / "checkpoints/00003.pt"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"of an attempt that went on elsewhere")

    folder = other.checkpoints("job_1")
    assert sorted(path.stem for path in folder.glob("*.pt")) == ["00001", "00004"]
    assert other.has_checkpoints("job_1")
    remove_sealed(folder / "00004.pt")
    (folder / "00005.pt").write_bytes(b"weights 5")
    other.upload_difference(folder)
    assert sorted(Path(key).name for key in store.under("jobs")) == ["00001.pt", "00001.pt.seal", "00005.pt"]
    # Of a job that the store does not know, what is here stays.
    path = other.job("job_2") / "checkpoints/00003.pt"
    path.parent.mkdir(parents=True)
    path.touch()
    assert (other.checkpoints("job_2") / "00003.pt").exists()


def test_eviction_takes_what_was_not_used_for_long_and_it_is_fetched_again(tmp_path: Path, store: Watched) -> None:
    blobs = host(tmp_path, "one", store, max_bytes=1)
    blobs.upload(add_files(blobs, "ds_1"), add_files(blobs, "ds_2"), write_ranking(blobs, "{}"))
    (blobs.dataset("ds_1") / "profile.json").write_text("{}")  # made again when it is asked for
    assert blobs.cache is not None
    assert blobs.cache.eviction.make_room() == 0  # all was used just now
    grow_old(blobs)
    assert blobs.cache.eviction.make_room() == 3
    assert not any(path.exists() for path in (blobs.dataset("ds_1"), blobs.dataset("ds_2"), blobs.job("job_1")))
    assert read_checked(blobs.canonical("ds_1")) == b"rows"
    assert read_checked(blobs.ranking("job_1") / "header.json") == b"{}"


def test_eviction_takes_no_more_than_it_must_and_the_oldest_first(tmp_path: Path, store: Watched) -> None:
    blobs = host(tmp_path, "one", store, max_bytes=5_000)
    for age, name in ((2, "ds_1"), (3, "ds_2"), (1, "ds_3")):
        blobs.upload(add_files(blobs, name, b"r" * 2_000))
        os.utime(blobs.home / "cache" / f"datasets-{name}.use", (time.time() - age * 3_600,) * 2)
    assert blobs.cache is not None
    assert blobs.cache.eviction.make_room() == 1
    assert [one for one in ("ds_1", "ds_2", "ds_3") if blobs.dataset(one).exists()] == ["ds_1", "ds_3"]


def test_a_unit_that_is_deleted_while_room_is_made_counts_as_gone(tmp_path: Path, store: Watched) -> None:
    blobs = host(tmp_path, "one", store, max_bytes=5_000)
    for number in (1, 2):
        blobs.upload(add_files(blobs, f"ds_{number}", os.urandom(4_000)))
    grow_old(blobs)
    listed = store.under

    def under(prefix: str) -> dict[str, StoredArtefact]:
        found = listed(prefix)
        blobs.remove_here(blobs.home / prefix)  # as another process that evicts or deletes it does
        return found

    store.under = under  # type: ignore[method-assign]  # another process acts while the store is asked
    assert blobs.cache is not None
    assert blobs.cache.eviction.make_room() == 1
    assert len(list((blobs.home / "datasets").iterdir())) == 1


def test_eviction_never_removes_what_is_not_stored_or_in_use(tmp_path: Path, store: Watched) -> None:
    blobs = host(tmp_path, "one", store, max_bytes=1)
    add_files(blobs, "ds_1")  # not stored
    blobs.upload(add_files(blobs, "ds_2"), add_files(blobs, "ds_3"))
    (blobs.dataset("ds_2") / "amendments.parquet").write_bytes(b"not stored")
    assert blobs.cache is not None
    with host(tmp_path, "one", store).in_use(blobs.dataset("ds_3")):  # as a worker beside it
        for path in (blobs.dataset("ds_1"), *(blobs.home / "cache").glob("*.use")):
            os.utime(path, (0, 0))
        assert blobs.cache.eviction.make_room() == 0
    grow_old(blobs)
    assert blobs.cache.eviction.make_room() == 1
    assert [one for one in ("ds_1", "ds_2", "ds_3") if blobs.dataset(one).exists()] == ["ds_1", "ds_2"]


def test_what_is_deleted_is_deleted_in_the_store(tmp_path: Path, store: Watched) -> None:
    one, other = host(tmp_path, "one", store), host(tmp_path, "other", store)
    one.upload(add_files(one), write_ranking(one, "{}"))
    path = one.job_file("job_1", "learning_rate.json")
    with sealed_write(path) as part:
        part.write_text("{}")
    one.upload(path)
    other.discard(other.job("job_1") / "learning_rate.json")
    assert not other.job_file("job_1", "learning_rate.json").exists()
    other.remove(other.job("job_1"))
    other.remove(other.dataset("ds_1"))
    assert store.under("") == {}


@pytest.mark.parametrize("place", ["bucket", "s3://", "s3://Bucket", "s3:///prefix", "file://relative", "gs://bucket"])
def test_a_place_that_cannot_be_is_refused_at_the_start(place: str) -> None:
    with pytest.raises(ValidationError, match="must be s3://BUCKET"):
        Settings(artefacts=place)
