"""An installation of real processes, each of which can be killed: API, workers, Valkey, SQLite or PostgreSQL."""

import contextlib
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
import sqlalchemy as sa

from service.settings import WORKER_QUEUES, Settings
from service.store.blobs import Blobs
from service.store.clock import database_time
from service.store.engine import Database, migrate, open_database
from service.store.tables import jobs, worker_processes
from tests.chaos.clock import Clock
from tests.chaos.hosts import Host, NoNamespaces, network
from tests.chaos.part import Part
from tests.chaos.servers import Postgres, Valkey
from tests.disk import CannotMount, Disk, mounted
from tests.servers import reserved_port

LEASE_S = 3.0
_HEARTBEAT_S = 1.0
_DISK_MIB = 256
_WHOLE_WITHIN_S = 120.0
_SILENT_S = 10.0
# A job is struck by more faults than five here, and each may take its worker.
_ATTEMPTS = 1000
_MIGRATING = threading.Lock()  # alembic has one context a process


@dataclass(frozen=True)
class JobRow:
    """What the database says of a job now."""

    id: str
    state: str
    attempts: int
    owner: str | None
    lease_until: object


@dataclass
class Stack:
    """The parts of an installation. `hosts`: those of the workers, none where there are no network namespaces."""

    folder: Path
    settings: Settings
    database: Database
    broker: Valkey
    postgres: Postgres | None
    api: Part
    workers: list[Part]
    url: str
    clocks: dict[str, Clock]
    hosts: list[Host]
    disk: Disk | None
    client: httpx.Client
    left_out: list[str] = field(default_factory=list)

    @property
    def blobs(self) -> Blobs:
        """Its files."""
        return Blobs(self.settings.home)

    def rows(self) -> list[JobRow] | None:
        """All jobs as the database has them; None where it does not answer."""
        columns = (jobs.c.id, jobs.c.state, jobs.c.attempts, jobs.c.owner, jobs.c.lease_until)
        try:
            with self.database.read() as connection:
                return [JobRow(*row) for row in connection.execute(sa.select(*columns).order_by(jobs.c.created_at))]
        except sa.exc.DBAPIError:
            return None

    def row(self, job_id: str) -> JobRow | None:
        """One job; None where the database does not answer or has no such job."""
        return next((one for one in self.rows() or () if one.id == job_id), None)

    def worker_of(self, row: JobRow | None) -> Part | None:
        """The worker that computes a job."""
        return None if row is None or row.owner is None else self.worker_named(row.owner)

    def worker_named(self, owner: str) -> Part | None:
        """The worker of which an owner or a helper is a process."""
        parent = int(owner.split("/", maxsplit=1)[0].rsplit("-", 2)[1])
        return next((one for one in self.workers if one.lives and one.pid == parent), None)

    def pause(self, workers: Sequence[Part]) -> None:
        """Stop workers, none of them in a transaction of SQLite: it would keep everybody from writing until it goes on."""
        with self.database.write() if self.postgres is None else contextlib.nullcontext():
            for one in workers:
                one.pause()

    def answers(self) -> bool:
        """Whether the API answers."""
        with contextlib.suppress(httpx.TransportError):
            return self.client.get("/healthz", timeout=2).is_success
        return False

    def is_whole(self) -> bool:
        """Whether the API answers and each worker can take a job."""
        try:
            with self.database.read() as connection:
                # The clocks of SQLite's workers jump; PostgreSQL's does not.
                silent = database_time(connection) - timedelta(seconds=_SILENT_S)
                fresh = worker_processes.c.seen_at > silent if self.postgres is not None else sa.true()
                ready = set(connection.execute(sa.select(worker_processes.c.id).where(fresh)).scalars())
        except sa.exc.DBAPIError:
            return False
        parents = {int(one.split("/")[0].rsplit("-", 2)[1]) for one in ready}
        return all(one.lives and one.pid in parents for one in self.workers) and self.answers()

    def wait_until_whole(self) -> None:
        """Wait until it is."""
        wait_for(self.is_whole, _WHOLE_WITHIN_S, lambda: f"the installation did not come back: {self.folder}")


