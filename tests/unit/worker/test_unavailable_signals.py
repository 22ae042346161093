"""Signals that a client asks for and that its job cannot give are named in a warning."""

from collections.abc import Mapping
from typing import Any

import pytest

from service.domain.resolve import resolve
from service.domain.review import Decision
from service.domain.signal import are_chosen
from service.domain.specs import JobRequest, ModelRequest
from service.settings import Settings
from service.store import jobs, rescorings, reviews
from service.store.blobs import Blobs
from service.store.engine import open_database
from tests.attempts import do_job
from tests.builders import NOON, add_dataset, add_job, dataset_info
from worker.job.context import WorkerContext
from worker.job.rescoring import claim_next_rescoring, run_rescoring
from worker.machine.devices import CPU

TRAINING = {"epochs": 2, "batch_size": 16, "learning_rate": 0.01}


@pytest.fixture
def context(empty_sqlite: str, blobs: Blobs) -> WorkerContext:
    """A worker and a table of 60 samples."""
    found = WorkerContext(Settings(home=blobs.home), open_database(empty_sqlite), blobs, CPU, lambda: False)
    add_dataset(found.database, blobs=blobs, rows=60)
    return found


def finished(context: WorkerContext, **options: Any) -> Mapping[str, Any]:
    """The result of a job over the table."""
    add_job(context.database, dataset_info(rows=60), "job_1", model={"name": "mlp"}, training=TRAINING, **options)
    do_job("job_1", "worker", context)
    return result(context)


def result(context: WorkerContext) -> Mapping[str, Any]:
    with context.database.read() as connection:
        job = jobs.get(connection, "job_1")
    assert job is not None
    assert job.result is not None, job.error
    return job.result


def told(found: Mapping[str, Any]) -> list[str]:
    return [one["detail"] for one in found["warnings"] if one["code"] == "signals_not_computed"]


def test_each_is_named_with_its_reason_until_a_ranking_has_it(context: WorkerContext) -> None:
    first = finished(context, signals=["si", "frozen_vote", "influence_density", "support_all"])
    assert set(first["signals"]) == {"mislabeled", "anomalous", "si"}
    (detail,) = told(first)
    assert "frozen_vote: the samples are not embeddings" in detail
    assert "influence_density, support_all: the job has no samples that people have verified" in detail
    with context.database.write() as connection:
        kept = [Decision(sample_id=f"row-{row}", decision="keep", label=None) for row in range(20)]
        reviews.add(connection, "job_1", kept, "api", NOON)
        rescorings.request(connection, "job_1", 20, NOON)
    claim = claim_next_rescoring("worker", context)
    assert claim is not None
    run_rescoring(claim, context)
    later = result(context)
    assert {"influence_density", "support_all"} <= set(later["signals"])
    (detail,) = told(later)
    assert "frozen_vote" in detail
    assert "influence_density" not in detail


def test_where_the_service_chose_them_nothing_is_told(context: WorkerContext) -> None:
    assert told(finished(context)) == []


@pytest.mark.parametrize("model", ["mlp", "boosted_trees"])
def test_a_job_that_repeats_what_the_service_chose_has_chosen_nothing(model: str) -> None:
    names = resolve(JobRequest(dataset="ds_1", model=ModelRequest(name=model)), dataset_info()).signals
    assert not are_chosen(names)
    assert are_chosen(names[:-1])
