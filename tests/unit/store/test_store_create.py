"""Of two that create the same one row stays, on SQLite and on PostgreSQL, and no file of the other."""

from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.domain.dataset import DatasetInfo
from service.domain.errors import StorageFull
from service.store import datasets
from service.store.blobs import Blobs
from service.store.create import create_or_adopt, create_with_files
from service.store.engine import Database
from tests.builders import NOON, dataset_info


def make(database: Database, blobs: Blobs, dataset_id: str, digest: str = "sha256:same") -> DatasetInfo:
    folder = blobs.dataset(dataset_id)

    def written() -> DatasetInfo:
        folder.mkdir(parents=True)
        (folder / "data.parquet").write_bytes(b"rows")
        return dataset_info(dataset_id).model_copy(update={"digest": digest})

    return create_with_files(database, blobs, folder, written, datasets.add, datasets.by_digest)


def test_the_second_of_two_gets_the_row_of_the_first_and_keeps_no_file(database: Database, blobs: Blobs) -> None:
    assert [make(database, blobs, name).id for name in ("ds_1", "ds_2")] == ["ds_1", "ds_1"]
    assert make(database, blobs, "ds_3", "sha256:other").id == "ds_3"
    assert [blobs.canonical(name).exists() for name in ("ds_1", "ds_2", "ds_3")] == [True, False, True]


def test_what_breaks_another_constraint_is_an_error_and_keeps_no_file(database: Database, blobs: Blobs) -> None:
    make(database, blobs, "ds_1")
    blobs.remove(blobs.dataset("ds_1"))
    with pytest.raises(sa.exc.IntegrityError):
        make(database, blobs, "ds_1", "sha256:other")
    assert not blobs.dataset("ds_1").exists()


def test_a_full_disk_is_told_and_keeps_no_file(database: Database, blobs: Blobs) -> None:
    folder = blobs.dataset("ds_1")

    def fill() -> DatasetInfo:
        folder.mkdir(parents=True)
        with Path("/dev/full").open("w") as file:
            file.write("rows")
        raise AssertionError

    with pytest.raises(StorageFull):
        create_with_files(database, blobs, folder, fill, datasets.add, datasets.by_digest)
    assert not folder.exists()


def test_what_was_half_written_is_rolled_back_before_anything_is_adopted(database: Database) -> None:
    info = dataset_info("ds_1")

    def twice(connection: sa.Connection) -> datetime:
        datasets.add(connection, info)
        datasets.add(connection, info)
        return NOON

    def adopt(connection: sa.Connection) -> datetime | None:
        return NOON if datasets.get(connection, info.id) is None else None

    assert create_or_adopt(database, twice, adopt) == NOON
