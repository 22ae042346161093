"""Rows that are written whether they are there or not."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite


def upsert(connection: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that knows `on_conflict_do_update`, which SQLAlchemy has for each database apart."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
