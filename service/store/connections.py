"""Connections to labelling tools. Secrets are stored as they are given: encrypted by the caller."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from service.domain.connection import Connection, ConnectionCheck, TokenKind
from service.store.projects import project_of_new_rows, visible
from service.store.tables import connections, jobs, pulls


@dataclass(frozen=True)
class EncryptedConnection:
    """A connection with its encrypted secrets: the API token, and the secret in the path of its webhooks."""

    shown: Connection
    token: str
    path_secret: str


def add(connection: sa.Connection, one: EncryptedConnection) -> None:
    """Write a new connection."""
    shown = one.shown.model_dump(mode="python")
    connection.execute(
        connections.insert().values(
            **shown, project=project_of_new_rows(connection), token=one.token, path_secret=one.path_secret
        )
    )


def get(connection: sa.Connection, connection_id: str) -> Connection | None:
    """One connection, or None."""
    found = get_encrypted(connection, connection_id)
    return None if found is None else found.shown


def get_encrypted(connection: sa.Connection, connection_id: str) -> EncryptedConnection | None:
    """One connection with its encrypted secrets, or None."""
    found = connections.c.id == connection_id
    wanted = connections.select().where(found, visible(connection, connections))
    row = connection.execute(wanted).mappings().one_or_none()
    return (
        None
        if row is None
        else EncryptedConnection(Connection.model_validate(dict(row)), row["token"], row["path_secret"])
    )


def page(
    connection: sa.Connection, before: tuple[datetime, str] | None = None, limit: int = 50
) -> tuple[Sequence[Connection], int]:
    """The newest connections first, older than `before` (created_at, id), and how many there are in all."""
    mine = visible(connection, connections)
    total = connection.execute(sa.select(sa.func.count()).select_from(connections).where(mine)).scalar_one()
    time = sa.tuple_(connections.c.created_at, connections.c.id)
    older = sa.true() if before is None else time < sa.tuple_(*before)
    wanted = connections.select().where(mine, older).order_by(connections.c.created_at.desc(), connections.c.id.desc())
    return [Connection.model_validate(dict(row)) for row in connection.execute(wanted.limit(limit)).mappings()], total


def rotate_token(
    connection: sa.Connection, connection_id: str, token: str, kind: TokenKind, seen: ConnectionCheck, now: datetime
) -> bool:
    """Put another (encrypted) token in place of the one before. False when the connection is gone."""
    values = {"token": token, "token_kind": kind, "seen": seen.model_dump(), "tested_at": now}
    changed = connection.execute(
        connections.update().where(connections.c.id == connection_id, visible(connection, connections)).values(**values)
    )
    return changed.rowcount > 0


def rotate_secret(connection: sa.Connection, connection_id: str, path_secret: str) -> bool:
    """Put another (encrypted) path secret in place of the one before. False when the connection is gone."""
    changed = connection.execute(
        connections.update()
        .where(connections.c.id == connection_id, visible(connection, connections))
        .values(path_secret=path_secret)
    )
    return changed.rowcount > 0


def jobs_to_pull(connection: sa.Connection, connection_id: str) -> list[str]:
    """Ids of the jobs whose tasks are still to be pulled over this connection."""
    wanted = (
        sa.select(pulls.c.job_id)
        .join(jobs, jobs.c.id == pulls.c.job_id)
        .where(pulls.c.connection_id == connection_id, pulls.c.waiting, jobs.c.state.in_(("queued", "preparing")))
    )
    return list(connection.execute(wanted).scalars())


def remove(connection: sa.Connection, connection_id: str) -> None:
    """Delete a connection with its secrets; jobs whose tasks came over it stay."""
    connection.execute(connections.delete().where(connections.c.id == connection_id, visible(connection, connections)))
