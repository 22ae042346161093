"""Trying again what failed: a job, or a message to a webhook."""

from service.actions.find import find_delivery, find_job
from service.actions.spend_job import spend_job
from service.domain.access import Caller
from service.domain.errors import Conflict
from service.services import Services
from service.store import jobs, webhooks
from service.store.jobs import Job
from service.store.webhooks import Delivery


def retry(services: Services, caller: Caller, job_id: str) -> Job:
    """Queue a failed or cancelled job again, from its last checkpoint, with its attempts counted anew.

    Raises NotFound, Conflict, and TooMany for a quota that is used up.
    """
    with services.database.write() as connection:
        queued = jobs.retry(connection, job_id, services.now())
        if queued:
            spend_job(services, connection, caller)
    job = find_job(services, job_id)
    if not queued:
        msg = f"the job is {job.state}: only a failed or cancelled job is run again"
        raise Conflict(msg, members={"state": job.state})
    services.queue.wake(job_id, job.priority, job.queue)
    return job


def deliver_again(services: Services, delivery_id: str) -> Delivery:
    """Send a message that was given up again, with its attempts counted anew. Raises NotFound and Conflict."""
    with services.database.write() as connection:
        revived = webhooks.retry_dead(connection, delivery_id, services.now())
    found = find_delivery(services, delivery_id)
    if not revived:
        raise Conflict(f"it is {found.state}; only a dead one is sent again", members={"state": found.state})
    return found
