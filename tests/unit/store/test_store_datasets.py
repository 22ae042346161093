"""Datasets in the ledger, on SQLite and on PostgreSQL."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from service.store import datasets, jobs
from service.store.engine import Database
from tests.builders import NOON, add_dataset, add_job


def test_a_dataset_comes_back_with_the_columns_of_its_features(database: Database) -> None:
    info = add_dataset(database)
    with database.read() as connection:
        assert datasets.get(connection, info.id) == info
        assert datasets.by_digest(connection, info.digest) == info
        assert datasets.get(connection, "ds_0") is None
        assert datasets.by_digest(connection, "sha256:0") is None


def test_a_digest_is_stored_once(database: Database) -> None:
    info = add_dataset(database)
    with pytest.raises(sa.exc.IntegrityError):
        add_dataset(database, "ds_2", digest=info.digest)


def test_pages_of_datasets_never_overlap_and_lose_none(database: Database) -> None:
    for number in range(7):
        add_dataset(database, f"ds_{number}", created_at=NOON + timedelta(seconds=number // 3))
    seen: list[str] = []
    before = None
    with database.read() as connection:
        while True:
            found, total = datasets.page(connection, before, 2)
            assert total == 7
            if not found:
                break
            seen += [info.id for info in found]
            before = (found[-1].created_at, found[-1].id)
    assert seen == ["ds_6", "ds_5", "ds_4", "ds_3", "ds_2", "ds_1", "ds_0"]


def test_users_are_the_jobs_that_train_on_it_or_measure_with_it(database: Database) -> None:
    one, two = add_dataset(database), add_dataset(database, "ds_2")
    add_job(database, one, "job_1", reference={"dataset": "ds_2"})
    add_job(database, two, "job_2")
    with database.write() as connection:
        assert datasets.jobs_using(connection, "ds_1") == ["job_1"]
        assert sorted(datasets.jobs_using(connection, "ds_2")) == ["job_1", "job_2"]
        jobs.cancel(connection, "job_1", NOON)
        assert datasets.jobs_using(connection, "ds_2", active_only=True) == ["job_2"]


def test_a_dataset_in_use_cannot_be_removed(database: Database) -> None:
    info = add_dataset(database)
    add_job(database, info)
    with pytest.raises(sa.exc.IntegrityError), database.write() as connection:
        datasets.remove(connection, info.id)
    with database.write() as connection:
        jobs.cancel(connection, "job_1", NOON)
        jobs.remove(connection, "job_1")
        datasets.remove(connection, info.id)
        assert datasets.get(connection, info.id) is None
