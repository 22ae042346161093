"""Counts of what happened to jobs, over all processes that came and went, in the transaction of what they count.

A counted row stays locked until the end of its transaction: count last, so that no two transactions wait for each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from service.store.tables import counters
from service.store.upsert import upsert

# Names of counters. `ended` is by state, `phase` by phase; the others have no label.
EXPIRED, RESTARTED, RECOVERED, ENDED, PHASE = "expired", "restarted", "recovered", "ended", "phase"


@dataclass(frozen=True)
class Count:
    """How often something happened, and for how many seconds in all."""

    number: int
    seconds: float


def count(connection: sa.Connection, name: str, label: str = "", *, number: int = 1, seconds: float = 0.0) -> None:
    """Add to a counter."""
    new = upsert(connection, counters).values(name=name, label=label, number=number, seconds=seconds)
    added = {
        "number": counters.c.number + new.excluded.number,
        "seconds": counters.c.seconds + new.excluded.seconds,
    }
    connection.execute(new.on_conflict_do_update(index_elements=["name", "label"], set_=added))


def count_completed(connection: sa.Connection, timings: Mapping[str, float]) -> None:
    """Count a completed job, and the seconds of each of its phases."""
    count(connection, ENDED, "completed")
    for phase in sorted(timings):
        count(connection, PHASE, phase.removesuffix("_s"), seconds=timings[phase])


def counted(connection: sa.Connection) -> dict[tuple[str, str], Count]:
    """All counters, by name and label."""
    return {(row.name, row.label): Count(row.number, row.seconds) for row in connection.execute(counters.select())}
