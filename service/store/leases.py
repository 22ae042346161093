"""Leases of running jobs, judged by a clock that nobody sets.

Each renewal changes `lease_until`. Its value is the renewing host's clock, which may be wrong or be set, so that it is only
compared for change: a lease has run out when this process has seen the same value for as long as a lease lasts.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from service.domain.job import RUNNING
from service.store.tables import jobs

_SIGHTINGS = 3  # the least number of looks at which a lease must be unchanged, beside the first


@dataclass(frozen=True)
class Lease:
    """The lease of a running job as it is stored."""

    job_id: str
    owner: str
    attempt: int
    until: datetime


@dataclass(frozen=True)
class LeaseWatch:
    """For how long this process has seen each lease unchanged. Used by one thread at a time."""

    clock: Callable[[], float] = time.monotonic
    _unchanged: dict[Lease, float] = field(default_factory=dict)
    _looked: list[float] = field(default_factory=list)

    def run_out(self, leases: Sequence[Lease], seconds: float) -> list[Lease]:
        """Those leases, of all that are held now, that have not been renewed for longer than `seconds`."""
        now = self.clock()
        # Time in which this process did not look, as when the whole machine slept, says little of those who renew.
        passed = min(now - self._looked[-1], seconds / _SIGHTINGS) if self._looked else 0.0
        self._looked[:] = [now]
        before = dict(self._unchanged)
        self._unchanged.clear()
        self._unchanged.update({one: before[one] + passed if one in before else 0.0 for one in leases})
        return [one for one, unchanged in self._unchanged.items() if unchanged >= seconds]


def held(connection: sa.Connection) -> list[Lease]:
    """The leases of all running jobs that have not run out."""
    columns = (jobs.c.id, jobs.c.owner, jobs.c.attempts, jobs.c.lease_until)
    rows = connection.execute(sa.select(*columns).where(jobs.c.state.in_(RUNNING), jobs.c.lease_until.is_not(None)))
    return [Lease(*row) for row in rows]


def end(connection: sa.Connection, lease: Lease, now: datetime) -> bool:
    """Mark a job as abandoned, unless its lease was renewed meanwhile; its worker, if it lives, may still renew it.

    Gives whether it was marked.
    """
    changed = connection.execute(
        jobs.update()
        .where(
            jobs.c.id == lease.job_id,
            jobs.c.owner == lease.owner,
            jobs.c.attempts == lease.attempt,
            jobs.c.lease_until == lease.until,
            jobs.c.state.in_(RUNNING),
        )
        .values(lease_until=None, woken_at=None, lost_at=now)
    )
    return changed.rowcount > 0


def abandoned() -> sa.ColumnElement[bool]:
    """Whether a job is running and its lease has run out."""
    return jobs.c.state.in_(RUNNING) & jobs.c.lease_until.is_(None)
