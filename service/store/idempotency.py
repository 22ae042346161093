"""Keys that clients send so that a request made twice makes one resource."""

from datetime import datetime

import sqlalchemy as sa

from service.domain.errors import FieldError, Invalid
from service.store.tables import idempotency_keys as keys


def find(connection: sa.Connection, key: str, body_digest: str) -> str | None:
    """Id of what an earlier request with this key made; None when there was none.

    Raises Invalid when that request was another one.
    """
    row = connection.execute(keys.select().where(keys.c.key == key)).one_or_none()
    if row is None:
        return None
    if row.body_digest != body_digest:
        msg = "this key was used for another request; take a new key for each thing to create"
        raise Invalid(f"Idempotency-Key: {msg}", errors=[FieldError(loc=["header", "Idempotency-Key"], msg=msg)])
    return str(row.resource_id)


def add(connection: sa.Connection, key: str, body_digest: str, resource_id: str, now: datetime) -> None:
    """Bind a key to what it made, in the transaction that makes it.

    Raises IntegrityError when another request with this key was quicker: begin again and find its resource.
    """
    connection.execute(keys.insert().values(key=key, body_digest=body_digest, resource_id=resource_id, created_at=now))


def remove_of(connection: sa.Connection, resource_id: str) -> None:
    """Free the keys of a resource that is deleted."""
    connection.execute(keys.delete().where(keys.c.resource_id == resource_id))
