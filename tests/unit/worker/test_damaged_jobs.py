"""A job whose files were damaged gives the ranking that it would have given, or says which file is damaged."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.domain.dataset import DatasetInfo
from service.domain.job import State
from service.settings import Settings
from service.store import jobs
from service.store.artefact_cache import ArtefactCache
from service.store.artefact_store import ArtefactStore
from service.store.blobs import Blobs
from service.store.engine import Database, open_database
from service.store.jobs import Job
from service.store.seal import seal_folder
from service.store.tables import suspects
from tests.attempts import do_job
from tests.builders import add_dataset, add_job
from tests.damage import cut_short, flip_bit
from tests.unit.worker.canonical import canonical
from tests.unit.worker.networks import WORDS, text_network
from worker.job import trained
from worker.job.context import WorkerContext, checkpoint_path
from worker.job.preparation import fit
from worker.job.scoring import score
from worker.machine.devices import CPU
from worker.training.loop import TrainingState

TRAINING = {"epochs": 6, "batch_size": 16, "checkpoints": 4, "learning_rate": 0.01}
KEPT = [1, 2, 4, 6]
Damage = Callable[[Path], None]


@pytest.fixture
def context(empty_sqlite: str, blobs: Blobs) -> WorkerContext:
    return WorkerContext(
        Settings(home=blobs.home, max_attempts=3), open_database(empty_sqlite), blobs, CPU, lambda: False
    )


@pytest.fixture
def info(context: WorkerContext) -> DatasetInfo:
    """A table whose files are sealed, as those of an upload are."""
    found = add_dataset(context.database, blobs=context.blobs, rows=60)
    seal_folder(context.blobs.dataset(found.id))
    return found


def run(context: WorkerContext, info: DatasetInfo, job_id: str, **training: Any) -> Job:
    add_job(context.database, info, job_id, training=training or TRAINING)
    return again(context, job_id)


def again(context: WorkerContext, job_id: str) -> Job:
    do_job(job_id, f"worker {job_id}", context)
    return found(context.database, job_id)


def found(database: Database, job_id: str) -> Job:
    with database.read() as connection:
        job = jobs.get(connection, job_id)
    assert job is not None
    return job


def ranking(database: Database, job_id: str) -> list[dict[str, Any]]:
    with database.read() as connection:
        rows = connection.execute(suspects.select().where(suspects.c.job_id == job_id).order_by(suspects.c.index))
        return [{**row, "job_id": None} for row in rows.mappings()]


def interrupted(monkeypatch: pytest.MonkeyPatch, after: Callable[[], None]) -> None:
    """Do something once, when training is over and nothing is scored yet."""

    def disturbed(*given: Any, **options: Any) -> Any:
        monkeypatch.setattr(trained, "score", score)
        after()
        return score(*given, **options)

    monkeypatch.setattr(trained, "score", disturbed)


@pytest.mark.parametrize(("epoch", "damage"), [(1, flip_bit), (2, Path.unlink), (4, cut_short), (6, flip_bit)])
def test_a_damaged_checkpoint_is_trained_again_from_the_one_before(
    context: WorkerContext, info: DatasetInfo, monkeypatch: pytest.MonkeyPatch, epoch: int, damage: Damage
) -> None:
    folder = context.blobs.checkpoints("job_2")
    interrupted(monkeypatch, lambda: damage(checkpoint_path(folder, epoch)))
    job = run(context, info, "job_2")
    assert (job.state, job.attempts) == (State.QUEUED, 1)
    resumed: list[int] = []
    monkeypatch.setattr(trained, "fit", _noting(fit, resumed))
    job = again(context, "job_2")
    assert (job.state, job.attempts) == (State.COMPLETED, 2), job.error
    assert resumed == [max([kept for kept in KEPT if kept < epoch], default=0)]
    assert run(context, info, "job_1").state == State.COMPLETED
    assert ranking(context.database, "job_2") == ranking(context.database, "job_1")


def test_a_dataset_whose_copy_on_this_host_is_damaged_is_fetched_again(
    context: WorkerContext, info: DatasetInfo, tmp_path: Path
) -> None:
    shared = sharing(context, ArtefactStore(f"file://{tmp_path / 'store'}"))
    shared.blobs.upload(shared.blobs.dataset(info.id))
    flip_bit(shared.blobs.canonical(info.id))
    job = run(shared, info, "job_1")
    assert (job.state, job.attempts) == (State.QUEUED, 1)
    job = again(shared, "job_1")
    assert (job.state, job.attempts) == (State.COMPLETED, 2), job.error


def test_a_job_whose_artefact_store_is_away_waits_and_no_attempt_is_counted(
    context: WorkerContext, info: DatasetInfo
) -> None:
    away = sharing(context, ArtefactStore("file:///dev/null/away"))
    job = run(away, info, "job_1")
    assert (job.state, job.attempts, job.progress.detail) == (State.QUEUED, 0, "waiting for the artefact store")
    assert again(context, "job_1").state == State.COMPLETED


def sharing(context: WorkerContext, store: ArtefactStore) -> WorkerContext:
    """The same worker, whose data folder is a cache of a store."""
    home = context.blobs.home
    return replace(context, blobs=Blobs(home, ArtefactCache(home, store, 2**30)))


def _noting(trained: Callable[..., int], resumed: list[int]) -> Callable[..., int]:
    def noted(prepared: Any, spec: Any, resume: TrainingState | None, *callbacks: Any) -> int:
        resumed.append(0 if resume is None else resume.epoch)
        return trained(prepared, spec, resume, *callbacks)

    return noted


def test_a_disk_that_damages_every_checkpoint_fails_the_job_in_the_end(
    context: WorkerContext, info: DatasetInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = context.blobs.checkpoints("job_1")
    add_job(context.database, info, "job_1", training=TRAINING)
    for _ in range(3):
        interrupted(monkeypatch, lambda: flip_bit(checkpoint_path(folder, 2)))
        job = again(context, "job_1")
    assert job.state == State.FAILED
    assert job.error is not None
    assert job.error.code == "damaged"
    assert "jobs/job_1/checkpoints/00002.pt is damaged" in job.error.detail
    assert "examine the disk" in job.error.detail


@pytest.mark.parametrize("damage", [flip_bit, cut_short, Path.unlink])
def test_a_damaged_dataset_fails_the_job_and_names_the_file_and_the_cure(
    context: WorkerContext, info: DatasetInfo, damage: Damage
) -> None:
    damage(context.blobs.canonical(info.id))
    job = run(context, info, "job_1")
    assert job.state == State.FAILED
    assert job.error is not None
    assert job.error.code == "damaged"
    assert f"datasets/{info.id}/data.parquet" in job.error.detail
    assert "backup" in job.error.detail


def test_a_learning_rate_that_was_cut_short_is_looked_for_again(context: WorkerContext, info: DatasetInfo) -> None:
    path = context.blobs.job("job_1") / "learning_rate.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"rate": 0.0')
    job = run(context, info, "job_1", epochs=2)
    assert job.state == State.COMPLETED, job.error
    assert job.spec.training.find_learning_rate
    run(context, info, "job_2", epochs=2)
    assert ranking(context.database, "job_2") == ranking(context.database, "job_1")


@pytest.mark.slow  # trains
def test_a_job_whose_features_were_damaged_while_it_read_them_begins_anew(
    empty_sqlite: str, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.model_validate({"home": blobs.home, "text_backbones": "tiny"})
    text_network("bert", settings.models_folder / "tiny")
    context = WorkerContext(settings, open_database(empty_sqlite), blobs, CPU, lambda: False)
    info = add_dataset(context.database, modality="text", rows=36, splits={"train": 36}, features=[])
    blobs.canonical(info.id).parent.mkdir(parents=True)
    lines = [" ".join(WORDS[row % 3 * 6 + place] for place in range(2 + row % 4)) for row in range(36)]
    canonical(blobs.canonical(info.id), "text", {"line": ("text", lines)})
    training = {"epochs": 3, "batch_size": 8}
    assert run(context, info, "job_1", **training).state == State.COMPLETED

    def damaged(*given: Any, **options: Any) -> Any:
        monkeypatch.setattr(trained, "fit", fit)
        (file,) = blobs.features.glob("*/0.npy")
        flip_bit(file, 0.9)
        return fit(*given, **options)

    monkeypatch.setattr(trained, "fit", damaged)
    job = run(context, info, "job_2", **training)
    assert (job.state, job.attempts) == (State.QUEUED, 1)
    assert list(blobs.checkpoints("job_2").iterdir()) == []
    assert again(context, "job_2").state == State.COMPLETED
    assert ranking(context.database, "job_2") == ranking(context.database, "job_1")
