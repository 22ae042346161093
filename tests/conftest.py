"""Real parts for every test: a PostgreSQL and a Valkey of their own, or those that the environment names."""

import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import hypothesis
import pytest
import redis
import sqlalchemy as sa
from _pytest.tmpdir import tmppath_result_key
from fastapi import FastAPI
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache

from service.logs import log_to_stderr
from service.main import create_app
from service.services import Services
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.engine import Database, migrate, open_database
from tests import servers
from tests.one_server import OneServer
from tests.openid import provider
from tests.slow import slow_tests, write_slow_tests

# Tensors of tests are small: threads would wait for each other longer than they work. torch reads it when it is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says nothing on a busy machine. Where CI is set, hypothesis has a profile that says so itself.
hypothesis.settings.register_profile("default", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])

_SERVERS = {"postgres_url", "redis_url", "openid_issuer", "s3_server"}
# Tests that spend most of their time in other processes, with a stand-in of a labelling tool, on whole datasets or on many
# draws: `make test-long` runs them. One whole job with a worker, and one in a browser, stay with the others.
_LONG = (
    "tests/architecture/test_images.py::test_an_image_imports",
    "tests/architecture/test_interrupted_run.py",
    "tests/architecture/test_layers.py::test_nothing_is_read_from_the_environment",
    "tests/browser/",
    "tests/chaos/",
    "tests/contract/test_contract_fuzz.py",
    "tests/contract/test_contract_statuses.py::test_every_documented_status",
    "tests/contract/test_contract_phases.py::test_every_answer_of_a_phase_is_as_described[coverage]",
    "tests/contract/test_contract_phases.py::test_every_answer_of_a_phase_is_as_described[fuzzing]",
    "tests/docs/test_docs_commands.py",
    "tests/fuzz/",
    "tests/integration/",
    "tests/property/",
    "tests/unit/api/test_api_bodies.py::test_memory",
    "tests/unit/api/test_api_secrets.py::test_a_traceback",
    "tests/unit/audit/test_audit_coverage.py",
    "tests/unit/ingest/test_ingest_limits.py::test_memory",
    "tests/unit/ingest/test_ingest_real.py",
    "tests/unit/ingest/test_ingest_recorded.py::test_memory",
    "tests/unit/label_studio/",
    "tests/unit/recorder/test_recorder_ranks.py",
    "tests/unit/test_agent_transports.py",
    "tests/unit/test_public_package.py",
    "tests/unit/worker/test_damaged_jobs.py",
    "tests/unit/worker/test_full_disk.py",
    "tests/unit/worker/test_programs.py",
    "tests/unit/worker/test_search.py",
    "tests/unit/worker/test_trusted_texts.py",
    "tests/unit/worker/test_worker_start.py",
)
_LONG_S = 900  # after which one of them hangs; a campaign of faults takes more than five minutes on a busy machine
# Their servers take predictions one by one. On a slow machine one test takes four minutes.
_TOOLS = ("tests/label_studio/", "tests/doccano/")
_NOT_LONG = ("tests/browser/test_page_whole_job.py::test_a_table_", "tests/integration/test_review_loop.py")
# Tests that one process of pytest-xdist runs in a row: one browser at a time, one stack of processes at a time, and
# networks that are exported once.
_IN_A_ROW = {
    "tests/browser/": "browser",
    "tests/integration/test_embedded.py": "stack",
    "tests/unit/api/test_api_networks.py": "api networks",
    "tests/unit/worker/test_program_files.py": "program files",
    "tests/unit/worker/test_programs.py": "programs",
}


# Errors are logged as the service and the worker log them: structlog's own tracebacks take longer than most tests.
log_to_stderr()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of `make slow`."""
    parser.addoption("--write-slow", action="store_true", help="write tests/slow.txt from the times of this run")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Keep what was measured, where that was asked for."""
    if config.option.write_slow:
        reports = [report for kind in ("", "passed") for report in terminalreporter.getreports(kind)]
        write_slow_tests(report for report in reports if report.when in ("setup", "call"))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """With `--numprocesses auto`, one process more than there are cores: tests wait for sockets and for other processes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 8) + 1 if config.option.numprocesses == "auto" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a server process or is slow, so that `make test-fast` can leave it out, what is long, and what runs in a row."""
    slow = slow_tests()
    for item in items:
        if item.nodeid.startswith(_LONG) and not item.nodeid.startswith(_NOT_LONG):
            item.add_marker("long")
            item.add_marker(pytest.mark.timeout(_LONG_S))
        if item.nodeid.startswith(_TOOLS):
            item.add_marker(pytest.mark.timeout(_LONG_S))
        if _SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker("servers")
        if item.nodeid.split("[")[0] in slow:
            item.add_marker("slow")
        for place, name in _IN_A_ROW.items():
            if item.nodeid.startswith(place):
                item.add_marker(pytest.mark.xdist_group(name))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their argument: archives hold the time at which they were made, and each process makes its own."""
    return argname if isinstance(val, bytes) else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let pytest remove the temporary folder of a test whose fixtures were interrupted: it looks this up without asking."""
    item.stash.setdefault(tmppath_result_key, {})


