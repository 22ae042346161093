"""What a worker writes of itself: that it is alive, and which of its processes can take a job."""

import os
import socket
import threading
import uuid
from collections.abc import Callable, Collection
from pathlib import Path

import sqlalchemy as sa
import structlog

from service.domain.job_queue import JobQueue
from service.store import workers
from service.store.clock import database_time
from service.store.engine import Database, open_database
from service.store.workers import WorkerProcess

log = structlog.get_logger()
_TRY_AGAIN_S = 1.0

# Held while the parent of a pool uses its database in a thread, and while it forks. A child that was forked meanwhile would
# have locks that nobody opens: SQLite, for one, would believe for ever that another thread writes.
_database_in_use = threading.Lock()
os.register_at_fork(
    before=_database_in_use.acquire, after_in_parent=_database_in_use.release, after_in_child=_database_in_use.release
)


def new_worker_id() -> str:
    """Id of the worker of this process: host, process and a random part."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


class Presence:
    """Writes every few seconds in a thread, until `end`; a database that is away is tried again.

    In a process that `forks` no connection is open between two writes, and none is written during a fork.
    """

    def __init__(
        self,
        name: str,
        database_url: str,
        seconds: float,
        write: Callable[[sa.Connection], None],
        *,
        forks: bool = False,
    ) -> None:
        self._url, self._seconds, self._write, self._forks = database_url, seconds, write, forks
        # In this thread: one that imports a driver must not be cut off by a fork either.
        self._database = open_database(database_url)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def end(self, write: Callable[[sa.Connection], None]) -> None:
        """Stop, and write a last time. Raises nothing."""
        self._ended.set()
        self._thread.join(self._seconds)
        database = open_database(self._url)
        self._try(database, write)
        database.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            written = self._try(self._database, self._write)
            self._ended.wait(self._seconds if written else min(self._seconds, _TRY_AGAIN_S))
        self._database.close()

    def _try(self, database: Database, write: Callable[[sa.Connection], None]) -> bool:
        if not self._forks:
            return self._written(database, write)
        with _database_in_use:
            written = self._written(database, write)
            database.close()
        return written

    @staticmethod
    def _written(database: Database, write: Callable[[sa.Connection], None]) -> bool:
        try:
            with database.write() as connection:
                write(connection)
        except Exception as error:  # noqa: BLE001 - a worker must survive every fault of its database
            log.warning("the worker cannot write that it is alive", error=str(error))
            return False
        return True


def worker_presence(worker_id: str, queues: Collection[JobQueue], database_url: str, seconds: float) -> Presence:
    """Write that a worker is alive, which takes the jobs of these queues, and remove those of its processes that have ended."""

    def write(connection: sa.Connection) -> None:
        workers.record_heartbeat(connection, worker_id, database_time(connection), queues)
        for one in workers.process_ids(connection, worker_id):
            if not _lives(int(one.rsplit("/", 1)[1])):
                workers.remove_process(connection, one)

    return Presence("worker-presence", database_url, seconds, write, forks=True)


def process_presence(
    worker_id: str, place: str, database_url: str, seconds: float, ready_file: Path | None = None
) -> Presence:
    """Write that this process can take a job, and touch a file that health checks look at."""
    process = WorkerProcess(f"{worker_id}/{os.getpid()}", worker_id, place)

    def write(connection: sa.Connection) -> None:
        workers.record_process(connection, process, database_time(connection))
        if ready_file is not None:
            ready_file.touch()

    return Presence("process-presence", database_url, seconds, write)


def remove_ended(connection: sa.Connection) -> None:
    """Remove workers of this host whose processes have ended without signing out, and those silent for long."""
    workers.forget_silent(connection, database_time(connection))
    for worker_id in workers.worker_ids(connection):
        host, number, _ = worker_id.rsplit("-", 2)
        # In a container that was started again, the process that ended had the number of this one.
        if host == socket.gethostname() and (int(number) == os.getpid() or not _lives(int(number))):
            workers.remove(connection, worker_id)


def _lives(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
