"""Watch over all jobs and datasets, shared by the streams of a process."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from service.store import news
from service.store.engine import Database
from service.store.news import Overview

_FRESH_S = 0.2  # time for which a look serves every stream
# Equal marks: no transaction of any process was committed between. Of the whole database, so a change may be of something else.
_MARKS = {"sqlite": "PRAGMA data_version", "postgresql": "SELECT pg_current_snapshot()::text"}


class OverviewWatch:
    """Looks for changes on behalf of every stream: one look at a time, and only after something was written.

    Threads share it. It keeps one connection, because SQLite tells a connection only of what others wrote.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._engine: sa.Engine | None = None
        self._connection: sa.Connection | None = None
        self._mark: object = None
        self._looked_at = 0.0
        self._overview: Overview | None = None
        self._differences: tuple[Overview, Overview, Sequence[dict[str, Any]]] | None = None

    def recent(self) -> Overview | None:
        """The last overview, while it is fresh; without a look."""
        return self._overview if time.monotonic() - self._looked_at < _FRESH_S else None

    def look(self, database: Database) -> Overview:
        """The overview as it is now: the same object as long as nothing was written. Raises SQLAlchemyError."""
        with self._lock:
            fresh = self.recent() if database.engine is self._engine else None
            if fresh is not None:
                return fresh
            try:
                self._overview = self._read(database)
            except sa.exc.SQLAlchemyError:
                self._close()
                raise
            self._looked_at = time.monotonic()
            return self._overview

    def changes(self, before: Overview, now: Overview) -> Sequence[dict[str, Any]]:
        """What differs between two looks; computed once for the streams that saw the same ones."""
        if before is now:
            return ()
        known = self._differences
        if known is None or known[0] is not before or known[1] is not now:
            known = before, now, news.changes(before, now)
            self._differences = known
        return known[2]

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            self._close()

    def _read(self, database: Database) -> Overview:
        if self._connection is None or database.engine is not self._engine:
            self._close()
            # Of every project: streams show what is theirs.
            self._engine, self._connection = database.engine, database.engine.connect()
        connection = self._connection
        try:
            # The mark first: what is written after it is found by the next look.
            mark = connection.exec_driver_sql(_MARKS[connection.dialect.name]).scalar_one()
            if mark == self._mark and self._overview is not None:
                return self._overview
            found = news.overview(connection)
            self._mark = mark
            return found
        finally:
            connection.rollback()

    def _close(self) -> None:
        self._mark = self._overview = None
        self._looked_at = 0.0
        if self._connection is not None:
            self._connection.close()
            self._connection = None
