"""When a job is run again, on SQLite and on PostgreSQL; time is an argument."""

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
import redis

from service.actions.rerun import run_again
from service.domain.review import Decision
from service.domain.specs import Loop
from service.outbound.provider import Provider
from service.outbound.quotas import Quotas
from service.outbound.secrets import Vault
from service.queue import CeleryQueue
from service.services import Services
from service.settings import Settings
from service.store import datasets, jobs, loops, reviews, webhooks
from service.store.blobs import Blobs
from service.store.engine import Database
from service.store.jobs import Job
from tests.builders import NOON, add_dataset, add_job, finish

RULES = {"after": 3, "quiet_seconds": 60, "cool_down_seconds": 600}
SECOND = timedelta(seconds=1)
COOL = NOON + timedelta(seconds=600)


@pytest.fixture
def queue(redis_url: str, settings: Settings) -> Iterator[CeleryQueue]:
    opened = CeleryQueue(settings)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def finished(database: Database, blobs: Blobs) -> None:
    """Job 1 ended at noon and is run again by the rules; job 2 is not."""
    info = add_dataset(database, "ds_1", blobs, rows=54, splits={"train": 41, "test": 13})
    add_job(database, info, "job_1", loop=RULES, reference={"split": "test"}, training={"seed": 7})
    add_job(database, info, "job_2")
    for job_id in ("job_1", "job_2"):
        finish(database, job_id, info)


def decide(database: Database, at: datetime, *rows: int, decision: str = "remove", job_id: str = "job_1") -> None:
    said = [Decision.model_validate({"sample_id": f"row-{row}", "decision": decision}) for row in rows]
    with database.write() as connection:
        reviews.add(connection, job_id, said, "api", at)


def look(database: Database, blobs: Blobs, queue: CeleryQueue, settings: Settings, at: datetime) -> list[str]:
    return run_again(
        Services(settings, database, blobs, queue, Vault(settings), Quotas(settings), Provider(settings), lambda: at)
    )


def due(database: Database, at: datetime) -> list[str]:
    with database.read() as connection:
        return loops.due_reruns(connection, at)


def job_of(database: Database, job_id: str) -> Job:
    with database.read() as connection:
        found = jobs.get(connection, job_id)
    assert found is not None
    return found


def test_a_job_is_due_once_enough_changed_and_all_is_quiet_and_cool(database: Database) -> None:
    decide(database, COOL - 90 * SECOND, 1, 2)
    assert due(database, COOL + timedelta(days=1)) == []
    decide(database, COOL - 30 * SECOND, 4)
    assert due(database, COOL - SECOND) == []  # neither quiet nor cool
    assert due(database, COOL + 29 * SECOND) == []  # cool, not quiet
    assert due(database, COOL + 30 * SECOND) == ["job_1"]
    decide(database, COOL + 30 * SECOND, 5)
    assert due(database, COOL + 31 * SECOND) == []  # somebody goes on


def test_a_job_that_is_quiet_is_not_due_before_it_is_cool(database: Database) -> None:
    decide(database, NOON, 1, 2, 4)
    assert due(database, COOL - SECOND) == []
    assert due(database, COOL) == ["job_1"]


def test_only_samples_that_change_count_each_once(database: Database) -> None:
    decide(database, NOON, 1, 1, 1, 2)
    decide(database, NOON, 4, 5, 6, decision="keep")
    with database.write() as connection:
        same = Decision(sample_id="row-7", decision="relabel", label="dog")  # row 7 is a dog
        reviews.add(connection, "job_1", [same], "api", NOON)
    assert due(database, COOL) == []
    decide(database, NOON, 4)
    assert due(database, COOL) == ["job_1"]
    decide(database, NOON, 4, decision="unsure")  # taken back
    assert due(database, COOL) == []


def test_a_burst_of_reviews_begins_one_job_over_the_corrected_dataset(
    database: Database, blobs: Blobs, queue: CeleryQueue, settings: Settings
) -> None:
    for second in range(50):
        decide(database, COOL + second * SECOND, second % 40)
        assert look(database, blobs, queue, settings, COOL + second * SECOND) == []
    (begun,) = look(database, blobs, queue, settings, COOL + 110 * SECOND)
    assert look(database, blobs, queue, settings, COOL + 999 * SECOND) == []
    before, after = job_of(database, "job_1").spec, job_of(database, begun).spec
    assert after == before.model_copy(update={"dataset": after.dataset})
    assert job_of(database, begun).created_at == COOL + 110 * SECOND
    with database.read() as connection:
        version = datasets.get(connection, after.dataset)
        standings = loops.statuses(connection, ["job_1", "job_2", begun])
    assert {name: one.next_job_id for name, one in standings.items()} == {"job_1": begun, begun: None}
    assert version is not None
    assert version.lineage is not None
    assert (version.lineage.parent, version.lineage.job, version.lineage.removed) == ("ds_1", "job_1", 40)
    with redis.Redis.from_url(settings.broker_url) as broker:
        assert sum(broker.llen(key) for key in broker.keys("cpu*")) == 1


