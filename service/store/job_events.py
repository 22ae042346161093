"""Events of jobs: changes of state, progress and metrics, numbered from 1 within each job."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict

from service.domain.job import ENDED
from service.store import webhooks
from service.store.tables import job_events, jobs


class JobEvent(BaseModel):
    """An event of a job. `kind` is state, progress, metrics or ranking; `seq` counts from 1 within the job."""

    model_config = ConfigDict(frozen=True)

    seq: int
    kind: str
    data: dict[str, Any]
    created_at: datetime


def record(connection: sa.Connection, job_id: str, kind: str, data: Mapping[str, Any], now: datetime) -> None:
    """Append an event. A state in which the job has ended also queues its webhook message, in the same transaction."""
    # Two writers of one job would otherwise draw the same number.
    connection.execute(sa.select(jobs.c.id).where(jobs.c.id == job_id).with_for_update())
    last = sa.select(sa.func.coalesce(sa.func.max(job_events.c.seq), 0) + 1).where(job_events.c.job_id == job_id)
    connection.execute(
        job_events.insert().values(
            job_id=job_id, seq=last.scalar_subquery(), kind=kind, data=dict(data), created_at=now
        )
    )
    if kind == "state" and data["state"] in ENDED:
        webhooks.add_delivery(connection, job_id, str(data["state"]), data.get("error"), now)


def after_number(connection: sa.Connection, job_id: str, number: int) -> Sequence[JobEvent]:
    """The events of a job whose numbers are above `number`, in order."""
    wanted = job_events.select().where(job_events.c.job_id == job_id, job_events.c.seq > number)
    rows = connection.execute(wanted.order_by(job_events.c.seq)).mappings()
    return [JobEvent.model_validate(dict(row)) for row in rows]


def last_epoch(connection: sa.Connection, job_id: str) -> int:
    """The epoch whose metrics were recorded last, by any attempt; 0 without one. A training that diverged begins again at epoch 1."""
    metrics = sa.select(job_events.c.data).where(job_events.c.job_id == job_id, job_events.c.kind == "metrics")
    last = connection.execute(metrics.order_by(job_events.c.seq.desc()).limit(1)).scalar_one_or_none()
    return 0 if last is None else int(last["epoch"])
