"""Uploaded networks, each stored once: equal bytes are one network."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from service.domain.network import NetworkInfo
from service.store.projects import project_of_new_rows, unique_in_project, visible
from service.store.tables import job_networks, networks


def add(connection: sa.Connection, info: NetworkInfo) -> None:
    """Write a new network; its file is already in place."""
    connection.execute(
        networks.insert().values(
            id=info.id,
            digest=unique_in_project(connection, info.digest),
            project=project_of_new_rows(connection),
            info=info.model_dump(mode="json"),
            created_at=info.created_at,
        )
    )


def get(connection: sa.Connection, network_id: str) -> NetworkInfo | None:
    """One network, or None."""
    return _first(connection, networks.c.id == network_id)


def by_digest(connection: sa.Connection, digest: str) -> NetworkInfo | None:
    """The network of these bytes, if it was uploaded before."""
    return _first(connection, networks.c.digest == unique_in_project(connection, digest))


def page(
    connection: sa.Connection, before: tuple[datetime, str] | None = None, limit: int = 50
) -> tuple[Sequence[NetworkInfo], int]:
    """The newest networks first, older than `before` (created_at, id), and how many there are in all."""
    mine = visible(connection, networks)
    total = connection.execute(sa.select(sa.func.count()).select_from(networks).where(mine)).scalar_one()
    older = sa.true() if before is None else sa.tuple_(networks.c.created_at, networks.c.id) < sa.tuple_(*before)
    rows = connection.execute(
        sa.select(networks.c.info)
        .where(mine, older)
        .order_by(networks.c.created_at.desc(), networks.c.id.desc())
        .limit(limit)
    ).scalars()
    return [NetworkInfo.model_validate(row) for row in rows], total


def link_job(connection: sa.Connection, job_id: str, network_id: str) -> None:
    """Record that a job trains on a network. Raises IntegrityError where the network is gone."""
    connection.execute(job_networks.insert().values(job_id=job_id, network_id=network_id))


def jobs_using(connection: sa.Connection, network_id: str) -> list[str]:
    """Ids of the jobs that use a network."""
    wanted = sa.select(job_networks.c.job_id).where(job_networks.c.network_id == network_id)
    return list(connection.execute(wanted).scalars())


def remove(connection: sa.Connection, network_id: str) -> None:
    """Delete a network; the caller has checked that no job uses it."""
    connection.execute(networks.delete().where(networks.c.id == network_id, visible(connection, networks)))


def _first(connection: sa.Connection, wanted: sa.ColumnElement[bool]) -> NetworkInfo | None:
    row = connection.execute(
        sa.select(networks.c.info).where(wanted, visible(connection, networks))
    ).scalar_one_or_none()
    return None if row is None else NetworkInfo.model_validate(row)
