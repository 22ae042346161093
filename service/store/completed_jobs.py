"""Completed jobs and their datasets as values: neither changes any more until its samples are scored again, so that they are read once."""

import sqlalchemy as sa

from service.domain.dataset import DatasetInfo
from service.domain.job import State
from service.store import datasets, jobs, pulls, rescorings
from service.store.jobs import Job
from service.store.projects import is_visible
from service.store.recent import Recent

_KEPT = 64


class CompletedJobs:
    """The completed jobs that were used last. Whether a job is there, and may be seen, is looked up each time. Threads share it."""

    def __init__(self) -> None:
        self._jobs: Recent[Job] = Recent(_KEPT)
        self._datasets: Recent[DatasetInfo] = Recent(_KEPT)
        self._pulled: Recent[bool] = Recent(_KEPT)

    def job(self, connection: sa.Connection, job_id: str) -> Job | None:
        """A job in any state as it is now, or None."""
        now = rescorings.job_version(connection, job_id)
        if now is None:
            return None
        known = self._jobs.get((job_id, now.version))
        if known is not None and now.state == State.COMPLETED:
            return known if is_visible(connection, known.project) else None
        job = jobs.get(connection, job_id)
        if job is not None and job.state == State.COMPLETED:
            self._jobs.put((job_id, now.version), job)
        return job

    def is_pulled(self, connection: sa.Connection, job: Job) -> bool:
        """Whether the samples of a completed job came from a labelling tool."""
        known = self._pulled.get(job.id)
        return self._pulled.put(job.id, pulls.get(connection, job.id) is not None) if known is None else known

    def dataset(self, connection: sa.Connection, job: Job) -> DatasetInfo | None:
        """The dataset of a job that is there now; None once both were deleted."""
        if job.state != State.COMPLETED:
            return datasets.get(connection, job.dataset_id)
        known = self._datasets.get(job.dataset_id)
        if known is not None:
            return known
        info = datasets.get(connection, job.dataset_id)
        return None if info is None else self._datasets.put(job.dataset_id, info)
