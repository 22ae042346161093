"""Keys of callers. Only the hash of a key is stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from service.domain.access import SESSION_PREFIX, AccessScope, KeyQuota, KeyView
from service.store.projects import visible
from service.store.tables import keys

_TO_THE_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class StoredKey:
    """A key with the hash of its secret part."""

    shown: KeyView
    hash: str


def add(connection: sa.Connection, one: StoredKey) -> None:
    """Write a new key."""
    shown = one.shown
    connection.execute(
        keys.insert().values(
            id=shown.id,
            name=shown.name,
            scopes=list(shown.scopes),
            project=shown.project,
            quota=shown.quota.model_dump(),
            hash=one.hash,
            created_at=shown.created_at,
            created_by=shown.created_by,
            expires_at=shown.expires_at,
        )
    )


def get(connection: sa.Connection, key_id: str) -> StoredKey | None:
    """One key, or None."""
    wanted = keys.select().where(keys.c.id == key_id, visible(connection, keys))
    row = connection.execute(wanted).mappings().one_or_none()
    return None if row is None else StoredKey(_view(row), row["hash"])


def page(
    connection: sa.Connection, before: tuple[datetime, str] | None = None, limit: int = 50
) -> tuple[Sequence[KeyView], int]:
    """The newest keys first, older than `before` (created_at, id), and how many there are in all."""
    mine = visible(connection, keys)
    total = connection.execute(sa.select(sa.func.count()).select_from(keys).where(mine)).scalar_one()
    older = sa.true() if before is None else sa.tuple_(keys.c.created_at, keys.c.id) < sa.tuple_(*before)
    wanted = keys.select().where(mine, older).order_by(keys.c.created_at.desc(), keys.c.id.desc()).limit(limit)
    return [_view(row) for row in connection.execute(wanted).mappings()], total


def any_key(connection: sa.Connection) -> bool:
    """Whether somebody created a key, in any project; expired ones count, sign-ins do not."""
    return connection.execute(_ANY_KEY).first() is not None


def others_without_admin(connection: sa.Connection, key_id: str, now: datetime) -> bool:
    """Whether without this key there are created keys left, none of which could administer the installation."""
    rows = connection.execute(keys.select().where(keys.c.id != key_id, ~_of_session())).mappings()
    others = [_view(row) for row in rows]
    return bool(others) and not any(one.is_operator and not one.expired(now) for one in others)


def expire(connection: sa.Connection, key_id: str, at: datetime) -> None:
    """Let a key expire at this time, unless it does so earlier."""
    sooner = sa.case((keys.c.expires_at < at, keys.c.expires_at), else_=at)
    connection.execute(keys.update().where(keys.c.id == key_id).values(expires_at=sooner))


def record_use(connection: sa.Connection, key_id: str, now: datetime) -> None:
    """Record that a key was used."""
    connection.execute(keys.update().where(keys.c.id == key_id).values(last_used_at=now))


def use_is_recorded(shown: KeyView, now: datetime) -> bool:
    """Whether the recorded use is recent enough: not every request is to write."""
    return shown.last_used_at is not None and now - shown.last_used_at < _TO_THE_MINUTE


def remove(connection: sa.Connection, key_id: str) -> bool:
    """Delete a key. False where there is none."""
    return connection.execute(keys.delete().where(keys.c.id == key_id, visible(connection, keys))).rowcount > 0


def remove_ended_sessions(connection: sa.Connection, before: datetime) -> int:
    """Delete the keys of sign-ins that ended before this time; returns how many there were."""
    return connection.execute(keys.delete().where(_of_session(), keys.c.expires_at < before)).rowcount


def _of_session() -> sa.ColumnElement[bool]:
    return keys.c.id.startswith(SESSION_PREFIX, autoescape=True)


# Made once: every request without a key asks for it, and to make a statement takes longer than to execute it.
_ANY_KEY = sa.select(keys.c.id).where(~_of_session()).limit(1)


def _view(row: sa.RowMapping) -> KeyView:
    return KeyView(
        id=row["id"],
        name=row["name"],
        scopes=[AccessScope(one) for one in row["scopes"]],
        project=row["project"],
        quota=KeyQuota.model_validate(row["quota"]),
        created_at=row["created_at"],
        created_by=row["created_by"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
    )
