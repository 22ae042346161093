"""The database: connections that read, transactions that write, migrations."""

import hashlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.config import Config

_MIGRATIONS = Path(__file__).parent / "migrations"
_PATIENCE = 100  # tries
_OPTIONS: dict[str, Any] = {
    # As many connections as a server has threads, so that no thread waits for another.
    "pool_size": 10,
    "max_overflow": 30,
    # Errors of the database are logged, and must not show the values of a statement, such as a webhook's URL.
    "hide_parameters": True,
}
_SILENCE_S = 30.0
_STOOD_STILL = "25P03"  # of PostgreSQL
_IDLE = "idle_in_transaction_session_timeout"
_MIGRATION_LOCK = 0x5059_5350  # any number that nothing else in the database uses
_locked: set[str] = set()
_locked_guard = threading.Lock()


@dataclass(frozen=True)
class Database:
    """One pool of connections, used in two ways. With a `project`, its connections see the rows of that project alone."""

    engine: sa.Engine
    project: str | None = None

    def of(self, project: str) -> "Database":
        """The same pool, restricted to a project (see service.store.projects)."""
        return replace(self, project=project)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection for reading; nothing is committed."""
        with self.engine.connect() as connection:
            yield connection.execution_options(suspects_project=self.project)

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One transaction: committed at the end of the block, rolled back by an exception."""
        with self.engine.execution_options(suspects_write=True, suspects_project=self.project).begin() as connection:
            yield connection

    @contextmanager
    def try_lock(self, what: str) -> Iterator[bool]:
        """Try to take the lock `what`, and give whether it was free; a taken lock is held until the block ends.

        On PostgreSQL the lock holds among all processes. On SQLite, where one service runs alone, among its threads.
        """
        if self.engine.dialect.name == "postgresql":
            # Released with the connection, so that a process that dies leaves no lock.
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                free = connection.execute(sa.select(sa.func.pg_try_advisory_lock(_lock(what)))).scalar_one()
                try:
                    yield free
                finally:
                    if free:
                        connection.execute(sa.select(sa.func.pg_advisory_unlock(_lock(what))))
            return
        with _locked_guard:
            free = what not in _locked
            _locked.add(what)
        try:
            yield free
        finally:
            if free:
                with _locked_guard:
                    _locked.discard(what)

    def close(self) -> None:
        """Close every connection of the pool."""
        self.engine.dispose()


def _lock(what: str) -> int:
    return int.from_bytes(hashlib.sha256(what.encode()).digest()[:8], "big", signed=True)


def open_database(url: str, silence_s: float = _SILENCE_S) -> Database:
    """Open SQLite or PostgreSQL by its SQLAlchemy URL; no connection is made yet.

    A server or client of PostgreSQL that is silent for `silence_s` seconds, where it should not be, is given up by the other.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(parsed, connect_args={"timeout": 60}, **_OPTIONS)
        sa.event.listen(engine, "connect", _configure_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    else:
        # Text is Unicode, whatever PGCLIENTENCODING or the database says: psycopg gives bytes for another encoding.
        options = _noticing(silence_s) | {"client_encoding": "utf8"}
        options = {name: value for name, value in options.items() if name not in parsed.query}
        engine = sa.create_engine(parsed, connect_args=options, pool_pre_ping=True, **_OPTIONS)
        sa.event.listen(engine, "handle_error", _ended_by_server)
        sa.event.listen(engine, "begin", partial(_begin_postgresql, f"SET LOCAL {_IDLE} = {round(silence_s * 1000)}"))
    return Database(engine)


def _noticing(silence_s: float) -> dict[str, int | str]:
    """Options of a connection to PostgreSQL by which a server whose host is gone is noticed; Linux waits for two hours."""
    step = max(round(silence_s / 6), 1)
    return {
        "connect_timeout": 10,
        "keepalives_idle": 2 * step,
        "keepalives_interval": step,
        "keepalives_count": 4,
        "tcp_user_timeout": round(silence_s * 1000),
    }


def _begin_postgresql(limit: str, connection: sa.Connection) -> None:
    # A process that is stopped or cut off in the middle of a transaction keeps the rows that it has changed from all others.
    if connection.get_execution_options().get("suspects_write", False):
        connection.exec_driver_sql(limit)


def _ended_by_server(found: sa.engine.ExceptionContext) -> None:
    """Raise OperationalError, as for any lost connection, where the server ended a transaction that stood still."""
    if getattr(found.original_exception, "sqlstate", None) == _STOOD_STILL:
        raise sa.exc.OperationalError(
            found.statement, None, found.original_exception, hide_parameters=True, connection_invalidated=True
        )


def _configure_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # pysqlite would otherwise begin transactions by rules of its own and too late for the lock.
    connection.isolation_level = None
    # Rows of a large ranking are read here and there: mapped, they cost no system call each.
    for pragma in ("synchronous=NORMAL", "foreign_keys=ON", f"mmap_size={2**31 - 1}"):
        connection.execute(f"PRAGMA {pragma}")
    _log_ahead(connection)


def _log_ahead(connection: sqlite3.Connection) -> None:
    # The mode is the file's and stays. SQLite does not wait for others while changing it, whatever the timeout.
    for attempt in range(_PATIENCE):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if attempt == _PATIENCE - 1:
                raise
            time.sleep(0.1)
        else:
            return


def _begin_sqlite(connection: sa.Connection) -> None:
    # A writer takes the lock at once: two that read first and then both want to write would deadlock.
    writes = connection.get_execution_options().get("suspects_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def migration_config(url: str) -> "Config":
    """Alembic's configuration for this database."""
    from alembic.config import Config  # a worker never migrates

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["url"] = url
    return config


