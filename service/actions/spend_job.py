"""Quota of jobs a day: whatever makes a worker train counts, once it is accepted."""

import math

import sqlalchemy as sa

from service.domain.access import Caller
from service.domain.errors import TooMany
from service.services import Services
from service.store import key_jobs


def spend_job(services: Services, connection: sa.Connection, caller: Caller) -> None:
    """Count a job of the caller's key, in the transaction that begins it or promises it. Raises TooMany, after which nothing is written."""
    limit = None if caller.quota is None else caller.quota.jobs_per_day
    if caller.key is None or limit is None:
        return
    now = services.now()
    if key_jobs.count_job(connection, caller.key, now.date()) > limit:
        wait = max(1, math.ceil(key_jobs.seconds_left(now)))
        raise TooMany(f"the quota of this key is used up: {limit} jobs a day", retry_after=wait)
