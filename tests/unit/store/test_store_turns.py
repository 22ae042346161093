"""Which job is next: a fair share for each project, on SQLite and on PostgreSQL."""

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from service.domain.job import State
from service.domain.job_queue import JOB_QUEUES, JobQueue
from service.store import jobs, rescorings, turns
from service.store.engine import Database
from service.store.jobs import Claim
from service.store.rescorings import RescoringClaim
from service.store.tables import jobs as jobs_table
from service.store.tables import pulls
from tests.builders import LEASE, NOON, add_dataset, end_leases, job_spec

SECOND = timedelta(seconds=1)


LARGE: dict[str, Any] = {"model": {"name": "ft_transformer"}}  # of the queue gpu


def queue(database: Database, job_id: str, project: str, second: int, priority: int = 0, **options: Any) -> None:
    spec = job_spec(add_dataset(database.of(project), f"ds_{job_id}"), priority=priority, **options)
    with database.of(project).write() as connection:
        jobs.add(connection, job_id, spec, NOON + second * SECOND)


def take(
    database: Database, now: datetime = NOON, owner: str = "w", queues: Sequence[JobQueue] = JOB_QUEUES
) -> Claim | None:
    with database.write() as connection:
        return turns.claim_next(connection, owner, LEASE, now, queues)


def finish_now(database: Database, held: Claim, now: datetime) -> None:
    with database.write() as connection:
        jobs.cancel(connection, held.job_id, now)


def order_of_one_worker(database: Database, *queues: JobQueue) -> list[str]:
    order, now = [], NOON
    while (held := take(database, now, queues=queues or JOB_QUEUES)) is not None:
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


def test_a_worker_takes_the_jobs_of_its_queues_alone_and_one_of_all_queues_takes_all_in_turn(
    database: Database,
) -> None:
    queue(database, "job_large", "p", 0, **LARGE)
    queue(database, "job_table", "p", 1)
    queue(database, "job_large_q", "q", 2, **LARGE)
    with database.read() as connection:
        assert turns.count_by_queue(connection) == {"gpu": 2, "cpu": 1}
    assert take(database, queues=[]) is None
    assert order_of_one_worker(database, "cpu") == ["job_table"]
    queue(database, "job_table_q", "q", 3)
    assert order_of_one_worker(database) == ["job_large_q", "job_large", "job_table_q"]


def test_projects_share_each_queue_fairly_whatever_they_have_in_another(database: Database) -> None:
    for number in range(3):
        queue(database, f"job_large{number}", "p", number, **LARGE)
    queue(database, "job_q0", "q", 10)
    first = take(database, queues=["cpu"])
    assert first is not None
    finish_now(database, first, NOON)
    # On GPUs p has more jobs at work than q, and the last of them began after the last of q.
    assert all(take(database, NOON + SECOND, queues=["gpu"]) for _ in range(3))
    for number in range(1, 3):
        queue(database, f"job_q{number}", "q", 10 + number, priority=9)
        queue(database, f"job_p{number}", "p", 20 + number)
    found = [take(database, NOON + (30 + number) * SECOND, queues=["cpu"]) for number in range(4)]
    assert [held.job_id for held in found if held is not None] == ["job_p1", "job_q1", "job_p2", "job_q2"]


@pytest.mark.parametrize("queues", [JOB_QUEUES, ("gpu",)])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_ended_jobs_are_not_read_to_find_the_next(database: Database, queues: Sequence[JobQueue]) -> None:
    seen: list[str] = []

    def explain(connection: sa.Connection, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if "WITH active" in statement:
            plan = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            seen.extend(str(row[3]) for row in plan.fetchall())

    sa.event.listen(database.engine, "before_cursor_execute", explain)
    take(database, queues=queues)
    reads = [line for line in seen if " jobs" in line]
    assert len(reads) == 2, seen
    assert "SEARCH jobs USING INDEX ix_jobs_state" in reads[0]
    found = "queue_started_at (project=? AND queue=?)" if queues == ("gpu",) else "started_at (project=?)"
    assert f"SEARCH jobs USING COVERING INDEX ix_jobs_project_{found}" in reads[1]
    with database.read() as connection:
        assert connection.execute(sa.select(jobs_table.c.id).where(jobs_table.c.state == State.QUEUED)).all() == []


def ask(database: Database, job_id: str, second: int) -> None:
    with database.write() as connection:
        rescorings.request(connection, job_id, 0, NOON + second * SECOND)


def rescore_next(database: Database, now: datetime) -> RescoringClaim | None:
    with database.write() as connection:
        return turns.claim_next_rescoring(connection, "w", LEASE, now)


def end(database: Database, held: RescoringClaim, now: datetime) -> None:
    with database.write() as connection:
        rescorings.complete(connection, held, 12, 0, now)


def test_a_project_waits_for_one_rescoring_of_another_whatever_its_priorities(database: Database) -> None:
    for number, priority in enumerate((0, 9, 0)):
        queue(database, f"job_a{number}", "default", number, priority)
        ask(database, f"job_a{number}", number)
    queue(database, "job_q", "q", 3)
    ask(database, "job_q", 3)
    order, now = [], NOON + 9 * SECOND
    while (held := rescore_next(database, now)) is not None:
        order.append(held.job_id)
        now += SECOND
        end(database, held, now)
    assert order == ["job_a1", "job_q", "job_a0", "job_a2"]


def test_a_project_with_a_rescoring_at_work_comes_after_one_without(database: Database) -> None:
    for second, (job_id, project) in enumerate((("job_a0", "default"), ("job_a1", "default"), ("job_q", "q"))):
        queue(database, job_id, project, second)
        ask(database, job_id, second)
    assert [held and held.job_id for held in (rescore_next(database, NOON) for _ in range(4))] == [
        *("job_a0", "job_q", "job_a1", None)
    ]


def test_a_rescoring_follows_the_one_of_its_job_and_one_whose_worker_is_lost_is_done_again(database: Database) -> None:
    queue(database, "job_a", "default", 0)
    ask(database, "job_a", 0)
    first = rescore_next(database, NOON)
    assert first is not None
    ask(database, "job_a", 1)
    assert rescore_next(database, NOON) is None
    late = NOON + 2 * LEASE
    again = rescore_next(database, late)
    assert again is not None
    assert (again.version, again.attempt) == (1, 2)
    end(database, again, late)
    following = rescore_next(database, late)
    assert following is not None
    assert following.version == 2
