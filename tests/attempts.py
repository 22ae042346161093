"""Attempts at jobs that a test chooses, where a worker would take the next one."""

from datetime import UTC, datetime

from service.store import jobs
from worker.job import tasks
from worker.job.context import WorkerContext


def do_job(job_id: str, owner: str, context: WorkerContext) -> None:
    """Do this job, if it can be claimed."""
    with context.database.write() as connection:
        claim = jobs.claim(connection, job_id, owner, context.settings.lease, datetime.now(UTC))
    if claim is not None:
        tasks.run(claim, context)
