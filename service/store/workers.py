"""Workers that are alive: each writes a time every few seconds, so that readiness does not depend on the broker."""

from datetime import datetime

import sqlalchemy as sa

from service.store.tables import workers


def record_heartbeat(connection: sa.Connection, worker_id: str, now: datetime) -> None:
    """Write that a worker is alive."""
    changed = connection.execute(workers.update().where(workers.c.id == worker_id).values(seen_at=now))
    if changed.rowcount == 0:
        connection.execute(workers.insert().values(id=worker_id, seen_at=now))


def remove(connection: sa.Connection, worker_id: str) -> None:
    """Write that a worker has stopped."""
    connection.execute(workers.delete().where(workers.c.id == worker_id))


def count_alive(connection: sa.Connection, since: datetime) -> int:
    """Number of workers that have written their time after `since`."""
    return connection.execute(
        sa.select(sa.func.count()).select_from(workers).where(workers.c.seen_at > since)
    ).scalar_one()
