"""Datasets, each stored once: equal bytes and specs have equal digests."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from service.domain.dataset import DatasetInfo
from service.domain.job import ACTIVE
from service.store.projects import project_of_new_rows, unique_in_project, visible
from service.store.tables import datasets, jobs


def add(connection: sa.Connection, info: DatasetInfo) -> None:
    """Write a new dataset; its canonical file is already in place."""
    connection.execute(
        datasets.insert().values(
            id=info.id,
            created_at=info.created_at,
            project=project_of_new_rows(connection),
            **_described(connection, info),
        )
    )


def update(connection: sa.Connection, info: DatasetInfo) -> None:
    """Replace the description of a dataset; used when its tasks have been pulled."""
    connection.execute(
        datasets.update()
        .where(datasets.c.id == info.id, visible(connection, datasets))
        .values(**_described(connection, info))
    )


def _described(connection: sa.Connection, info: DatasetInfo) -> dict[str, Any]:
    shown = info.model_dump(mode="json")
    # The column of a feature in the canonical file is kept here, though it is not shown to clients.
    shown["features"] = [{"name": f.name, "kind": f.kind, "column": f.column} for f in info.features]
    return {"digest": unique_in_project(connection, info.digest), "name": info.name, "info": shown}


def get(connection: sa.Connection, dataset_id: str) -> DatasetInfo | None:
    """One dataset, or None."""
    return _first(connection, datasets.c.id == dataset_id)


def by_digest(connection: sa.Connection, digest: str) -> DatasetInfo | None:
    """The dataset with this digest, if it was uploaded before."""
    return _first(connection, datasets.c.digest == unique_in_project(connection, digest))


def page(
    connection: sa.Connection, before: tuple[datetime, str] | None = None, limit: int = 50
) -> tuple[Sequence[DatasetInfo], int]:
    """The newest datasets first, older than `before` (created_at, id), and how many there are in all."""
    mine = visible(connection, datasets)
    total = connection.execute(sa.select(sa.func.count()).select_from(datasets).where(mine)).scalar_one()
    older = sa.true() if before is None else sa.tuple_(datasets.c.created_at, datasets.c.id) < sa.tuple_(*before)
    rows = connection.execute(
        sa.select(datasets.c.info)
        .where(mine, older)
        .order_by(datasets.c.created_at.desc(), datasets.c.id.desc())
        .limit(limit)
    ).scalars()
    return [DatasetInfo.model_validate(row) for row in rows], total


def jobs_using(connection: sa.Connection, dataset_id: str, *, active_only: bool = False) -> list[str]:
    """Ids of the jobs that use a dataset, as training set or as reference."""
    uses = (jobs.c.dataset_id == dataset_id) | (jobs.c.reference_dataset_id == dataset_id)
    if active_only:
        uses &= jobs.c.state.in_(ACTIVE)
    return list(connection.execute(sa.select(jobs.c.id).where(uses)).scalars())


def unused_since(connection: sa.Connection, before: datetime) -> list[str]:
    """Ids of the datasets that are older than that, and that no job uses."""
    used = sa.exists().where((jobs.c.dataset_id == datasets.c.id) | (jobs.c.reference_dataset_id == datasets.c.id))
    return list(connection.execute(sa.select(datasets.c.id).where(datasets.c.created_at < before, ~used)).scalars())


def count_jobs(connection: sa.Connection, dataset_ids: Sequence[str]) -> dict[str, int]:
    """How many jobs train on each of these datasets; those that none does are left out."""
    wanted = sa.select(jobs.c.dataset_id, sa.func.count().label("number")).where(jobs.c.dataset_id.in_(dataset_ids))
    return {row.dataset_id: row.number for row in connection.execute(wanted.group_by(jobs.c.dataset_id))}


def remove(connection: sa.Connection, dataset_id: str) -> None:
    """Delete a dataset; the caller has checked that no job uses it."""
    connection.execute(datasets.delete().where(datasets.c.id == dataset_id, visible(connection, datasets)))


def _first(connection: sa.Connection, wanted: sa.ColumnElement[bool]) -> DatasetInfo | None:
    row = connection.execute(
        sa.select(datasets.c.info).where(wanted, visible(connection, datasets))
    ).scalar_one_or_none()
    return None if row is None else DatasetInfo.model_validate(row)
