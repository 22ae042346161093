"""Processor time of other processes, from the kernel's scheduler."""

import time
from collections.abc import Callable

import psutil  # type: ignore[import-untyped]  # it has no types of its own

from service.store.engine import open_database


def processor_seconds(pid: int) -> float:
    """What all threads of a process have computed, those that have ended included."""
    # The clock of another process (clock_getcpuclockid), which Python makes for threads of its own alone.
    return time.clock_gettime(~pid << 3 | 2)


def database_seconds(kind: str, url: str) -> Callable[[], float]:
    """Processor seconds of all processes of the database server."""
    if kind == "sqlite":
        return lambda: 0.0
    database = open_database(url)
    with database.read() as connection:
        backend = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    server = psutil.Process(backend).parent()
    database.close()
    if server is None:
        raise RuntimeError("the database server has ended")
    return lambda: sum(processor_seconds(one.pid) for one in server.children())
