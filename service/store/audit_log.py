"""The audit log: one row for each request that changed something or was refused. Rows are only added, and deleted by age alone."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from service.domain.access import AuditLogEntry
from service.store.projects import visible
from service.store.tables import audit_log, audit_log_retention

_TOGETHER = 5_000


def add(connection: sa.Connection, **entry: Any) -> None:
    """Add an entry."""
    connection.execute(audit_log.insert().values(**entry))


def page(
    connection: sa.Connection, *, key: str | None = None, before: int | None = None, limit: int = 50
) -> Sequence[AuditLogEntry]:
    """The newest entries first, with numbers below `before`; only those with this key, if one is named."""
    wanted = audit_log.select().where(visible(connection, audit_log))
    if key is not None:
        wanted = wanted.where(audit_log.c.key == key)
    if before is not None:
        wanted = wanted.where(audit_log.c.seq < before)
    rows = connection.execute(wanted.order_by(audit_log.c.seq.desc()).limit(limit)).mappings()
    return [AuditLogEntry.model_validate(dict(row)) for row in rows]


def remove_oldest(connection: sa.Connection, before: datetime) -> int:
    """Delete entries older than `before`, 5,000 at most and the oldest first; returns their number."""
    oldest = connection.execute(
        sa.select(audit_log.c.seq, audit_log.c.at).order_by(audit_log.c.seq).limit(_TOGETHER)
    ).all()
    due = [row.seq for row in oldest if row.at < before]
    if due:
        connection.execute(audit_log_retention.insert().values(older_than=before))
        gone = audit_log.delete().where(audit_log.c.seq <= max(due), audit_log.c.at < before)
        connection.execute(gone)
        connection.execute(audit_log_retention.delete())
    return len(due)
