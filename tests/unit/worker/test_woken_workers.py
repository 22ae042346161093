"""What a worker does with a message about a job."""

import pytest

from service.settings import Settings
from service.store.blobs import Blobs
from service.store.engine import open_database
from tests.builders import add_dataset, add_job
from worker.job.context import WorkerContext
from worker.machine.devices import CPU
from worker.process import celery_app


def test_a_message_wakes_a_worker_for_the_job_of_its_queues_that_is_next(
    empty_sqlite: str, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = WorkerContext(
        Settings(home=blobs.home), open_database(empty_sqlite), blobs, CPU, lambda: False, queues=["cpu"]
    )
    info, done = add_dataset(context.database), []
    add_job(context.database, info, "job_of_gpu", priority=9, model={"name": "ft_transformer"})
    for job_id, priority in (("job_last", 0), ("job_first", 9)):
        add_job(context.database, info, job_id, priority=priority)
    monkeypatch.setattr(celery_app, "worker_context", lambda: context)
    monkeypatch.setattr(celery_app, "_share_cores", lambda: None)
    monkeypatch.setattr(celery_app, "run", lambda claim, _: done.append(claim.job_id))
    for _ in range(3):
        celery_app.run_job("job_last")
    assert done == ["job_first", "job_last"]
    context.database.close()
