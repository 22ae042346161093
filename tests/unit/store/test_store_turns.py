"""Which job is next: a fair share for each project, on SQLite and on PostgreSQL."""

import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from service.domain.job import State
from service.store import jobs, turns
from service.store.engine import Database
from service.store.jobs import Claim
from service.store.tables import jobs as jobs_table
from service.store.tables import pulls
from tests.builders import LEASE, NOON, add_dataset, end_leases, job_spec

SECOND = timedelta(seconds=1)


def queue(database: Database, job_id: str, project: str, second: int, priority: int = 0) -> None:
    spec = job_spec(add_dataset(database.of(project), f"ds_{job_id}"), priority=priority)
    with database.of(project).write() as connection:
        jobs.add(connection, job_id, spec, NOON + second * SECOND)


def take(database: Database, now: datetime = NOON, owner: str = "w") -> Claim | None:
    with database.write() as connection:
        return turns.claim_next(connection, owner, LEASE, now)


def finish_now(database: Database, held: Claim, now: datetime) -> None:
    with database.write() as connection:
        jobs.cancel(connection, held.job_id, now)


def order_of_one_worker(database: Database) -> list[str]:
    order, now = [], NOON
    while (held := take(database, now)) is not None:
        order.append(held.job_id)
        now += SECOND
        finish_now(database, held, now)
    return order


def test_a_project_waits_for_one_job_of_another_whatever_its_priorities(database: Database) -> None:
    for number in range(3):
        queue(database, f"job_a{number}", "default", number)
    queue(database, "job_q", "q", 3)
    for number in range(3):
        queue(database, f"job_b{number}", "default", 4 + number, priority=9)
    assert order_of_one_worker(database) == [
        *("job_b0", "job_q", "job_b1", "job_b2", "job_a0", "job_a1", "job_a2"),
    ]


def test_the_project_with_the_fewest_jobs_at_work_is_next(database: Database) -> None:
    queue(database, "job_a0", "a", 0)
    long = take(database)
    for number in range(1, 3):
        queue(database, f"job_a{number}", "a", number, priority=9)
        queue(database, f"job_p{number}", "p", 10 + number)
    first = take(database, NOON + SECOND)
    assert first is not None
    finish_now(database, first, NOON + 2 * SECOND)
    # That of p began last, and has ended.
    second = take(database, NOON + 3 * SECOND)
    third = take(database, NOON + 4 * SECOND)
    assert [one.job_id for one in (long, first, second, third) if one] == ["job_a0", "job_p1", "job_p2", "job_a1"]


def test_a_project_that_lost_its_worker_has_no_job_at_work(database: Database) -> None:
    queue(database, "job_p", "p", 0)
    queue(database, "job_q", "q", 1)
    queue(database, "job_q2", "q", 2)
    assert [held.job_id for number in range(2) if (held := take(database, NOON + number * SECOND))] == [
        *("job_p", "job_q"),
    ]
    end_leases(database)
    again = take(database, NOON + 2 * SECOND)
    assert again is not None
    assert (again.job_id, again.attempt) == ("job_p", 2)


def test_a_job_whose_tasks_are_to_be_pulled_is_nobodys_turn(database: Database) -> None:
    queue(database, "job_p", "p", 0)
    with database.write() as connection:
        row = {"job_id": "job_p", "project": 7, "policy": "latest", "waiting": True, "origin": "job_p"}
        connection.execute(pulls.insert().values(row))
    assert take(database) is None


def test_workers_that_ask_at_once_get_a_job_each(database: Database) -> None:
    for number in range(4):
        queue(database, f"job_{number}", f"p{number % 2}", number)
    start, taken = threading.Barrier(6), []

    def ask(number: int) -> None:
        start.wait()
        taken.append(take(database, owner=f"w{number}"))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(held.job_id for held in taken if held is not None) == [f"job_{number}" for number in range(4)]
    assert taken.count(None) == 2


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_ended_jobs_are_not_read_to_find_the_next(database: Database) -> None:
    seen: list[str] = []

    def explain(connection: sa.Connection, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if "WITH active" in statement:
            plan = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            seen.extend(str(row[3]) for row in plan.fetchall())

    sa.event.listen(database.engine, "before_cursor_execute", explain)
    take(database)
    reads = [line for line in seen if " jobs" in line]
    assert len(reads) == 2, seen
    assert "SEARCH jobs USING INDEX ix_jobs_state" in reads[0]
    assert "SEARCH jobs USING COVERING INDEX ix_jobs_project_started_at (project=?)" in reads[1]
    with database.read() as connection:
        assert connection.execute(sa.select(jobs_table.c.id).where(jobs_table.c.state == State.QUEUED)).all() == []
