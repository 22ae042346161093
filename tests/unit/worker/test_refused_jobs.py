"""Jobs whose options do not fit their data: what is told to the client, and what to the log."""

import structlog

from service.settings import Settings
from service.store import jobs
from service.store.blobs import Blobs
from service.store.engine import open_database
from tests.attempts import do_job
from tests.builders import add_dataset, add_job
from worker.job.context import WorkerContext
from worker.machine.devices import CPU


def test_a_mistake_of_the_client_is_told_with_its_field_and_is_no_error_of_the_log(
    empty_sqlite: str, blobs: Blobs
) -> None:
    context = WorkerContext(Settings(home=blobs.home), open_database(empty_sqlite), blobs, CPU, lambda: False)
    info = add_dataset(context.database, blobs=blobs, rows=8)
    add_job(context.database, info, "job_1", reference={"holdout": 0.2})
    add_job(context.database, info, "job_2", reference={"samples": ["row-0", "row-x"]})
    with structlog.testing.capture_logs() as lines:
        do_job("job_1", "worker", context)
        do_job("job_2", "worker", context)
    with context.database.read() as connection:
        first, second = (jobs.get(connection, name) for name in ("job_1", "job_2"))
    context.database.close()
    assert first is not None
    assert first.error is not None
    assert (first.error.code, first.error.detail.split(":")[0]) == ("invalid", "reference.holdout")
    assert second is not None
    assert second.error is not None
    assert "1 of the reference samples are not in the dataset" in second.error.detail
    assert "reference.samples: unknown id row-x" in second.error.detail
    told = [line for line in lines if line["event"].startswith("job failed")]
    assert [(line["job"], line["log_level"]) for line in told] == [("job_1", "info"), ("job_2", "info")]
    assert all("exc_info" not in line for line in told)