@pytest.fixture(autouse=True)
def _same_start() -> None:
    """Let each test draw the same values, whichever ran before it in its process."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _statements_compiled_once() -> Iterator[None]:
    """Let databases of a kind share compiled statements, which SQLAlchemy keeps for one engine: most tests have an engine of their own."""
    compiled: dict[str, LRUCache[Any, Any]] = {}

    def share(connection: sa.Connection) -> None:
        name = connection.dialect.name
        connection.execution_options(compiled_cache=compiled.setdefault(name, LRUCache(2000)))

    with pytest.MonkeyPatch.context() as patch:
        for kind in (PGDialect_psycopg, SQLiteDialect_pysqlite):
            patch.setattr(kind, "__eq__", lambda one, other: type(one) is type(other))
            patch.setattr(kind, "__hash__", lambda one: hash(type(one)))
        sa.event.listen(sa.Engine, "engine_connect", share)
        yield
        sa.event.remove(sa.Engine, "engine_connect", share)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """SQLAlchemy URL of a PostgreSQL server on which databases may be created; `TEST_DATABASE_URL` names another."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield sa.make_url(given).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        return
    with servers.postgres() as url:
        yield url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """URL of a database of a Redis or Valkey server, which tests empty; `TEST_REDIS_URL` names another server.

    There the first pytest process uses the database of the URL, and each further one the next.
    """
    given = os.environ.get("TEST_REDIS_URL")
    if given:
        parts = urlsplit(given)
        number = int(parts.path.strip("/") or 0) + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        yield parts._replace(path=f"/{number}").geturl()
        return
    with servers.valkey() as url:
        yield url


@pytest.fixture(scope="session")
def s3_server() -> Iterator[servers.S3Server]:
    """A real S3 server."""
    with servers.s3() as server:
        yield server


@pytest.fixture(scope="session")
def openid_issuer() -> Iterator[str]:
    """URL of a real OpenID provider."""
    if not provider.is_installed():
        pytest.skip("no OpenID provider: `make test` fetches one where npm's registry is reached")
    with provider.running() as issuer:
        yield issuer


@pytest.fixture(scope="session")
def postgres_database(postgres_url: str) -> Iterator[str]:
    """URL of a migrated database of this process alone."""
    name = f"suspects_{uuid.uuid4().hex[:8]}"
    servers.administer(postgres_url, f"CREATE DATABASE {name}")
    url = sa.make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    migrate(url)
    yield url
    if os.environ.get("TEST_DATABASE_URL"):
        servers.administer(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_postgres(postgres_database: str) -> str:
    """That database, emptied."""
    servers.empty(postgres_database)
    return postgres_database


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an empty database of the newest schema, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "suspects.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def empty_sqlite(migrated_sqlite: Path, tmp_path: Path) -> str:
    """URL of a copy of that file."""
    return f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'suspects.db')}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty, migrated database of each kind in turn."""
    return str(request.getfixturevalue("empty_sqlite" if request.param == "sqlite" else "empty_postgres"))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The opened database."""
    opened = open_database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    """An empty file tree."""
    return Blobs(tmp_path / "home")


@pytest.fixture
def settings(tmp_path: Path, redis_url: str, migrated_sqlite: Path) -> Settings:
    """An installation of this test's own, on SQLite; its queue is empty."""
    with redis.Redis.from_url(redis_url) as broker:
        broker.flushdb()
    (tmp_path / "home").mkdir(exist_ok=True)
    shutil.copy(migrated_sqlite, tmp_path / "home" / "suspects.db")
    return Settings(home=tmp_path / "home", broker_url=redis_url, sweep_seconds=3600)


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    """The service."""
    return create_app(settings)


@pytest.fixture
def services(app: FastAPI) -> Services:
    """What stands behind the routes."""
    services: Services = app.state.services
    return services


@pytest.fixture(scope="session")
def one_server() -> Iterator[OneServer]:
    """A server for one application after the other."""
    running = OneServer()
    running.start()
    yield running
    running.stop()


@pytest.fixture
def server(one_server: OneServer, app: FastAPI) -> Iterator[str]:
    """URL of the service on a real socket, run by a thread of this process."""
    with one_server.running(app) as url:
        yield url


@pytest.fixture
def client(server: str) -> Iterator[httpx.Client]:
    """A client of the service."""
    # A context for certificates takes longer to make than most tests, and no test of this service needs one.
    with httpx.Client(base_url=server, trust_env=False, timeout=60, verify=False) as opened:
        yield opened
