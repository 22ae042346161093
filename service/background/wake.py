"""Sends queue messages again for queued jobs that no worker took, so that a lost message loses no job."""

from datetime import timedelta

from service.domain.job import State
from service.services import Services
from service.store import jobs


def wake_due(services: Services) -> int:
    """Run one sweep; returns the number of messages sent."""
    depth = services.queue.depth()
    if depth is None:
        return 0  # the broker cannot be reached; what is due now is due at the next sweep
    settings = services.settings
    waited = timedelta(seconds=settings.lease_seconds)
    with services.database.write() as connection:
        waiting = jobs.count_by_state(connection).get(State.QUEUED, 0)
        # As long as there are as many messages as queued jobs, none was lost, and more messages would pile up.
        due = jobs.take_due(connection, waited, settings.max_attempts, services.now(), resend=depth < waiting)
    for sent, (job_id, priority) in enumerate(due):
        if not services.queue.wake(job_id, priority):
            return sent
    return len(due)
