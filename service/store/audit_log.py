"""The audit log: one row for each request that changed something or was refused. Rows are only added."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from service.domain.access import AuditLogEntry
from service.store.projects import visible
from service.store.tables import audit_log


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
