"""Cancelling a job."""

from service.actions.find import find_job
from service.domain.errors import Conflict
from service.services import Services
from service.store import jobs
from service.store.jobs import Job


def cancel(services: Services, job_id: str) -> Job:
    """Cancel a job; its worker notices within a second. Raises NotFound, and Conflict when it has ended."""
    with services.database.write() as connection:
        cancelled = jobs.cancel(connection, job_id, services.now())
    job = find_job(services, job_id)
    if not cancelled:
        raise Conflict(f"the job is {job.state}: it has ended already", members={"state": job.state})
    return job
