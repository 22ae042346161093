"""A disk that is full fails a job by its right name in every phase, and the job goes on once there is room."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from service.domain.job import State
from service.logs import log_to_stderr
from service.settings import Settings
from service.store import jobs
from service.store.blobs import Blobs
from service.store.engine import migrate, open_database
from service.store.jobs import Job
from service.store.tables import suspects
from tests.attempts import do_job
from tests.builders import add_dataset, add_job
from tests.disk import CannotMount, Disk, mounted
from worker.backbones.feature_cache import FeatureCache
from worker.influence import activations
from worker.job import tasks, trained
from worker.job.context import WorkerContext
from worker.job.heartbeat import Heartbeat
from worker.job.preparation import prepare
from worker.machine.devices import CPU

TRAINING = {"epochs": 3, "batch_size": 16}
STATES = [State.PREPARING, State.TRAINING, State.SCORING, State.RANKING]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        with mounted(folder, mebibytes=16) as disk:
            yield disk
    except CannotMount as error:
        pytest.skip(str(error))


def context_on(disk: Disk, database_url: str) -> WorkerContext:
    log_to_stderr()  # the default form of errors shows all variables, tensors too
    home = disk.folder / "home"
    home.mkdir()
    return WorkerContext(Settings(home=home), open_database(database_url), Blobs(home), CPU, lambda: False)


def run(context: WorkerContext, job_id: str) -> Job:
    do_job(job_id, f"worker {job_id}", context)
    with context.database.read() as connection:
        job = jobs.get(connection, job_id)
    assert job is not None
    return job


def retried(context: WorkerContext, job_id: str) -> Job:
    with context.database.write() as connection:
        assert jobs.retry(connection, job_id, tasks._now())
    return run(context, job_id)


def ranking(context: WorkerContext, job_id: str) -> list[dict[str, Any]]:
    with context.database.read() as connection:
        rows = connection.execute(suspects.select().where(suspects.c.job_id == job_id).order_by(suspects.c.index))
        return [{**row, "job_id": None} for row in rows.mappings()]


def filled_at(monkeypatch: pytest.MonkeyPatch, disk: Disk, state: State) -> None:
    """Fill the disk when a job enters a phase, once."""
    enter = Heartbeat.enter

    def entering(self: Heartbeat, entered: State, detail: str) -> None:
        enter(self, entered, detail)
        if entered == state:
            disk.fill()

    def preparing(*given: Any) -> Any:
        prepared = prepare(*given)
        disk.fill()
        return prepared

    monkeypatch.setattr(Heartbeat, "enter", entering)
    if state == State.PREPARING:
        monkeypatch.setattr(trained, "prepare", preparing)


@pytest.mark.parametrize("state", STATES)
def test_a_full_disk_is_told_in_every_phase_and_nothing_is_lost(
    disk: Disk, empty_sqlite: str, monkeypatch: pytest.MonkeyPatch, state: State
) -> None:
    context = context_on(disk, empty_sqlite)
    info = add_dataset(context.database, blobs=context.blobs, rows=60)
    add_job(context.database, info, training=TRAINING)
    with monkeypatch.context() as disturbed:
        # Traces are written to mapped files, as those of large jobs are.
        disturbed.setattr(activations, "_IN_MEMORY", 0)
        filled_at(disturbed, disk, state)
        job = run(context, "job_1")
    assert job.state == State.FAILED
    assert job.error is not None
    assert job.error.code == "storage_full"
    assert "free some space" in job.error.detail
    left = {
        path.name for path in context.blobs.job("job_1").rglob("*") if "part" in path.name or path.name == "scratch"
    }
    assert left == set()
    disk.make_room()
    assert retried(context, "job_1").state == State.COMPLETED
    add_job(context.database, info, "job_2", training=TRAINING)
    assert run(context, "job_2").state == State.COMPLETED
    assert ranking(context, "job_1") == ranking(context, "job_2")


def test_a_database_whose_disk_is_full_fails_the_job_that_records_and_it_goes_on(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(f"sqlite:///{disk.folder / 'suspects.db'}")
    context = context_on(disk, f"sqlite:///{disk.folder / 'suspects.db'}")
    add_job(context.database, add_dataset(context.database, blobs=context.blobs, rows=2000), training=TRAINING)
    record = tasks._record

    def recording(*given: Any) -> None:
        disk.fill(leave=64 * 1024)
        record(*given)

    with monkeypatch.context() as disturbed:
        disturbed.setattr(tasks, "_record", recording)
        job = run(context, "job_1")
    assert job.state == State.FAILED
    assert job.error is not None
    assert job.error.code == "storage_full"
    disk.make_room()
    assert retried(context, "job_1").state == State.COMPLETED


def test_features_for_which_there_is_no_room_are_told_before_they_are_written(disk: Disk) -> None:
    features = FeatureCache(disk.folder, 10**9)
    rows = 10**5
    part = torch.arange(10)
    with pytest.raises(OSError, match="No space left"):
        features.store("key", rows, iter([(part, (torch.zeros(10, 100),))]))
    assert list(disk.folder.iterdir()) == []
