"""Time that all hosts agree on."""

from datetime import UTC, datetime

import sqlalchemy as sa


def database_time(connection: sa.Connection) -> datetime:
    """Time of the database's server; on SQLite, which serves one machine, that of this machine."""
    if connection.dialect.name != "postgresql":
        return datetime.now(UTC)
    now: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return now.astimezone(UTC)
