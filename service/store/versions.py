"""Corrected datasets: the parent of each, and the samples that people have verified."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from service.domain.dataset import DatasetInfo
from service.store import datasets
from service.store.tables import dataset_versions as versions
from service.store.tables import jobs


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


def job_before(connection: sa.Connection, job_id: str) -> str | None:
    """The job whose reviews or suggestions the dataset of a job was made of; None where it was not made so."""
    wanted = sa.select(versions.c.job_id).join(jobs, jobs.c.dataset_id == versions.c.dataset_id)
    return connection.execute(wanted.where(jobs.c.id == job_id)).scalar_one_or_none()


def job_after(connection: sa.Connection, job_id: str) -> str | None:
    """The newest job over a dataset that was made of the reviews or suggestions of a job."""
    wanted = sa.select(jobs.c.id).join(versions, jobs.c.dataset_id == versions.c.dataset_id)
    newest = wanted.where(versions.c.job_id == job_id).order_by(jobs.c.created_at.desc(), jobs.c.id.desc())
    return connection.execute(newest.limit(1)).scalar_one_or_none()
