"""Workers that are alive and those of their processes that can take a job.

Each worker and each of its processes writes the time every few seconds, so that readiness does not depend on the broker. A
worker lives before its processes can compute, and may live while none of them can. All times are the database's.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from service.domain.job_queue import JOB_QUEUES, JobQueue
from service.settings import ANY_QUEUE
from service.store.tables import worker_processes, workers

_FORGOTTEN = timedelta(days=1)


@dataclass(frozen=True)
class WorkerProcess:
    """A process of a worker. `place` names the cores that it shares with all processes of that place."""

    id: str
    worker_id: str
    place: str


@dataclass(frozen=True)
class PresentWorkers:
    """Number of workers that are alive, and of worker processes that can take a job."""

    alive: int
    ready: int


@dataclass(frozen=True)
class Takers:
    """Number of workers alive that take the jobs of each queue; `older` are of an earlier version, and take every job.

    `missing` are the queues whose jobs no worker takes, while others are alive.
    """

    by_queue: dict[JobQueue, int]
    older: int
    missing: list[JobQueue]

    def message_queue(self, wanted: JobQueue) -> str:
        """Where a message for this queue is sent: workers of an earlier version read one queue for all jobs."""
        return ANY_QUEUE if self.older else wanted


def record_heartbeat(
    connection: sa.Connection, worker_id: str, now: datetime, queues: Collection[JobQueue] = JOB_QUEUES
) -> None:
    """Write that a worker is alive, which takes the jobs of these queues."""
    changed = connection.execute(workers.update().where(workers.c.id == worker_id).values(seen_at=now))
    if changed.rowcount == 0:
        connection.execute(workers.insert().values(id=worker_id, seen_at=now, queues=",".join(queues)))


def record_process(connection: sa.Connection, process: WorkerProcess, now: datetime) -> None:
    """Write that a process can take a job."""
    mine = worker_processes.c.id == process.id
    changed = connection.execute(worker_processes.update().where(mine).values(seen_at=now))
    if changed.rowcount == 0:
        connection.execute(worker_processes.insert().values(**vars(process), seen_at=now))


def process_ids(connection: sa.Connection, worker_id: str) -> list[str]:
    """Ids of the processes of a worker that have written that they can take a job."""
    mine = worker_processes.c.worker_id == worker_id
    return list(connection.execute(sa.select(worker_processes.c.id).where(mine)).scalars())


def seen_at(connection: sa.Connection, process_ids: Sequence[str]) -> dict[str, datetime]:
    """When each of these processes wrote last that it can take a job; those that have ended are missing."""
    wanted = sa.select(worker_processes.c.id, worker_processes.c.seen_at).where(worker_processes.c.id.in_(process_ids))
    return {row.id: row.seen_at for row in connection.execute(wanted)}


def worker_ids(connection: sa.Connection) -> list[str]:
    """Ids of all workers that have not signed out."""
    return list(connection.execute(sa.select(workers.c.id)).scalars())


def remove_process(connection: sa.Connection, process_id: str) -> None:
    """Write that a process has ended."""
    connection.execute(worker_processes.delete().where(worker_processes.c.id == process_id))


def remove(connection: sa.Connection, worker_id: str) -> None:
    """Write that a worker and its processes have ended."""
    connection.execute(worker_processes.delete().where(worker_processes.c.worker_id == worker_id))
    connection.execute(workers.delete().where(workers.c.id == worker_id))


def forget_silent(connection: sa.Connection, now: datetime) -> None:
    """Remove workers that have not written for a day."""
    for table in (worker_processes, workers):
        connection.execute(table.delete().where(table.c.seen_at < now - _FORGOTTEN))


def presence(connection: sa.Connection, heartbeat_seconds: float, now: datetime) -> PresentWorkers:
    """The workers and processes that have written lately."""
    alive = connection.execute(_lately(workers, heartbeat_seconds, now)).scalar_one()
    ready = connection.execute(_lately(worker_processes, heartbeat_seconds, now)).scalar_one()
    return PresentWorkers(alive, ready)


def takers(connection: sa.Connection, heartbeat_seconds: float, now: datetime) -> Takers:
    """The workers that have written lately, by the queues of whose jobs they take."""
    found = connection.execute(_lately(workers, heartbeat_seconds, now).with_only_columns(workers.c.queues)).scalars()
    taken = [None if queues is None else queues.split(",") for queues in found]
    by_queue = {queue: sum(one is None or queue in one for one in taken) for queue in JOB_QUEUES}
    missing = [queue for queue, number in by_queue.items() if taken and not number]
    return Takers(by_queue, taken.count(None), missing)


def count_at(connection: sa.Connection, place: str, heartbeat_seconds: float, now: datetime) -> int:
    """Number of processes that share the cores of a place."""
    there = _lately(worker_processes, heartbeat_seconds, now).where(worker_processes.c.place == place)
    return connection.execute(there).scalar_one()


def _lately(table: sa.Table, heartbeat_seconds: float, now: datetime) -> sa.Select[int]:
    silence = timedelta(seconds=max(3 * heartbeat_seconds, 10))
    # A time in the future was written before the clock was set back: whoever lives writes the right one soon.
    lately = (table.c.seen_at > now - silence) & (table.c.seen_at < now + silence)
    return sa.select(sa.func.count()).select_from(table).where(lately)
