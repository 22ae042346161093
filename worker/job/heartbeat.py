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
from worker.job.plan import USUAL, PhasePlan
from worker.training.loop import EpochMetrics

log = structlog.get_logger()

_RUNS_DOWN_TO = 0.5  # of the time that was noted: a phase that stands still is not about to end


class Stopping(Exception):
    """The worker was told to stop; the job goes back into the queue."""


class Heartbeat:
    """Renews the lease of a claimed job, and writes its progress with it."""

    def __init__(self, claim: Claim, context: WorkerContext) -> None:
        self.claim, self._context = claim, context
        self._plan = USUAL
        self._progress, self._noted_at = Progress(phase=State.PREPARING), time.monotonic()
        # When and at which share of the job this attempt began; its speed gives the time that is left.
        self._began = (self._noted_at, 0.0)
        self._over = threading.Event()
        self._lost = threading.Event()

    @property
    def is_stopping(self) -> bool:
        """Whether the worker was told to stop."""
        return self._context.stopping()

    def expect(self, plan: PhasePlan) -> None:
        """Tell progress and the time that is left by a plan from now on."""
        self._plan = plan

    def enter(self, state: State, detail: str) -> None:
        """Begin a phase: the job changes its state. Raises LeaseLost or Stopping."""
        self.report(state, 0.0, detail)
        with self._context.database.write() as connection:
            jobs.advance(connection, self.claim, state, self._progress, datetime.now(UTC))

    def report(self, state: State, share: float, detail: str) -> None:
        """Note which share of a phase is done, from 0 to 1; the next renewal writes it. Raises LeaseLost or Stopping."""
        now, fraction = time.monotonic(), self._plan.fraction(state, share)
        began_at, begun = self._began
        left = self._plan.seconds_left(fraction, fraction - begun, now - began_at)
        eta = None if left is None else round(left, 1)
        self._progress, self._noted_at = Progress(fraction=fraction, phase=state, detail=detail, eta_seconds=eta), now
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
        # What an earlier attempt has done says nothing of this one's speed.
        self._began = (time.monotonic(), self._plan.fraction(state, share))
        self.report(state, share, detail)

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
        jobs.renew(connection, self.claim, self._progress_now(), lease, datetime.now(UTC))

    def _progress_now(self) -> Progress:
        """Progress as it was noted; the time that is left runs down until it is noted again."""
        noted, passed = self._progress, time.monotonic() - self._noted_at
        if noted.eta_seconds is None:
            return noted
        left = max(noted.eta_seconds - passed, _RUNS_DOWN_TO * noted.eta_seconds)
        return noted.model_copy(update={"eta_seconds": round(left, 1)})


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
