"""A rescoring measures the checkpoints that the job measured, whatever else lies beside them."""

import shutil
from datetime import timedelta
from typing import Any, NoReturn

import pytest
import structlog

from service.domain.review import Decision
from service.settings import Settings
from service.store import rescorings, reviews
from service.store.blobs import Blobs
from service.store.engine import open_database
from service.store.seal import remove_sealed
from service.store.tables import suspects
from tests.attempts import do_job
from tests.builders import NOON, add_dataset, add_job
from worker.job import scoring
from worker.job.context import WorkerContext, checkpoint_path
from worker.job.rescoring import claim_next_rescoring, run_rescoring
from worker.machine.devices import CPU

TRAINING = {"epochs": 6, "batch_size": 16, "checkpoints": 3, "learning_rate": 0.01}


@pytest.fixture
def context(empty_sqlite: str, blobs: Blobs) -> WorkerContext:
    """A worker whose job is done, and twenty of its samples kept."""
    found = WorkerContext(Settings(home=blobs.home), open_database(empty_sqlite), blobs, CPU, lambda: False)
    info = add_dataset(found.database, blobs=blobs, rows=60)
    add_job(found.database, info, "job_2", model={"name": "mlp", "params": {"trees": True}}, training=TRAINING)
    do_job("job_2", "worker", found)
    with found.database.write() as connection:
        kept = [Decision(sample_id=f"row-{row}", decision="keep", label=None) for row in range(20)]
        reviews.add(connection, "job_2", kept, "api", NOON)
    return found


def rescored(context: WorkerContext, number: int) -> list[Any]:
    now = NOON + timedelta(minutes=number)
    with context.database.write() as connection:
        rescorings.request(connection, "job_2", 20, now)
    claim = claim_next_rescoring("worker", context)
    assert claim is not None
    run_rescoring(claim, context)
    with context.database.read() as connection:
        latest = rescorings.latest(connection, "job_2")
        assert latest is not None
        assert latest.error is None, latest.error
        rows = connection.execute(suspects.select().where(suspects.c.job_id == "job_2").order_by(suspects.c.index))
        return list(rows)


def test_a_checkpoint_that_was_not_scored_is_not_measured(context: WorkerContext) -> None:
    before = rescored(context, 1)
    folder = context.blobs.checkpoints("job_2")
    kept = sorted(int(path.stem) for path in folder.glob("*.pt"))
    (stray, *_) = set(range(1, 7)) - set(kept)
    shutil.copy(checkpoint_path(folder, kept[-1]), checkpoint_path(folder, stray))
    assert rescored(context, 2) == before


def test_no_tree_is_grown_for_a_rescoring(context: WorkerContext, monkeypatch: pytest.MonkeyPatch) -> None:
    file = context.blobs.checkpoints("job_2") / "trees.npy"
    kept, written = rescored(context, 1), file.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(scoring, "trees_beside", no_trees)
        assert rescored(context, 2) == kept
    # What is damaged is not read, and what is gone is made again, to the same bits.
    file.write_bytes(written[:-1] + bytes([written[-1] ^ 1]))
    assert rescored(context, 3) == kept
    remove_sealed(file)
    assert rescored(context, 4) == kept


def no_trees(*_arguments: object) -> NoReturn:
    raise AssertionError("trees were grown")


def test_a_rescoring_without_a_checkpoint_says_that_they_are_gone(context: WorkerContext) -> None:
    next(iter(context.blobs.checkpoints("job_2").glob("*.pt"))).unlink()
    with structlog.testing.capture_logs() as lines, pytest.raises(AssertionError, match="are gone"):
        rescored(context, 1)
    assert [line["log_level"] for line in lines if line["event"].startswith("rescoring failed")] == ["info"]
