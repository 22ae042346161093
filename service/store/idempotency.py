"""Idempotency keys, which clients send so that a request made twice makes one resource."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from service.domain.errors import invalid
from service.store.projects import unique_in_project
from service.store.tables import idempotency_keys as keys


@dataclass(frozen=True)
class IdempotentRequest:
    """A creating request: the client's key, if it sent one, and the digest of what it asks for."""

    key: str | None
    digest: str

    def find(self, connection: sa.Connection) -> str | None:
        """Id of what an earlier request with this key made; None when there was none.

        Raises Invalid when that request asked for something else.
        """
        if self.key is None:
            return None
        row = connection.execute(
            keys.select().where(keys.c.key == unique_in_project(connection, self.key))
        ).one_or_none()
        if row is None:
            return None
        if row.body_digest != self.digest:
            msg = "this key was used for another request; use a new key for each resource to create"
            raise invalid(["header", "Idempotency-Key"], msg)
        return str(row.resource_id)

    def add(self, connection: sa.Connection, resource_id: str, now: datetime) -> None:
        """Bind the key to what was made, in the transaction that makes it.

        Raises IntegrityError when another request with this key was quicker (see create_or_adopt).
        """
        if self.key is not None:
            row = {
                "key": unique_in_project(connection, self.key),
                "body_digest": self.digest,
                "resource_id": resource_id,
                "created_at": now,
            }
            connection.execute(keys.insert().values(row))


def remove_of(connection: sa.Connection, resource_id: str) -> None:
    """Delete the keys of a resource that is deleted."""
    connection.execute(keys.delete().where(keys.c.resource_id == resource_id))
