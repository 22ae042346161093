"""Proxies of audits: judges that have an opinion on every label before it is reviewed. They are only added, and the newest counts."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from service.store.tables import audit_proxies, jobs, suspects

Array = npt.NDArray[Any]
# Opinions, as what is drawn is divided by them: the label is right, it may be wrong, it is wrong, nothing was said.
RIGHT, DOUBTFUL, WRONG, SILENT = range(4)
OPINIONS = 4
_NAMED = 1_000  # ids in one statement


@dataclass(frozen=True)
class StoredProxy:
    """A proxy, its opinion on each ranked sample in the order of the upload (int8 n), and its number."""

    number: int
    name: str
    opinions: Array
    created_at: datetime


def add(connection: sa.Connection, job_id: str, name: str, opinions: Array, now: datetime) -> StoredProxy:
    """Add a proxy of an audited job."""
    # Two who add at once would otherwise draw the same number.
    connection.execute(sa.select(jobs.c.id).where(jobs.c.id == job_id).with_for_update())
    number = last_number(connection, job_id) + 1
    packed = zlib.compress(opinions.astype(np.int8).tobytes())
    connection.execute(
        audit_proxies.insert().values(job_id=job_id, number=number, name=name, opinions=packed, created_at=now)
    )
    return StoredProxy(number, name, opinions, now)


def last_number(connection: sa.Connection, job_id: str) -> int:
    """The number of the newest proxy of a job; 0 where it has none."""
    newest = sa.select(sa.func.max(audit_proxies.c.number)).where(audit_proxies.c.job_id == job_id)
    return connection.execute(newest).scalar() or 0


def get(connection: sa.Connection, job_id: str, number: int) -> StoredProxy | None:
    """A proxy by its number."""
    wanted = (audit_proxies.c.job_id == job_id) & (audit_proxies.c.number == number)
    row = connection.execute(audit_proxies.select().where(wanted)).one_or_none()
    if row is None:
        return None
    opinions = np.frombuffer(zlib.decompress(row.opinions), np.int8)
    return StoredProxy(row.number, row.name, opinions, row.created_at)


def index_of(connection: sa.Connection, job_id: str, sample_ids: Sequence[str]) -> dict[str, int]:
    """Places in the upload of the ranked samples among `sample_ids`, by id."""
    found: dict[str, int] = {}
    for start in range(0, len(sample_ids), _NAMED):
        wanted = (suspects.c.job_id == job_id) & suspects.c.sample_id.in_(sample_ids[start : start + _NAMED])
        rows = connection.execute(sa.select(suspects.c.sample_id, suspects.c.index).where(wanted))
        found |= {row.sample_id: row[1] for row in rows}
    return found
