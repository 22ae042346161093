"""Finds jobs whose worker fell silent, and sends queue messages again for jobs that no worker took.

A lost message costs seconds, and loses no job.
"""

from datetime import timedelta

import structlog

from service.domain.job_queue import JOB_QUEUES
from service.services import Services
from service.store import counters, jobs, leases, workers
from service.store.clock import database_time

log = structlog.get_logger()

# A message that a worker has taken is in no queue until the worker has claimed its job.
_ON_ITS_WAY = timedelta(seconds=3)


def wake_due(services: Services) -> int:
    """Run one sweep; returns the number of messages sent."""
    _end_leases(services)
    with services.database.read() as connection:
        if not jobs.any_due(connection, _ON_ITS_WAY, services.now()):
            return 0
        takers = workers.takers(connection, services.settings.heartbeat_seconds, database_time(connection))
    waiting = services.queue.waiting(list(dict.fromkeys(map(takers.message_queue, JOB_QUEUES))))
    if waiting is None:
        return 0  # the broker cannot be reached; what is due now is due at the next sweep
    with services.database.write() as connection:
        due = jobs.take_due(connection, _ON_ITS_WAY, services.settings.max_attempts, services.now(), besides=waiting)
        for missing in takers.missing:
            jobs.say_untaken(connection, missing)
    for sent, (job_id, priority, queue) in enumerate(due):
        if not services.queue.wake(job_id, priority, takers.message_queue(queue)):
            return sent
    return len(due)


def _end_leases(services: Services) -> None:
    with services.database.read() as connection:
        found = leases.held(connection)
    silent = services.leases.run_out(found, services.settings.lease_seconds)
    if not silent:
        return
    with services.database.write() as connection:
        ended = [one for one in silent if leases.end(connection, one, services.now())]
        if ended:
            counters.count(connection, counters.EXPIRED, number=len(ended))
    for one in ended:
        log.warning("the worker of a job fell silent", job=one.job_id, attempt=one.attempt)
