"""Jobs that are cancelled and deleted while a worker computes them."""

from typing import Any

import pytest

from service.settings import Settings
from service.store import counters, jobs
from service.store.blobs import Blobs
from service.store.engine import open_database
from tests.attempts import do_job
from tests.builders import NOON, add_dataset, add_job
from worker.job import tasks
from worker.job.context import WorkerContext
from worker.machine.devices import CPU


def test_a_job_that_is_deleted_while_it_is_computed_leaves_no_file(
    empty_sqlite: str, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = WorkerContext(Settings(home=blobs.home), open_database(empty_sqlite), blobs, CPU, lambda: False)
    info = add_dataset(context.database, blobs=blobs, rows=60)
    for job_id in ("job_1", "job_2"):
        add_job(context.database, info, job_id, training={"epochs": 2, "batch_size": 16})
    compute = tasks._compute

    def deleted_meanwhile(claim: Any, *others: Any) -> Any:
        if claim.job_id == "job_1":
            with context.database.write() as connection:
                assert jobs.cancel(connection, claim.job_id, NOON)
                assert jobs.remove(connection, claim.job_id)
            blobs.job_file(claim.job_id, "timings.json").parent.mkdir(parents=True, exist_ok=True)
            blobs.job_file(claim.job_id, "timings.json").write_text("{}")
        return compute(claim, *others)

    monkeypatch.setattr(tasks, "_compute", deleted_meanwhile)
    for job_id in ("job_1", "job_2"):
        do_job(job_id, "worker", context)
    assert not blobs.job("job_1").exists()
    assert blobs.ranking("job_2").exists()
    with context.database.read() as connection:
        happened = counters.counted(connection)
    assert {label: one.number for (name, label), one in happened.items() if name == counters.ENDED} == {
        "cancelled": 1,
        "completed": 1,
    }
    context.database.close()