def test_services_that_look_at_once_begin_one_job(
    database: Database, blobs: Blobs, queue: CeleryQueue, settings: Settings
) -> None:
    decide(database, NOON, 1, 2, 4)
    begun: list[str] = []
    threads = [
        threading.Thread(target=lambda: begun.extend(look(database, blobs, queue, settings, COOL))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(begun) == 1
    with database.read() as connection:
        assert jobs.page(connection)[1] == 3
        assert datasets.page(connection)[1] == 2


def test_a_job_that_is_asked_for_is_begun_however_few_labels_changed(
    database: Database, blobs: Blobs, queue: CeleryQueue, settings: Settings
) -> None:
    for job_id in ("job_1", "job_2"):
        decide(database, NOON, 1, job_id=job_id)
        for second in range(3):
            with database.write() as connection:
                pauses = Loop(after=1, cool_down_seconds=0)
                assert loops.request_rerun(connection, job_id, NOON + second * SECOND, pauses)
    assert due(database, NOON + 61 * SECOND) == []
    assert due(database, NOON + 62 * SECOND) == ["job_2"]
    assert due(database, COOL) == ["job_1", "job_2"]
    assert len(look(database, blobs, queue, settings, COOL)) == 2
    with database.write() as connection:
        assert not loops.request_rerun(connection, "job_1", COOL, pauses)


def test_what_cannot_be_corrected_waits_for_the_next_review(
    database: Database, blobs: Blobs, queue: CeleryQueue, settings: Settings
) -> None:
    cats_and_dogs = [row for row in range(54) if row % 3 != 2]
    decide(database, NOON, *cats_and_dogs)  # one class would be left
    assert look(database, blobs, queue, settings, COOL) == []
    assert due(database, COOL) == []
    with database.read() as connection:
        trouble = loops.statuses(connection, ["job_1"])["job_1"].trouble
    assert trouble is not None
    assert "nothing to learn" in trouble
    decide(database, NOON, *range(0, 54, 3), decision="keep")
    assert len(look(database, blobs, queue, settings, COOL)) == 1


def test_a_full_queue_is_waited_for(database: Database, blobs: Blobs, queue: CeleryQueue, settings: Settings) -> None:
    decide(database, NOON, 1, 2, 4)
    with database.read() as connection:
        info = datasets.get(connection, "ds_1")
    assert info is not None
    add_job(database, info, "job_3")
    assert look(database, blobs, queue, settings.model_copy(update={"max_waiting_jobs": 1}), COOL) == []
    assert len(look(database, blobs, queue, settings, COOL)) == 1


def test_of_two_that_are_due_the_one_without_room_in_the_queue_comes_later(
    database: Database, blobs: Blobs, queue: CeleryQueue, settings: Settings
) -> None:
    info = add_dataset(database, "ds_9", blobs, rows=54, splits={"train": 41, "test": 13})
    add_job(database, info, "job_9", loop=RULES)
    finish(database, "job_9", info)
    for job_id in ("job_1", "job_9"):
        decide(database, NOON, 1, 2, 4, job_id=job_id)
    narrow = settings.model_copy(update={"max_waiting_jobs": 1})
    assert len(look(database, blobs, queue, narrow, COOL)) == 1
    assert len(due(database, COOL)) == 1
    assert len(look(database, blobs, queue, settings, COOL)) == 1


def test_a_project_without_room_in_the_queue_keeps_no_rerun_of_another(
    database: Database, blobs: Blobs, queue: CeleryQueue, settings: Settings
) -> None:
    decide(database, NOON, 1, 2, 4)
    other = database.of("other")
    info = add_dataset(other, "ds_9", blobs, rows=54, splits={"train": 41, "test": 13})
    add_job(other, info, "job_9", loop=RULES, now=NOON - timedelta(days=1))
    finish(database, "job_9", info, now=NOON - timedelta(days=1))
    decide(database, NOON, 1, 2, 4, job_id="job_9")
    add_job(other, info, "job_waits")
    (begun,) = look(database, blobs, queue, settings.model_copy(update={"max_waiting_jobs": 1}), COOL)
    with database.read() as connection:
        following = jobs.get(connection, begun)
    assert following is not None
    assert following.project == "default"


@pytest.mark.parametrize(
    ("rule", "reference", "expected"),
    [
        ("same", {"samples": ["row-1", "row-2", "row-7"]}, ["row-2", "row-7"]),
        ("same", {"samples": ["row-1"]}, None),
        ("same", None, None),
        ("verified", {"samples": ["row-2"]}, ["row-30", "row-8"]),
        ("verified", None, ["row-30", "row-8"]),
    ],
)
def test_the_next_reference_is_the_same_or_what_was_verified(
    database: Database,
    blobs: Blobs,
    queue: CeleryQueue,
    settings: Settings,
    rule: str,
    reference: dict[str, list[str]] | None,
    expected: list[str] | None,
) -> None:
    info = add_dataset(database, "ds_3", blobs, rows=54, splits={"train": 41, "test": 13})
    add_job(database, info, "job_3", loop={**RULES, "reference": rule}, reference=reference)
    finish(database, "job_3", info)
    decide(database, NOON, 1, 10, 11, job_id="job_3")
    decide(database, NOON, 8, 30, decision="keep", job_id="job_3")
    (begun,) = look(database, blobs, queue, settings, COOL)
    found = job_of(database, begun).spec.reference
    assert (found and (found.samples, found.trusted)) == (expected and (expected, True))


def test_whoever_heard_of_a_job_hears_of_the_next(
    database: Database, blobs: Blobs, queue: CeleryQueue, settings: Settings
) -> None:
    with database.write() as connection:
        webhooks.add(connection, "job_1", "https://example.org/", "whsec_x")
    decide(database, NOON, 1, 2, 4)
    (begun,) = look(database, blobs, queue, settings, COOL)
    with database.write() as connection:
        webhooks.add_delivery(connection, begun, "completed", None, COOL)
        assert webhooks.page(connection, None, begun, None, 10)[1] == 1
