"""An installation of real processes, each of which can be killed: API, workers, Valkey, SQLite or PostgreSQL, perhaps an S3 server."""

import contextlib
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path, PurePosixPath

import httpx
import sqlalchemy as sa

from service.settings import WORKER_QUEUES, Settings
from service.store.blobs import Blobs, open_blobs
from service.store.clock import database_time
from service.store.engine import Database, migrate, open_database
from service.store.tables import jobs, worker_processes
from tests.chaos.clock import Clock
from tests.chaos.hosts import Host, NoNamespaces, network
from tests.chaos.part import Part
from tests.chaos.servers import Postgres, SeaweedFS, Valkey
from tests.disk import CannotMount, Disk, mounted
from tests.servers import reserved_port

LEASE_S = 3.0
_HEARTBEAT_S = 1.0
_DISK_MIB = 256
_HOMES = 3
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
    """The parts of an installation. `hosts`: those of the workers, none where there are no network namespaces.

    `homes` are the data folders of the API and of each worker: one for all, or, with a store, those of hosts that share no file system.
    """

    folder: Path
    settings: Settings
    database: Database
    broker: Valkey
    postgres: Postgres | None
    store: SeaweedFS | None
    api: Part
    workers: list[Part]
    url: str
    clocks: dict[str, Clock]
    hosts: list[Host]
    homes: dict[str, Path]
    disk: Disk | None
    client: httpx.Client
    blobs: Blobs  # as a host that takes part in nothing sees them
    left_out: list[str] = field(default_factory=list)
    is_kept: bool = False  # its folder, with the logs, when it has ended

    def names(self) -> set[str]:
        """Paths of the files and folders that it keeps, in its data folder or in the store."""
        if self.store is None:
            return {one.relative_to(self.settings.home).as_posix() for one in self.settings.home.rglob("*")}
        keys = [PurePosixPath(key) for key in self.blobs.stored()]
        return {one.as_posix() for key in keys for one in (key, *key.parents)} - {"."}

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
        stores = self.store is None or self.store.answers()
        return stores and all(one.lives and one.pid in parents for one in self.workers) and self.answers()

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
    """An installation on `sqlite`, `postgresql`, or `s3`, which has PostgreSQL, too; its folder stays where the block raises, or says so."""
    folder = Path(tempfile.mkdtemp(prefix="suspects-chaos-"))
    folder.chmod(0o755)
    with ExitStack() as opened:
        stack = _started(folder, kind, workers, opened)
        yield stack
    if not stack.is_kept:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class _Place:
    """Where the parts run: hosts of the workers, an address for the servers, data folders by part, and their disk."""

    hosts: list[Host]
    address: str
    homes: dict[str, Path]
    disk: Disk | None


def _started(folder: Path, kind: str, workers: int, opened: ExitStack) -> Stack:
    logs, left_out = folder / "logs", list[str]()
    logs.mkdir()
    place = _place(folder, kind, workers, opened, left_out)
    broker, postgres, store = _servers(folder, kind, place.address, opened)
    # The database is on another disk than the files, as docs/production.md says.
    url = postgres.url if postgres else f"sqlite:///{folder / 'suspects.db'}"
    settings = Settings(
        home=place.homes["api"],
        artefacts="" if store is None else "s3://suspects/chaos",
        database_url=url,
        broker_url=broker.url,
        lease_seconds=LEASE_S,
        heartbeat_seconds=_HEARTBEAT_S,
        sweep_seconds=0.5,
        share_seconds=0.05,
        max_attempts=_ATTEMPTS,
        threads=1,
    )
    clocks = {name: Clock(folder / f"{name}.clock") for name in place.homes}
    port = opened.enter_context(reserved_port())
    commands = [_worker(number) for number in range(workers)]
    if place.hosts:
        commands = [host.command(one) for host, one in zip(place.hosts, commands, strict=True)]
    commands.insert(0, _api(port))
    parts = []
    for name, command in zip(place.homes, commands, strict=True):
        environment = _environment(settings.model_copy(update={"home": place.homes[name]}), clocks[name])
        environment |= {} if store is None else store.server.environment
        parts.append(Part(name, command, environment, logs / f"{name}.log"))
    blobs = Blobs(settings.home)
    if store is not None:
        _enter_environment(store.server.environment, opened)
        blobs = open_blobs(settings.model_copy(update={"home": folder / "observer"}))
        blobs.probe()  # this server makes the bucket
    with _MIGRATING:
        migrate(url)
    for part in parts:
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
        store,
        parts[0],
        parts[1:],
        f"http://127.0.0.1:{port}/",
        clocks,
        place.hosts,
        place.homes,
        place.disk,
        client,
        blobs,
        left_out,
    )
    stack.wait_until_whole()
    return stack


def _place(folder: Path, kind: str, workers: int, opened: ExitStack, left_out: list[str]) -> _Place:
    hosts, address = list[Host](), "127.0.0.1"
    try:
        made = opened.enter_context(network(workers))
        hosts, address = made.hosts, made.address
    except NoNamespaces as error:
        left_out.append(f"network cut: {error}")
    home, disk = folder / "home", None
    home.mkdir()
    try:
        disk = opened.enter_context(mounted(home, _DISK_MIB * (_HOMES if kind == "s3" else 1)))
    except CannotMount as error:
        left_out.append(f"disk full: {error}")
    homes = {"api": home / "files"}
    for number in range(workers):
        # With a store, the API is on a host of its own, and two workers share one.
        homes[f"worker{number}"] = home / f"host{number // 2}" if kind == "s3" else homes["api"]
    for one in set(homes.values()):
        one.mkdir()
    return _Place(hosts, address, homes, disk)


def _servers(
    folder: Path, kind: str, address: str, opened: ExitStack
) -> tuple[Valkey, Postgres | None, SeaweedFS | None]:
    def ports(count: int) -> list[int]:
        return [opened.enter_context(reserved_port(address)) for _ in range(count)]

    logs = folder / "logs"
    broker = Valkey(folder / "broker", address, ports(1)[0], logs / "valkey.log")
    postgres = store = None
    if kind != "sqlite":
        postgres = Postgres(folder / "postgresql", address, ports(1)[0], logs / "postgresql.log")
    if kind == "s3":
        store = SeaweedFS(folder / "s3", address, ports(8), logs / "s3.log")
    for server in (broker, postgres, store):
        if server is not None:
            opened.callback(server.end)
            server.start()
    return broker, postgres, store


def _enter_environment(variables: Mapping[str, str], opened: ExitStack) -> None:
    """Let this process find the store, too; it reads what is there and damages it."""
    os.environ.update(variables)
    for name in variables:
        opened.callback(os.environ.pop, name, None)


def _api(port: int) -> list[str]:
    options = ["--port", str(port), "--log-level", "error", "--timeout-graceful-shutdown", "3"]
    return [sys.executable, "-m", "service.main", *options]


def _worker(number: int) -> list[str]:
    options = ["--queues", WORKER_QUEUES, "--concurrency", "1", "--loglevel", "info", "--hostname", f"w{number}@%h"]
    return [sys.executable, "-m", "celery", "--app", "worker.app", "--quiet", "worker", *options]


def _environment(settings: Settings, clock: Clock) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SUSPECTS_")}
    given = settings.model_dump(
        include={
            "home",
            "artefacts",
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
