"""Corrected datasets: the parent of each, and the samples that people have verified."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from service.domain.dataset import DatasetInfo
from service.store import datasets
from service.store.tables import dataset_versions as versions


def add(connection: sa.Connection, info: DatasetInfo, verified: Sequence[str], now: datetime) -> None:
    """Write a corrected dataset with its lineage; its canonical file is already in place."""
    if info.lineage is None:
        raise ValueError("a version has a lineage")
    datasets.add(connection, info)
    connection.execute(
        versions.insert().values(
            dataset_id=info.id,
            parent_id=info.lineage.parent,
            job_id=info.lineage.job,
            applied=info.lineage.applied,
            changes={"relabelled": info.lineage.relabelled, "removed": info.lineage.removed},
            verified=sorted(verified),
            created_at=now,
        )
    )


def made_from(connection: sa.Connection, dataset_id: str) -> list[DatasetInfo]:
    """The datasets that were made directly from this one, the oldest first."""
    wanted = sa.select(versions.c.dataset_id).where(versions.c.parent_id == dataset_id)
    ids = connection.execute(wanted.order_by(versions.c.created_at, versions.c.dataset_id)).scalars().all()
    found = (datasets.get(connection, one) for one in ids)
    return [info for info in found if info is not None]


def ancestors(connection: sa.Connection, dataset_id: str) -> list[str]:
    """Ids of the dataset and its ancestors, itself first; a deleted ancestor ends the line."""
    line = [dataset_id]
    while True:
        wanted = sa.select(versions.c.parent_id).where(versions.c.dataset_id == line[-1])
        parent = connection.execute(wanted).scalar_one_or_none()
        if parent is None or parent in line:
            return line
        line.append(parent)


def verified_ids(connection: sa.Connection, dataset_id: str) -> list[str]:
    """Ids of the samples that people had verified when the dataset was made; none for an uploaded one."""
    wanted = sa.select(versions.c.verified).where(versions.c.dataset_id == dataset_id)
    return list(connection.execute(wanted).scalar_one_or_none() or [])
