"""Audits: their batches, working models and entries, which are only added."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from service.audit.draw import Item
from service.audit.working_model import WorkingModel
from service.store.tables import audit_batches, audit_entries, audit_models, audits

Array = npt.NDArray[Any]
_KINDS = {True: "drawn", False: "listed"}
_OUTSIDE = "outside"


@dataclass(frozen=True)
class StoredModel:
    """A working model, the ranking and proxy that have its bins (`DrawnBy`), and how many samples were reviewed when it was made."""

    model: WorkingModel
    ranked_by: str
    reviewed: int


@dataclass(frozen=True)
class AuditBatch:
    """Samples that were handed out together, by their places in the upload, in the order in which they are shown."""

    id: str
    goal: str
    reviewer: str | None
    items: list[int]
    created_at: datetime


@dataclass(frozen=True)
class AuditRow:
    """An audit: the seed of its draws, and how many people must call a label wrong before it counts."""

    seed: int
    confirm: int


@dataclass(frozen=True)
class DrawnBy:
    """What draws are made by: a version of a job's ranking, and a proxy of the audited job, 0 for none."""

    job_id: str
    version: int = 0
    proxy: int = 0

    @property
    def name(self) -> str:
        """As working models have it."""
        ranking = f"{self.job_id}@{self.version}" if self.version else self.job_id
        return f"{ranking}#{self.proxy}" if self.proxy else ranking

    @classmethod
    def of(cls, name: str) -> "DrawnBy":
        """By its name."""
        ranking, _, proxy = name.partition("#")
        job_id, _, version = ranking.partition("@")
        return cls(job_id, int(version or 0), int(proxy or 0))


def get(connection: sa.Connection, job_id: str) -> AuditRow | None:
    """The audit of a job; None where none was begun."""
    wanted = sa.select(audits.c.seed, audits.c.confirm).where(audits.c.job_id == job_id)
    row = connection.execute(wanted).one_or_none()
    return None if row is None else AuditRow(row.seed, row.confirm)


def begun(connection: sa.Connection, job_ids: Sequence[str]) -> set[str]:
    """Which of these jobs have an audit."""
    return set(connection.execute(sa.select(audits.c.job_id).where(audits.c.job_id.in_(job_ids))).scalars())


def begin(connection: sa.Connection, job_id: str, seed: int, now: datetime) -> None:
    """Begin the audit of a job, in which the word of one person counts."""
    connection.execute(audits.insert().values(job_id=job_id, seed=seed, confirm=1, created_at=now))


def set_confirm(connection: sa.Connection, job_id: str, people: int) -> None:
    """Say how many people must call a label wrong before it counts."""
    connection.execute(audits.update().where(audits.c.job_id == job_id).values(confirm=people))


def entries_after(connection: sa.Connection, job_id: str, seq: int) -> tuple[Array, Array, Array]:
    """Places in the upload (int64), bins (int16) and whether they were drawn (bool) of the entries from `seq` on, in order."""
    wanted = (audit_entries.c.job_id == job_id) & (audit_entries.c.seq >= seq)
    columns = (audit_entries.c["index"], audit_entries.c.bin, audit_entries.c.kind)
    rows = connection.execute(sa.select(*columns).where(wanted).order_by(audit_entries.c.seq)).all()
    index, bins, kinds = zip(*rows, strict=True) if rows else ((), (), ())
    is_drawn = np.array([kind == _KINDS[True] for kind in kinds], bool)
    return np.array(index, np.int64), np.array(bins, np.int16), is_drawn


def models_after(connection: sa.Connection, job_id: str, first: int) -> list[StoredModel]:
    """The working models whose first entry is at least `first`, in order."""
    wanted = (audit_models.c.job_id == job_id) & (audit_models.c.first >= first)
    rows = connection.execute(audit_models.select().where(wanted).order_by(audit_models.c.first))
    return [
        StoredModel(
            WorkingModel(row.first, np.array(row.probability), np.array(row.weight), np.array(row.left, np.int64)),
            row.ranked_by,
            row.reviewed,
        )
        for row in rows
    ]


def add_model(connection: sa.Connection, job_id: str, stored: StoredModel) -> None:
    """Write down a working model, before the entries that it draws."""
    model = stored.model
    row = {"job_id": job_id, "first": model.first, "ranked_by": stored.ranked_by, "reviewed": stored.reviewed}
    arrays = {name: getattr(model, name).tolist() for name in ("probability", "weight", "left")}
    connection.execute(audit_models.insert().values({**row, **arrays}))


def add_outside(connection: sa.Connection, job_id: str, seq: int, index: Array, bins: Array) -> None:
    """Write down samples that were reviewed without the audit, numbered from `seq` on."""
    _add(connection, job_id, seq, [(place, number, _OUTSIDE) for place, number in zip(index, bins, strict=True)], None)


def add_items(
    connection: sa.Connection, job_id: str, seq: int, items: Sequence[Item], index: Array, batch: str
) -> None:
    """Write down the samples of a batch, numbered from `seq` on; `index` has their places in the upload."""
    rows = [(place, item.bin, _KINDS[item.is_drawn]) for place, item in zip(index, items, strict=True)]
    _add(connection, job_id, seq, rows, batch)


def _add(
    connection: sa.Connection, job_id: str, seq: int, rows: Sequence[tuple[Any, Any, str]], batch: str | None
) -> None:
    if rows:
        values = [
            {"job_id": job_id, "seq": number, "index": int(index), "bin": int(bin_), "kind": kind, "batch": batch}
            for number, (index, bin_, kind) in enumerate(rows, seq)
        ]
        connection.execute(audit_entries.insert(), values)


def add_batch(connection: sa.Connection, job_id: str, batch: AuditBatch) -> None:
    """Write down a batch."""
    values = {name: getattr(batch, name) for name in ("id", "goal", "reviewer", "items", "created_at")}
    connection.execute(audit_batches.insert().values(job_id=job_id, **values))


def get_batch(connection: sa.Connection, batch_id: str) -> AuditBatch | None:
    """A batch by its id."""
    row = connection.execute(audit_batches.select().where(audit_batches.c.id == batch_id)).one_or_none()
    return None if row is None else _batch(row)


def batches_since(connection: sa.Connection, job_id: str, since: datetime) -> list[AuditBatch]:
    """The batches made at this time or later."""
    wanted = (audit_batches.c.job_id == job_id) & (audit_batches.c.created_at >= since)
    return [_batch(row) for row in connection.execute(audit_batches.select().where(wanted))]


def last_batch(connection: sa.Connection, job_id: str) -> AuditBatch | None:
    """The newest batch of an audit."""
    mine = audit_batches.select().where(audit_batches.c.job_id == job_id)
    newest = mine.order_by(audit_batches.c.created_at.desc(), audit_batches.c.id.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    return None if row is None else _batch(row)


def _batch(row: sa.Row[Any]) -> AuditBatch:
    return AuditBatch(row.id, row.goal, row.reviewer, list(row.items), row.created_at)