def wait_for(condition: Callable[[], bool], seconds: float, told: Callable[[], str]) -> None:
    """Ask again and again. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(told())
        time.sleep(0.1)


@contextmanager
def running(kind: str, workers: int) -> Iterator[Stack]:
    """An installation on `sqlite` or `postgresql`; its folder stays where the block raises."""
    folder = Path(tempfile.mkdtemp(prefix="suspects-chaos-"))
    folder.chmod(0o755)
    with ExitStack() as opened:
        yield _started(folder, kind, workers, opened)
    shutil.rmtree(folder, ignore_errors=True)


def _started(folder: Path, kind: str, workers: int, opened: ExitStack) -> Stack:
    logs, left_out = folder / "logs", []
    logs.mkdir()
    hosts, address = [], "127.0.0.1"
    try:
        made = opened.enter_context(network(workers))
        hosts, address = made.hosts, made.address
    except NoNamespaces as error:
        left_out.append(f"network cut: {error}")
    home, disk = folder / "home", None
    home.mkdir()
    try:
        disk = opened.enter_context(mounted(home, _DISK_MIB))
    except CannotMount as error:
        left_out.append(f"disk full: {error}")
    home /= "files"
    home.mkdir()
    broker = Valkey(folder / "broker", address, opened.enter_context(reserved_port(address)), logs / "valkey.log")
    postgres = None
    if kind == "postgresql":
        postgres = Postgres(
            folder / "postgresql", address, opened.enter_context(reserved_port(address)), logs / "postgresql.log"
        )
    # The database is on another disk than the files, as docs/production.md says.
    url = postgres.url if postgres else f"sqlite:///{folder / 'suspects.db'}"
    settings = Settings(
        home=home,
        database_url=url,
        broker_url=broker.url,
        lease_seconds=LEASE_S,
        heartbeat_seconds=_HEARTBEAT_S,
        sweep_seconds=0.5,
        share_seconds=0.05,
        max_attempts=_ATTEMPTS,
        threads=1,
    )
    clocks = {name: Clock(folder / f"{name}.clock") for name in ("api", *(f"worker{i}" for i in range(workers)))}
    port = opened.enter_context(reserved_port())
    api = Part("api", _api(port), _environment(settings, clocks["api"]), logs / "api.log")
    parts = []
    for number in range(workers):
        command = hosts[number].command(_worker(number)) if hosts else _worker(number)
        clock = clocks[f"worker{number}"]
        parts.append(Part(f"worker{number}", command, _environment(settings, clock), logs / f"worker{number}.log"))
    servers: list[Part] = [broker] if postgres is None else [broker, postgres]
    for server in servers:
        opened.callback(server.end)
        server.start()
    with _MIGRATING:
        migrate(url)
    for part in (api, *parts):
        opened.callback(part.end)
        part.start()
    database = open_database(url)
    opened.callback(database.close)
    client = opened.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30))
    stack = Stack(
        folder,
        settings,
        database,
        broker,
        postgres,
        api,
        parts,
        f"http://127.0.0.1:{port}/",
        clocks,
        hosts,
        disk,
        client,
        left_out,
    )
    stack.wait_until_whole()
    return stack


def _api(port: int) -> list[str]:
    options = ["--port", str(port), "--no-access-log", "--timeout-graceful-shutdown", "3"]
    return [sys.executable, "-m", "uvicorn", "--factory", "service.main:create_app", "--log-level", "error", *options]


def _worker(number: int) -> list[str]:
    options = ["--queues", WORKER_QUEUES, "--concurrency", "1", "--loglevel", "info", "--hostname", f"w{number}@%h"]
    return [sys.executable, "-m", "celery", "--app", "worker.app", "--quiet", "worker", *options]


def _environment(settings: Settings, clock: Clock) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SUSPECTS_")}
    given = settings.model_dump(
        include={
            "home",
            "database_url",
            "broker_url",
            "lease_seconds",
            "heartbeat_seconds",
            "sweep_seconds",
            "share_seconds",
            "max_attempts",
            "threads",
        }
    )
    named = {f"SUSPECTS_{name.upper()}": str(value) for name, value in given.items()}
    return {
        **kept,
        **named,
        **clock.environment(),
        "SUSPECTS_COLLECT_SECONDS": "0",  # at the end, all at once
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }
