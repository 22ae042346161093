"""Lease and progress of the job that a worker computes: written to the store while the computation runs."""

import contextvars
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import sqlalchemy as sa
import structlog

from service.domain.job import Progress, State
from service.store import job_events, jobs
from service.store.jobs import Claim, LeaseLost
from worker.job.context import WorkerContext
from worker.training.loop import EpochMetrics

log = structlog.get_logger()

# The share of a whole job at which a phase begins and ends; measured on tables and small images.
PHASES = {
    State.PREPARING: (0.0, 0.05),
    State.TRAINING: (0.05, 0.65),
    State.SCORING: (0.65, 0.95),
    State.RANKING: (0.95, 1.0),
}


class Stopping(Exception):
    """The worker was told to stop; the job goes back into the queue."""


class Heartbeat:
    """Renews the lease of a claimed job, and writes its progress with it."""

    def __init__(self, claim: Claim, context: WorkerContext) -> None:
        self.claim, self._context = claim, context
        self._progress = Progress(phase=State.PREPARING)
        # When and at which share of the job the measured part began; its speed gives the time that is left.
        self._clock: tuple[float, float] | None = None
        self._over = threading.Event()
        self._lost = threading.Event()

    @property
    def is_stopping(self) -> bool:
        """Whether the worker was told to stop."""
        return self._context.stopping()

    def enter(self, state: State, detail: str) -> None:
        """Begin a phase: the job changes its state. Raises LeaseLost or Stopping."""
        self.report(state, 0.0, detail)
        with self._context.database.write() as connection:
            jobs.advance(connection, self.claim, state, self._progress, datetime.now(UTC))

    def report(self, state: State, share: float, detail: str) -> None:
        """Note which share of a phase is done, from 0 to 1; the next renewal writes it. Raises LeaseLost or Stopping."""
        begins, ends = PHASES[state]
        fraction = begins + share * (ends - begins)
        left = self._seconds_left(fraction) if state is not State.PREPARING else None
        self._progress = Progress(
            fraction=fraction, phase=state, detail=detail, eta_seconds=None if left is None else round(left, 1)
        )
        if self._lost.is_set():
            raise LeaseLost(self.claim.job_id)
        if self._context.stopping():
            raise Stopping

    def is_held(self) -> bool:
        """Whether the claim holds now, by the database."""
        with self._context.database.read() as connection:
            return jobs.is_held(connection, self.claim)

    def renew(self) -> None:
        """Renew the lease now, before what must not be done once another attempt has begun. Raises LeaseLost."""
        with self._context.database.write() as connection:
            self._renew(connection)

    def resume_at(self, state: State, share: float, detail: str) -> None:
        """Note what an earlier attempt has done of a phase. Raises LeaseLost or Stopping."""
        self._clock = None
        self.report(state, share, detail)

    def _seconds_left(self, fraction: float) -> float | None:
        # The time that preparation took says nothing of the rest.
        if self._clock is None:
            self._clock = (time.monotonic(), fraction)
        began, first = self._clock
        done = fraction - first
        return (time.monotonic() - began) * (1 - fraction) / done if done > 0 else None

    def record_metrics(self, metrics: EpochMetrics) -> None:
        """Write the loss and accuracy of an epoch. Raises LeaseLost."""
        with self._context.database.write() as connection:
            self._renew(connection)
            job_events.record(connection, self.claim.job_id, "metrics", vars(metrics), datetime.now(UTC))

    def renew_until_stopped(self) -> None:
        """Renew the lease every second or more often, until `stop`; runs in a thread of its own."""
        while not self._over.wait(min(self._context.settings.heartbeat_seconds, 1.0)):
            try:
                with self._context.database.write() as connection:
                    self._renew(connection)
            except LeaseLost:
                self._lost.set()
                return
            except sa.exc.SQLAlchemyError as error:
                log.warning("heartbeat missed", job=self.claim.job_id, error=str(error))

    def stop(self) -> None:
        """End the thread."""
        self._over.set()

    def _renew(self, connection: sa.Connection) -> None:
        lease = timedelta(seconds=self._context.settings.lease_seconds)
        jobs.renew(connection, self.claim, self._progress, lease, datetime.now(UTC))


@contextmanager
def heartbeat_of(claim: Claim, context: WorkerContext) -> Iterator[Heartbeat]:
    """Renew the lease of a claimed job until the block ends."""
    heartbeat = Heartbeat(claim, context)
    # With the ids that lines are logged with.
    work = partial(contextvars.copy_context().run, heartbeat.renew_until_stopped)
    thread = threading.Thread(target=work, name=f"heartbeat-{claim.job_id}", daemon=True)
    thread.start()
    try:
        yield heartbeat
    finally:
        heartbeat.stop()
        thread.join()
