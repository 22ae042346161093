"""The sweep: tells the queue again of jobs that nobody took, so that a lost message loses nothing."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog

from service.domain.job import State
from service.queue import Queue
from service.settings import Settings
from service.store import jobs
from service.store.engine import Database

log = structlog.get_logger()


def sweep(database: Database, queue: Queue, settings: Settings, now: datetime) -> int:
    """Look once; gives how many jobs were told of."""
    depth = queue.depth()
    if depth is None:
        return 0  # Nobody would hear. What is due now is due at the next sweep.
    waited = timedelta(seconds=settings.lease_seconds)
    with database.write() as connection:
        waiting = jobs.count_by_state(connection).get(State.QUEUED, 0)
        # As long as there are as many messages as waiting jobs, none was lost; telling more would pile them up.
        due = jobs.take_due(connection, waited, settings.max_attempts, now, again=depth < waiting)
    for told, (job_id, priority) in enumerate(due):
        if not queue.wake(job_id, priority):
            return told
    return len(due)


@contextmanager
def sweeping(database: Database, queue: Queue, settings: Settings, clock: Callable[[], datetime]) -> Iterator[None]:
    """Sweep in a thread of its own for as long as the block runs."""
    with repeating("sweep", settings.sweep_seconds, lambda: sweep(database, queue, settings, clock())):
        yield


@contextmanager
def repeating(name: str, seconds: float, act: Callable[[], object]) -> Iterator[None]:
    """Act every so many seconds in a thread of its own for as long as the block runs; a lost database is waited for."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(seconds):
            try:
                act()
            except sa.exc.SQLAlchemyError as error:
                log.warning("to be tried again", what=name, error=str(error))
            except Exception as error:
                log.exception("unforeseen error", what=name, error=str(error))

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
