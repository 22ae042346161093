"""The last write of an attempt. A database that is away is waited for, as long as the lease may hold."""

import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
import structlog

from service.store.jobs import LeaseLost
from service.store.rescorings import RescoringLost
from worker.job.context import WorkerContext

log = structlog.get_logger()

_AGAIN_S = 0.5


def write_ending(context: WorkerContext, job_id: str, write: Callable[[sa.Connection], Any]) -> None:
    """Write how an attempt ended. Where the database stays away, the lease runs out, and another attempt is made."""
    until = time.monotonic() + context.settings.lease_seconds
    while True:
        try:
            with context.database.write() as connection:
                write(connection)
        except (LeaseLost, RescoringLost):
            log.info("taken away", job=job_id)
        except sa.exc.OperationalError as error:
            if time.monotonic() < until and not context.stopping():
                time.sleep(_AGAIN_S)
                continue
            log.warning("end of an attempt not written", job=job_id, error=str(error))
        return


def database_answers(context: WorkerContext) -> bool:
    """Whether the database can be asked at once."""
    try:
        with context.database.read() as connection:
            connection.execute(sa.select(1))
    except sa.exc.OperationalError:
        return False
    return True
