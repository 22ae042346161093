"""A training whose rate was looked for begins again at a lower one where it diverges; a rate that a client chose stays."""

from typing import Any

import pytest
import torch
from torch import nn

from service.domain.dataset import DatasetInfo
from service.domain.job import State
from service.domain.specs import JobSpec
from service.settings import Settings
from service.store import job_events, jobs
from service.store.blobs import Blobs
from service.store.engine import open_database
from service.store.jobs import Job
from service.store.tables import suspects
from tests.attempts import do_job
from tests.builders import add_dataset, add_job, dataset_info, job_spec
from worker.job import trained
from worker.job.context import WorkerContext
from worker.job.steady_training import train_steadily
from worker.machine.devices import CPU
from worker.training.loop import Diverged
from worker.training.search import FoundRate

SEARCHED = {"find_learning_rate": True, "learning_rate": 0.8}


class Training:
    """A training that moves the weights and diverges above a rate."""

    def __init__(self, holds: float) -> None:
        self.holds, self.model, self.tried, self.begun = holds, nn.Linear(2, 2), list[float](), list[float]()
        self.first = self.model.weight.detach().clone()

    def fit(self, spec: JobSpec) -> int:
        assert torch.equal(self.model.weight, self.first), "each training begins with the first weights"
        with torch.no_grad():
            self.model.weight += 1
        self.tried.append(spec.training.learning_rate)
        if spec.training.learning_rate > self.holds:
            raise Diverged(2, "too fast")
        return spec.training.epochs

    def __call__(self, **training: Any) -> tuple[int, JobSpec]:
        spec = job_spec(dataset_info(), training=training)
        return train_steadily(spec, self.model, self.fit, lambda lower: self.begun.append(lower.training.learning_rate))


def test_the_rate_is_lowered_until_training_holds() -> None:
    training = Training(holds=0.1)
    epochs, spec = training(**SEARCHED)
    assert training.tried == pytest.approx([0.8, 0.2, 0.05])
    assert training.begun == training.tried[1:]
    assert (epochs, spec.training.learning_rate) == (spec.training.epochs, training.tried[-1])


def test_a_training_that_never_holds_is_given_up() -> None:
    training = Training(holds=0)
    with pytest.raises(Diverged):
        training(**SEARCHED)
    assert len(training.tried) == 4


def test_the_rate_of_a_client_is_not_changed() -> None:
    training = Training(holds=0.1)
    with pytest.raises(Diverged):
        training(learning_rate=0.8)
    assert training.begun == []


@pytest.fixture
def context(empty_sqlite: str, blobs: Blobs) -> WorkerContext:
    return WorkerContext(Settings(home=blobs.home), open_database(empty_sqlite), blobs, CPU, lambda: False)


def run(context: WorkerContext, info: DatasetInfo, job_id: str, **training: Any) -> Job:
    model = {"name": "mlp", "params": {"width": 8}}
    add_job(context.database, info, job_id, model=model, training={"epochs": 3, "batch_size": 16, **training})
    do_job(job_id, "worker", context)
    with context.database.read() as connection:
        job = jobs.get(connection, job_id)
    assert job is not None
    return job


def ranking(context: WorkerContext, job_id: str) -> list[dict[str, Any]]:
    with context.database.read() as connection:
        rows = connection.execute(suspects.select().where(suspects.c.job_id == job_id).order_by(suspects.c.index))
        return [{**row, "job_id": None} for row in rows.mappings()]


def test_a_job_that_began_again_is_one_that_had_the_lower_rate_from_the_start(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = add_dataset(context.database, blobs=context.blobs, rows=60)
    monkeypatch.setattr(trained, "find_rate", lambda *_given: FoundRate(400.0, ()))
    job = run(context, info, "job_2", find_learning_rate=True)
    assert job.state == State.COMPLETED
    assert job.result is not None
    rate = job.result["model"]["learning_rate"]
    assert 400 / 4**3 <= rate < 400
    other = run(context, info, "job_3", learning_rate=rate)
    assert ranking(context, "job_2") == ranking(context, "job_3")
    with context.database.read() as connection:
        told, alike = (
            [event.data for event in job_events.after_number(connection, one.id, 0) if event.kind == "metrics"][-3:]
            for one in (job, other)
        )
    assert told == alike
    assert [one["epoch"] for one in told] == [1, 2, 3]