# The schema of the oldest code that can run with the newest schema. It stays as it is while migrations only add: tables,
# indexes, columns that may be null or have a default of the server. Whatever older code cannot bear raises it to the revision
# of the oldest code that can (docs/production.md, "New versions").
OLDEST_COMPATIBLE = "0015"


class SchemaTooNew(Exception):
    """A newer version has changed the database in a way that this version cannot bear."""


class NotUnicode(Exception):
    """The database keeps text in an encoding that cannot hold what clients upload."""


@dataclass(frozen=True)
class SchemaState:
    """The schema that a database has (None: empty), the newest one of this version, and the oldest code that the database bears."""

    revision: str | None
    newest: str
    oldest_code: str | None

    @property
    def is_newer(self) -> bool:
        """Whether a newer version has migrated the database."""
        return self.revision is not None and self.revision > self.newest

    @property
    def fits(self) -> bool:
        """Whether this version can run with the database as it is."""
        return self.revision == self.newest or (
            self.is_newer and self.oldest_code is not None and self.oldest_code <= self.newest
        )


def schema_state(url: str) -> SchemaState:
    """The schema of a database; nothing is changed."""
    database = open_database(url)
    try:
        with database.read() as connection:
            return _state(connection, _newest())
    finally:
        database.close()


def migrate(url: str, to: str = "head") -> SchemaState:
    """Bring the database to a schema, the newest unless another is named; safe when several processes start at once.

    A database of a newer version is left as it is where this version can run with it. Raises SchemaTooNew where it cannot, and
    NotUnicode for a database of PostgreSQL whose encoding is not UTF8.
    """
    from alembic import command

    database = open_database(url)
    try:
        with database.write() as connection:
            if connection.dialect.name == "postgresql":
                _refuse_other_encodings(connection)
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
            found = _state(connection, _newest())
            if found.is_newer:
                if found.fits:
                    return found
                raise SchemaTooNew(
                    f"the database has schema {found.revision}, and this version knows {found.newest}: install the version that "
                    f"migrated it, or take the schema back with that version: suspects migrate down --to {found.newest}"
                )
            if to == "head" and found.revision == found.newest and found.oldest_code == OLDEST_COMPATIBLE:
                return found
            config = migration_config(url)
            config.attributes["connection"] = connection
            if to != "head" and found.revision is not None and to < found.revision:
                command.downgrade(config, to)
            else:
                command.upgrade(config, to)
            _note_compatibility(connection)
            return _state(connection, found.newest)
    finally:
        database.close()


def _refuse_other_encodings(connection: sa.Connection) -> None:
    encoding = connection.execute(sa.text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        name = connection.engine.url.database
        raise NotUnicode(
            f"the database {name} keeps text as {encoding}, and needs UTF8: create it with CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0"
        )


@cache
def _newest() -> str:
    # Of the names of the files, whose numbers are the revisions: Alembic is imported where something is to be migrated.
    return max(file.name.partition("_")[0] for file in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def _state(connection: sa.Connection, newest: str) -> SchemaState:
    tables = sa.inspect(connection)
    if not tables.has_table("alembic_version"):
        return SchemaState(None, newest, None)
    revision = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    oldest = None
    if tables.has_table("schema_compatibility"):
        oldest = connection.execute(sa.text("SELECT oldest_code FROM schema_compatibility")).scalar_one_or_none()
    return SchemaState(revision, newest, oldest)


def _note_compatibility(connection: sa.Connection) -> None:
    if sa.inspect(connection).has_table("schema_compatibility"):
        connection.execute(sa.text("DELETE FROM schema_compatibility"))
        insert = sa.text("INSERT INTO schema_compatibility (oldest_code) VALUES (:oldest)")
        connection.execute(insert, {"oldest": OLDEST_COMPATIBLE})
