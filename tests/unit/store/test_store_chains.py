"""Reviews of jobs that follow one another, on SQLite and on PostgreSQL: said once, they count for all of them."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from service.actions.make_version import would_change
from service.actions.rerun import run_again
from service.actions.verified import verified
from service.domain.dataset import DatasetInfo
from service.domain.review import Decision, Outcome
from service.domain.specs import Loop
from service.ingest.corrected import correct
from service.outbound.provider import Provider
from service.outbound.quotas import Quotas
from service.outbound.secrets import Vault
from service.queue import CeleryQueue
from service.services import Services
from service.settings import Settings
from service.store import chains, datasets, jobs, loops, outcomes, rankings, reviews
from service.store.blobs import Blobs
from service.store.engine import Database
from service.store.jobs import Job
from service.store.open_rankings import OpenRankings
from tests.builders import CLASSES, NOON, add_dataset, add_job, finish, ranking, ranking_of

RULES = {"after": 2, "quiet_seconds": 60, "cool_down_seconds": 0}
MINUTE = timedelta(minutes=1)
ROWS, TRAIN = 54, 41


@pytest.fixture
def queue(redis_url: str, settings: Settings) -> Iterator[CeleryQueue]:
    opened = CeleryQueue(settings)
    yield opened
    opened.close()


class Chain:
    """Jobs over one dataset and its corrections; minutes count from noon. Row i is first called by i modulo 3."""

    def __init__(self, database: Database, blobs: Blobs, queue: CeleryQueue, settings: Settings) -> None:
        self.database, self.blobs, self._queue, self._settings = database, blobs, queue, settings

    def services(self, minute: float) -> Services:
        vault = Vault(self._settings)
        return Services(
            self._settings,
            self.database,
            self.blobs,
            self._queue,
            vault,
            Quotas(self._settings),
            Provider(self._settings),
            lambda: at(minute),
        )

    def begin(self, job_id: str = "job_1", dataset_id: str = "ds_1", **options: Any) -> str:
        info = add_dataset(self.database, dataset_id, self.blobs, rows=ROWS, splits={"train": TRAIN, "test": 13})
        add_job(self.database, info, job_id, loop=RULES, **options)
        finish(self.database, job_id, info, table=ranking_of(self.blobs, info))
        return job_id

    def say(self, job_id: str, minute: float, *said: tuple[object, ...], source: str = "api", **more: Any) -> int:
        decisions = [
            Decision.model_validate({"sample_id": f"row-{one[0]}", "decision": one[1], "label": (*one, None)[2]})
            for one in said
        ]
        given = {f"row-{row}": CLASSES[row % 3] for row in range(TRAIN, ROWS)}
        with self.database.write() as connection:
            return reviews.add(connection, job_id, decisions, source, at(minute), given=given, **more)

    def go_on(self, minute: float, *, complete: bool = True) -> str:
        """Look once, as the service does; one job follows."""
        (job_id,) = self.look(minute)
        if complete:
            self.complete(job_id)
        return job_id

    def complete(self, job_id: str) -> None:
        info = self.dataset(job_id)
        finish(self.database, job_id, info, table=ranking_of(self.blobs, info), now=self.job(job_id).created_at)

    def look(self, minute: float) -> list[str]:
        return run_again(self.services(minute))

    def job(self, job_id: str) -> Job:
        with self.database.read() as connection:
            found = jobs.get(connection, job_id)
        assert found is not None
        return found

    def dataset(self, job_id: str) -> DatasetInfo:
        with self.database.read() as connection:
            found = datasets.get(connection, self.job(job_id).dataset_id)
        assert found is not None
        return found

    def held(self, job_id: str) -> dict[int, tuple[str, str | None, str]]:
        """What holds of ranked rows in the words of a job, and which job it was said to."""
        with self.database.read() as connection:
            found, _ = outcomes.reviewed(connection, job_id)
        return {int(name[4:]): (one.decision, one.label, one.job) for name, one in found.items()}

    def flagged(self, connection: sa.Connection, job_id: str) -> Counter[Outcome]:
        return outcomes.of_ranking(connection, OpenRankings().get(connection, self.blobs, job_id)).flagged

    def changed(self, job_id: str) -> int:
        with self.database.read() as connection:
            return outcomes.count_changed_labels(connection, job_id)

    def verified(self, job_id: str) -> list[int]:
        return sorted(int(name[4:]) for name in verified(self.services(0), self.job(job_id).dataset_id))


def at(minute: float) -> datetime:
    return NOON + minute * MINUTE


@pytest.fixture
def world(database: Database, blobs: Blobs, queue: CeleryQueue, settings: Settings) -> Chain:
    return Chain(database, blobs, queue, settings)


@pytest.fixture
def pair(world: Chain) -> tuple[str, str]:
    """Job 1 was said to have row 3 (cat) wrong, row 4 (dog) and 5 (eel) right, row 6 nothing to do; another followed."""
    first = world.begin()
    world.say(first, 1, (3, "relabel", "dog"), (4, "keep"), (5, "relabel", "eel"), (6, "remove"), (7, "unsure"))
    return first, world.go_on(3)


def test_a_chain_is_the_same_from_each_of_its_jobs(world: Chain, pair: tuple[str, str]) -> None:
    alone = world.begin("job_alone", "ds_alone")
    first, second = pair
    world.say(second, 4, (1, "remove"), (2, "remove"))
    third = world.go_on(6, complete=False)
    with world.database.read() as connection:
        assert [chains.job_ids(connection, one) for one in (first, second, third)] == [[first, second, third]] * 3
        assert chains.job_ids(connection, alone) == [alone]


def test_what_is_applied_shows_in_the_next_job_as_kept_and_asks_for_nothing(
    world: Chain, pair: tuple[str, str]
) -> None:
    first, second = pair
    assert world.held(second) == {
        3: ("keep", None, first),
        4: ("keep", None, first),
        5: ("keep", None, first),
        7: ("unsure", None, first),
    }
    assert (world.changed(second), world.verified(second)) == (0, [3, 4, 5])
    assert not would_change(world.services(0), world.job(second))
    with world.database.read() as connection:
        assert reviews.page(connection, second, 0, 9) == ([], 0)
    assert world.look(1_000) == []


def test_what_is_said_of_a_job_that_was_run_again_counts_for_the_newest(world: Chain, pair: tuple[str, str]) -> None:
    first, second = pair
    world.say(first, 5, (8, "relabel", "cat"), (9, "remove"), (3, "keep"), (4, "relabel", "eel"), (6, "keep"))
    assert {row: one for row, one in world.held(second).items() if row not in (5, 7)} == {
        8: ("relabel", "cat", first),
        9: ("remove", None, first),
        3: ("relabel", "cat", first),  # that the first name is right after all
        4: ("relabel", "eel", first),
    }  # row 6 is gone
    assert (world.changed(second), world.verified(second)) == (4, [5])
    third = world.go_on(7)
    assert (world.changed(third), world.verified(third)) == (0, [3, 4, 5, 8])
    lineage = world.dataset(third).lineage
    assert lineage is not None
    assert (lineage.job, lineage.relabelled, lineage.removed) == (second, 3, 1)


def test_what_is_said_of_the_newest_counts_for_those_before(world: Chain, pair: tuple[str, str]) -> None:
    first, second = pair
    world.say(second, 5, (3, "keep"), (8, "relabel", "cat"), (4, "remove"))
    assert world.held(first) == {
        3: ("relabel", "dog", second),
        4: ("remove", None, second),
        5: ("keep", None, first),
        6: ("remove", None, first),
        7: ("unsure", None, first),
        8: ("relabel", "cat", second),
    }


def test_the_later_word_holds_whichever_job_it_was_given_to(world: Chain, pair: tuple[str, str]) -> None:
    first, second = pair
    world.say(second, 5, (8, "keep"), (9, "remove"))
    world.say(first, 6, (8, "relabel", "cat"), (9, "withdraw"))
    assert (world.held(second)[8], 9 in world.held(second)) == (("relabel", "cat", first), False)
    world.say(second, 7, (8, "withdraw"), (9, "unsure"))
    assert (8 in world.held(first), world.held(first)[9]) == (False, ("unsure", None, second))


def test_precision_counts_each_flag_once_wherever_it_was_judged(world: Chain, pair: tuple[str, str]) -> None:
    first, second = pair
    world.say(first, 5, (8, "relabel", "cat"))
    world.say(second, 6, (8, "relabel", "cat"), (10, "keep"))
    with world.database.read() as connection:
        before, after = (world.flagged(connection, one) for one in (first, second))
    # Dogs are suggested to be eels, and so on: eel to cat is what is suggested of row 8, cat to dog of row 3.
    assert {one: count for one, count in before.items() if count and one is not Outcome.PENDING} == {
        Outcome.RELABELLED_TO_SUGGESTION: 2,  # 3, 8
        Outcome.REMOVED: 1,  # 6
        Outcome.CONFIRMED: 3,  # 4, 5, 10
        Outcome.UNSURE: 1,  # 7
    }
    assert {one: count for one, count in after.items() if count and one is not Outcome.PENDING} == {
        Outcome.RELABELLED_TO_SUGGESTION: 1,  # 8
        Outcome.CONFIRMED: 4,  # 3, 4, 5, 10
        Outcome.UNSURE: 1,  # 7
    }


def test_late_decisions_wait_for_quiet_and_mend_trouble_of_the_newest_job(world: Chain, pair: tuple[str, str]) -> None:
    first, second = pair
    with world.database.write() as connection:
        loops.record_failure(connection, second, "no")
    world.say(first, 10, (8, "remove"))
    assert world.look(20) == []  # one sample is not enough
    world.say(first, 20, (9, "remove"))
    assert world.look(20.9) == []
    world.say(first, 20.9, (10, "keep"))
    assert world.look(21.5) == []  # somebody is at it, though at the old list
    assert len(world.look(22)) == 1
    assert world.look(1_000) == []


def test_what_a_job_that_was_pulled_anew_does_not_know_yet_counts_however_old_it_is(world: Chain) -> None:
    first = world.begin()
    world.say(first, 1, (3, "relabel", "dog"), (8, "relabel", "cat"), (9, "remove"))
    with world.database.write() as connection:
        assert loops.set_next_job(connection, first, "job_2")
    second = world.begin("job_2", "ds_2")  # the same tasks, with the labels that they had before
    assert world.changed(second) == 3
    (third,) = world.look(5)
    lineage = world.dataset(third).lineage
    assert lineage is not None
    assert (lineage.parent, lineage.relabelled, lineage.removed) == ("ds_2", 2, 1)


def test_a_decision_that_comes_while_the_dataset_is_corrected_is_not_lost(
    world: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.begin()
    world.say(first, 1, (3, "remove"), (4, "remove"))

    def slow(*arguments: Any) -> Any:
        world.say(first, 3, (8, "remove"), (9, "remove"))
        return correct(*arguments)

    monkeypatch.setattr("service.actions.make_version.correct", slow)
    second = world.go_on(3)
    monkeypatch.undo()
    assert (world.dataset(second).rows, world.changed(second)) == (ROWS - 2, 2)
    assert len(world.look(5)) == 1


def test_errors_that_a_job_planted_stay_its_own(world: Chain) -> None:
    glitches = [{"kind": "mislabeled_uniform", "rate": 0.2}]
    first = world.begin(glitches=glitches)
    info = world.dataset(first)
    table = ranking(info)  # plants every fifth row
    with world.database.write() as connection:
        rankings.save(connection, first, table)
    world.say(first, 1, (1, "remove"), (2, "remove"), (5, "remove"))
    second = world.go_on(3)
    assert world.dataset(second).rows == ROWS - 2
    assert world.held(second) == {}  # row 5 was wrong in the first job only
    world.say(second, 4, (10, "relabel", "eel"), (11, "keep"))
    assert {row: one[2] for row, one in world.held(first).items()} == {1: first, 2: first, 5: first, 11: second}


def test_a_sample_that_was_held_out_is_heard_of_too(world: Chain, pair: tuple[str, str]) -> None:
    first, second = pair
    world.say(first, 4, (50, "relabel", "cat"), (51, "relabel", "eel"))  # eel and cat, of the split test
    third = world.go_on(6) if world.changed(second) >= 2 else None
    assert third is None  # what is not ranked does not bring a job about
    with world.database.write() as connection:
        assert loops.request_rerun(connection, second, at(6), Loop.model_validate(RULES))
    third = world.go_on(8)
    assert set(world.verified(third)) == {3, 4, 5, 50, 51}
    world.say(first, 9, (50, "keep"))  # an eel, as it was called there
    with world.database.read() as connection:
        held = reviews.latest(connection, third)["row-50"]
    assert held.about("cat").model_dump(include={"decision", "label"}) == {"decision": "relabel", "label": "eel"}
    assert 50 not in world.verified(third)


def test_a_chain_holds_together_when_a_job_in_its_middle_is_deleted(world: Chain, pair: tuple[str, str]) -> None:
    first, second = pair
    world.say(second, 4, (1, "remove"), (2, "remove"))
    third = world.go_on(6)
    with world.database.write() as connection:
        assert jobs.remove(connection, second)
        assert chains.job_ids(connection, third) == [first, third]
    world.say(first, 7, (8, "remove"))
    assert world.held(third)[8] == ("remove", None, first)


def test_a_job_whose_follower_is_deleted_is_not_run_again_by_that(world: Chain, pair: tuple[str, str]) -> None:
    first, second = pair
    with world.database.write() as connection:
        assert jobs.remove(connection, second)
    assert world.look(1_000) == []
    assert world.held(first)[3] == ("relabel", "dog", first)


def test_reading_the_same_twice_by_two_jobs_of_a_chain_keeps_it_once(world: Chain, pair: tuple[str, str]) -> None:
    first, second = pair
    assert world.say(first, 5, (8, "relabel", "cat"), (9, "keep"), source="label_studio", skip_unchanged=True) == 2
    assert world.say(second, 6, (8, "relabel", "cat"), (9, "keep"), source="label_studio", skip_unchanged=True) == 0
    # What the first calls relabelled is kept in the second.
    assert world.say(second, 7, (3, "keep"), source="label_studio", skip_unchanged=True) == 0
    assert world.say(second, 8, (3, "relabel", "eel"), source="label_studio", skip_unchanged=True) == 1
    assert world.say(first, 9, (3, "relabel", "eel"), source="label_studio", skip_unchanged=True) == 0


def test_two_jobs_of_a_chain_that_are_read_at_once_keep_it_once(
    world: Chain, pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    whole = reviews.latest

    def slow(*arguments: Any) -> Any:
        found = whole(*arguments)
        time.sleep(0.1)
        return found

    monkeypatch.setattr(reviews, "latest", slow)

    def read(job_id: str) -> None:
        said = [(row, "remove") for row in range(8, 30)]
        kept.append(world.say(job_id, 5, *said, source="label_studio", skip_unchanged=True))

    threads = [threading.Thread(target=read, args=(job_id,)) for job_id in pair * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(kept) == [0, 0, 0, 22]
