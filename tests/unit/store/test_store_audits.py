"""Audits on SQLite and on PostgreSQL: the log is a sequence, whoever draws at once, and its numbers come back as they went in."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa

from service.actions.draw_samples import draw_samples
from service.actions.measure_labels import AuditQuestion, measure_labels
from service.domain.audit import DrawRequest
from service.domain.review import Decision
from service.services import Services
from service.store import audits, jobs, reviews
from service.store.blobs import Blobs
from service.store.engine import Database
from service.store.idempotency import IdempotentRequest
from service.store.jobs import Job
from service.store.open_audits import OpenAudits
from service.store.tables import audit_entries
from tests.builders import NOON, add_finished

TRAIN, EVERY = 240, 5  # samples, of which every fifth is wrong


@pytest.fixture
def ranked(services: Services, database: Database, blobs: Blobs) -> Services:
    """Services over one completed job, on each kind of database."""
    add_finished(database, blobs, rows=320, splits={"train": TRAIN, "test": 80})
    return replace(services, database=database, blobs=blobs)


@pytest.fixture
def job(ranked: Services) -> Job:
    with ranked.database.read() as connection:
        found = jobs.get(connection, "job_1")
    assert found is not None
    return found


@pytest.fixture
def draw(ranked: Services, job: Job) -> Callable[[str, int], list[int]]:
    def draw(reviewer: str, count: int) -> list[int]:
        request = DrawRequest(count=count, reviewer=reviewer)
        batch = draw_samples(ranked, job, request, IdempotentRequest(None, reviewer))
        return [row["index"] for row in batch.rows]

    return draw


def say(ranked: Services, index: list[int]) -> None:
    said = [Decision(sample_id=f"row-{one}", decision="keep" if one % EVERY else "remove") for one in index]
    with ranked.database.write() as connection:
        reviews.add(connection, "job_1", said, "api", NOON)


def test_two_who_draw_at_once_get_different_samples_and_the_log_is_a_sequence(
    ranked: Services, draw: Callable[[str, int], list[int]]
) -> None:
    batches: list[list[int]] = []
    gate = threading.Barrier(4)

    def work(number: int) -> None:
        gate.wait()
        batches.append(draw(f"person {number}", 15))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    drawn = [index for batch in batches for index in batch]
    assert len(drawn) == len(set(drawn)) == 60
    with ranked.database.read() as connection:
        entries = connection.execute(sa.select(audit_entries).order_by(audit_entries.c.seq)).mappings().all()
    assert [one["seq"] for one in entries] == list(range(60))
    assert sorted(one["index"] for one in entries) == sorted(drawn)


def test_a_sample_cannot_be_in_a_log_twice(ranked: Services, draw: Callable[[str, int], list[int]]) -> None:
    (index,) = draw("Ann", 1)
    row = {"job_id": "job_1", "seq": 1, "index": index, "bin": 0, "kind": "drawn", "batch": None}
    with pytest.raises(sa.exc.IntegrityError), ranked.database.write() as connection:
        connection.execute(audit_entries.insert(), row)


def test_another_process_computes_the_same_numbers_from_what_is_stored(
    ranked: Services, job: Job, draw: Callable[[str, int], list[int]]
) -> None:
    for number in range(3):
        say(ranked, draw(f"person {number}", 20))
    asked = AuditQuestion(by="label", top=[50], history=True)
    fresh = replace(ranked, open_audits=OpenAudits())
    answer = measure_labels(ranked, job, asked)
    assert answer == measure_labels(fresh, job, asked)
    assert answer.measured.low <= TRAIN / EVERY <= answer.measured.high
    with ranked.database.read() as connection:
        assert [one.model.first for one in audits.models_after(connection, "job_1", 0)] == [0, 20, 40]


def test_an_audit_goes_with_its_job(ranked: Services, draw: Callable[[str, int], list[int]]) -> None:
    draw("Ann", 5)
    with ranked.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM jobs WHERE id = 'job_1'")
    with ranked.database.read() as connection:
        assert audits.get(connection, "job_1") is None
        assert connection.execute(sa.select(sa.func.count()).select_from(audit_entries)).scalar_one() == 0
