"""Alembic's entry: runs the migrations on the connection it was given, else on the URL it was given."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection

from service.store.engine import open_database
from service.store.tables import UTCDateTime, metadata


def _render(kind: str, value: Any, _autogenerate: Any) -> str | Literal[False]:
    # A migration must not change when the code does, so it names the database's own type.
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(value, UTCDateTime) else False


def _run(connection: Connection) -> None:
    # SQLite alters a table by copying it, hence the batch mode.
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, render_item=_render)
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    database = open_database(context.config.attributes["url"])
    with database.write() as opened:
        _run(opened)
    database.close()
