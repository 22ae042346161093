"""Webhooks of jobs and their messages. A message is written in the transaction that ends the job, and sent afterwards.

A message is `pending` until its receiver has accepted it (`delivered`) or the last attempt has failed (`dead`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict

from service.domain.ids import new_id
from service.store.projects import project_of, visible
from service.store.tables import deliveries, jobs, webhooks

DeliveryState = Literal["pending", "delivered", "dead"]
STATES: tuple[DeliveryState, ...] = get_args(DeliveryState)
PENDING, DELIVERED, DEAD = STATES


class Delivery(BaseModel):
    """A message. `attempts` counts finished attempts, `due_at` is the time of the next, `status` the last HTTP status."""

    model_config = ConfigDict(frozen=True)

    id: str
    job_id: str
    event: str
    body: str
    state: DeliveryState
    attempts: int
    due_at: datetime
    status: int | None
    error: str | None
    created_at: datetime
    ended_at: datetime | None
    url: str


@dataclass(frozen=True)
class Outgoing:
    """A message to be sent now, with the encrypted secret that signs it."""

    delivery: Delivery
    sealed: str


def add(connection: sa.Connection, job_id: str, url: str, sealed: str) -> None:
    """Add the webhook of a job; the secret is encrypted already."""
    connection.execute(webhooks.insert().values(job_id=job_id, url=url, secret=sealed))


def copy_to_job(connection: sa.Connection, job_id: str, next_job_id: str) -> None:
    """Give another job the webhook of this one, if it has one."""
    found = connection.execute(webhooks.select().where(webhooks.c.job_id == job_id)).one_or_none()
    if found is not None:
        add(connection, next_job_id, found.url, found.secret)


def add_delivery(
    connection: sa.Connection, job_id: str, state: str, error: Mapping[str, Any] | None, now: datetime
) -> None:
    """Write the message that a job has ended, if the job has a webhook."""
    if connection.execute(sa.select(webhooks.c.url).where(webhooks.c.job_id == job_id)).one_or_none() is None:
        return
    job = connection.execute(jobs.select().where(jobs.c.id == job_id)).one()
    result = job.result or {}
    data = {
        "id": job_id,
        "name": job.name,
        "state": state,
        "dataset": job.dataset_id,
        "error": None if error is None else dict(error),
        "estimates": result.get("estimates") if state == "completed" else None,
        "links": {"self": f"/jobs/{job_id}", "suspects": f"/jobs/{job_id}/suspects"},
    }
    event = f"job.{state}"
    body = json.dumps({"type": event, "timestamp": now.isoformat().replace("+00:00", "Z"), "data": data})
    connection.execute(
        deliveries.insert().values(
            id=new_id("wh_"),
            job_id=job_id,
            event=event,
            body=body,
            state=PENDING,
            attempts=0,
            due_at=now,
            created_at=now,
        )
    )


def any_due(connection: sa.Connection, now: datetime) -> bool:
    """Whether a message is to be sent now."""
    due = sa.select(deliveries.c.id).where(deliveries.c.state == PENDING, deliveries.c.due_at <= now).limit(1)
    return connection.execute(due).first() is not None


def claim(connection: sa.Connection, lease: timedelta, limit: int, now: datetime) -> list[Outgoing]:
    """Up to `limit` messages to be sent now, the oldest first; no other process gets them before `lease` is over."""
    due = (
        sa.select(deliveries.c.id)
        .where(deliveries.c.state == PENDING, deliveries.c.due_at <= now)
        .order_by(deliveries.c.due_at, deliveries.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = list(connection.execute(due).scalars())
    connection.execute(deliveries.update().where(deliveries.c.id.in_(ids)).values(due_at=now + lease))
    found = _select().add_columns(webhooks.c.secret).where(deliveries.c.id.in_(ids)).order_by(deliveries.c.id)
    return [Outgoing(_delivery(row), row["secret"]) for row in connection.execute(found).mappings()]


def record_delivery(connection: sa.Connection, delivery: Delivery, status: int, now: datetime) -> None:
    """Record that the receiver accepted a message."""
    _attempted(connection, delivery, state=DELIVERED, status=status, error=None, ended_at=now)


def record_failure(
    connection: sa.Connection,
    delivery: Delivery,
    status: int | None,
    error: str,
    retry_at: datetime | None,
    now: datetime,
) -> None:
    """Record a failed attempt: the next one is at `retry_at`, or the message is dead where that is None."""
    if retry_at is None:
        _attempted(connection, delivery, state=DEAD, status=status, error=error, ended_at=now)
    else:
        _attempted(connection, delivery, status=status, error=error, due_at=retry_at)


def retry_dead(connection: sa.Connection, delivery_id: str, now: datetime) -> bool:
    """Make a dead message pending again, with no attempts counted. False where it is not dead."""
    changed = connection.execute(
        deliveries.update()
        .where(deliveries.c.id == delivery_id, deliveries.c.state == DEAD, _of_visible_job(connection))
        .values(state=PENDING, attempts=0, due_at=now, ended_at=None)
    )
    return changed.rowcount > 0


def get(connection: sa.Connection, delivery_id: str) -> Delivery | None:
    """One message, or None."""
    found = _select().where(deliveries.c.id == delivery_id, _of_visible_job(connection))
    row = connection.execute(found).mappings().one_or_none()
    return None if row is None else _delivery(row)


def page(
    connection: sa.Connection,
    state: DeliveryState | None,
    job_id: str | None,
    before: tuple[datetime, str] | None,
    limit: int,
) -> tuple[Sequence[Delivery], int]:
    """The newest messages first, older than `before` (created_at, id), and how many there are in all."""
    wanted = _of_visible_job(connection)
    if state is not None:
        wanted &= deliveries.c.state == state
    if job_id is not None:
        wanted &= deliveries.c.job_id == job_id
    total = connection.execute(sa.select(sa.func.count()).select_from(deliveries).where(wanted)).scalar_one()
    older = sa.true() if before is None else sa.tuple_(deliveries.c.created_at, deliveries.c.id) < sa.tuple_(*before)
    ordered = _select().where(wanted & older).order_by(deliveries.c.created_at.desc(), deliveries.c.id.desc())
    return [_delivery(row) for row in connection.execute(ordered.limit(limit)).mappings()], total


def _attempted(connection: sa.Connection, delivery: Delivery, **values: Any) -> None:
    # Whoever claimed it after our lease was over has counted further: what we saw no longer matters.
    connection.execute(
        deliveries.update()
        .where(
            deliveries.c.id == delivery.id,
            deliveries.c.attempts == delivery.attempts,
            deliveries.c.state == PENDING,
        )
        .values(attempts=delivery.attempts + 1, **values)
    )


def _of_visible_job(connection: sa.Connection) -> sa.ColumnElement[bool]:
    if project_of(connection) is None:
        return sa.true()
    return deliveries.c.job_id.in_(sa.select(jobs.c.id).where(visible(connection, jobs)))


def _select() -> sa.Select[Any]:
    return sa.select(deliveries, webhooks.c.url).join(webhooks, webhooks.c.job_id == deliveries.c.job_id)


def _delivery(row: sa.RowMapping) -> Delivery:
    return Delivery.model_validate({name: row[name] for name in Delivery.model_fields})
