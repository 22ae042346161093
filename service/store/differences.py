"""Two rankings side by side, sample by sample."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from service.domain.verdict import FLAGGED
from service.store.tables import suspects


@dataclass(frozen=True)
class SampleList:
    """Ids of the first samples of a list; `total` is the length of the whole list."""

    ids: list[str]
    total: int


def count_shared(connection: sa.Connection, before: str, after: str) -> tuple[int, int, int]:
    """How many samples both jobs ranked, the first job alone, the second alone."""
    mine, other = suspects.alias(), suspects.alias()
    both = mine.join(other, (mine.c.sample_id == other.c.sample_id) & (other.c.job_id == after))
    shared = connection.execute(
        sa.select(sa.func.count()).select_from(both).where(mine.c.job_id == before)
    ).scalar_one()
    counted = connection.execute(
        sa.select(suspects.c.job_id, sa.func.count())
        .where(suspects.c.job_id.in_([before, after]))
        .group_by(suspects.c.job_id)
    )
    sizes = {row[0]: row[1] for row in counted}
    return shared, sizes.get(before, 0) - shared, sizes.get(after, 0) - shared


def flagged_only_in(connection: sa.Connection, job_id: str, other_id: str, by: str, limit: int) -> SampleList:
    """Samples that one job flags and the other does not flag or rank, in the order of the first job's signal `by`."""
    mine, other = suspects.alias(), suspects.alias()
    beside = mine.outerjoin(other, (mine.c.sample_id == other.c.sample_id) & (other.c.job_id == other_id))
    wanted = (
        (mine.c.job_id == job_id)
        & mine.c.verdict.in_(FLAGGED)
        & (other.c.sample_id.is_(None) | other.c.verdict.not_in(FLAGGED))
    )
    ordered = sa.select(mine.c.sample_id).select_from(beside).where(wanted).order_by(mine.c[by].desc(), mine.c.index)
    total = sa.select(sa.func.count()).select_from(beside).where(wanted)
    return _listed(connection, ordered, total, limit)


def relabelled(connection: sa.Connection, before: str, after: str, by: str, limit: int) -> SampleList:
    """Samples whose given labels differ between the jobs, in the order of the first job's signal `by`."""
    mine, other = suspects.alias(), suspects.alias()
    both = mine.join(other, (mine.c.sample_id == other.c.sample_id) & (other.c.job_id == after))
    wanted = (mine.c.job_id == before) & (mine.c.given_label != other.c.given_label)
    ordered = sa.select(mine.c.sample_id).select_from(both).where(wanted).order_by(mine.c[by].desc(), mine.c.index)
    return _listed(connection, ordered, sa.select(sa.func.count()).select_from(both).where(wanted), limit)


def _listed(connection: sa.Connection, ordered: sa.Select[Any], total: sa.Select[Any], limit: int) -> SampleList:
    ids = list(connection.execute(ordered.limit(limit)).scalars())
    return SampleList(ids, connection.execute(total).scalar_one())
