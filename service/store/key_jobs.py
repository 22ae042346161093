"""Jobs that keys have begun, counted by the day (UTC) in the transaction that begins them."""

from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day

import sqlalchemy as sa

from service.store.tables import key_jobs
from service.store.upsert import upsert


def count_job(connection: sa.Connection, key_id: str, day: date) -> int:
    """Count a job of a key, and give how many it has begun on this day. Of two requests at once the second waits for the first."""
    new = upsert(connection, key_jobs).values(key_id=key_id, day=day, jobs=1)
    same_day = sa.case((key_jobs.c.day == new.excluded.day, key_jobs.c.jobs + 1), else_=1)
    counted = new.on_conflict_do_update(index_elements=["key_id"], set_={"day": new.excluded.day, "jobs": same_day})
    return int(connection.execute(counted.returning(key_jobs.c.jobs)).scalar_one())


def seconds_left(now: datetime) -> float:
    """Time until the day ends."""
    tomorrow = datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time_of_day(), UTC)
    return (tomorrow - now).total_seconds()
