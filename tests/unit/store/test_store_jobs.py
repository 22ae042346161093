"""The ledger's laws, on SQLite and on PostgreSQL."""

import threading

import pytest
import sqlalchemy as sa

from service.domain.job import ENDED, JobError, Progress, State
from service.domain.stage import FIRST
from service.store import job_events, jobs, rankings, rescorings
from service.store.engine import Database
from service.store.jobs import Claim, LeaseLost
from service.store.tables import job_events as events_table
from service.store.tables import pulls as pulls_table
from service.store.tables import signal_summaries, suspects
from tests.builders import LEASE, NOON, add_dataset, add_job, end_leases, finish, job_spec
from tests.unit.store.claims import LATE, SECOND, advance, claim, claimed, kinds, read


@pytest.fixture(autouse=True)
def queued(database: Database) -> None:
    add_job(database, add_dataset(database))


def test_a_job_comes_back_as_it_was_written(database: Database) -> None:
    job = read(database)
    assert job.state == State.QUEUED
    assert job.spec == job_spec(add_dataset(database, "ds_2").model_copy(update={"id": "ds_1"}))
    assert (job.created_at, job.attempts, job.error, job.result) == (NOON, 0, None, None)


def test_an_unknown_job_is_none(database: Database) -> None:
    with database.read() as connection:
        assert jobs.get(connection, "job_0") is None


def test_only_the_first_claim_gets_a_queued_job(database: Database) -> None:
    assert claim(database, "w1") == Claim("job_1", "w1", 1)
    assert claim(database, "w2") is None
    assert read(database).started_at == NOON


def test_one_of_many_simultaneous_claims_wins(database: Database) -> None:
    start, won = threading.Barrier(8), []

    def run(number: int) -> None:
        start.wait()
        if claim(database, f"w{number}") is not None:
            won.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert read(database).attempts == 1


def test_states_are_entered_in_order_only(database: Database) -> None:
    held = claimed(database)
    with pytest.raises(LeaseLost):
        advance(database, held, State.RANKING)
    with pytest.raises(LeaseLost), database.write() as connection:
        jobs.complete(connection, held, {}, NOON)
    advance(database, held, State.TRAINING)
    with pytest.raises(LeaseLost):
        advance(database, held, State.RANKING)
    advance(database, held, State.SCORING, State.RANKING)
    assert read(database).state == State.RANKING


def test_a_job_that_trains_nothing_goes_on_to_scoring(database: Database) -> None:
    advance(database, claimed(database), State.SCORING)
    assert read(database).state == State.SCORING


def test_completion_and_its_ranking_are_one_transaction(database: Database) -> None:
    held = claimed(database)
    advance(database, held, State.TRAINING, State.SCORING, State.RANKING)

    def complete_and_fall() -> None:
        with database.write() as connection:
            jobs.complete(connection, held, {"samples": 1}, NOON)
            raise RuntimeError("the ranking could not be written")

    with pytest.raises(RuntimeError):
        complete_and_fall()
    assert read(database).state == State.RANKING


def test_a_completed_job_is_never_claimed_again(database: Database) -> None:
    finish(database, "job_1", add_dataset(database, "ds_2"))
    assert claim(database, "w2", LATE) is None
    job = read(database)
    assert (job.state, job.owner, job.lease_until, job.progress.fraction) == (State.COMPLETED, None, None, 1)


def test_a_failure_is_kept_with_its_reason(database: Database) -> None:
    held = claimed(database)
    with database.write() as connection:
        jobs.fail(connection, held, JobError(code="diverged", detail="lower the rate"), NOON)
    job = read(database)
    assert job.state == State.FAILED
    assert job.error == JobError(code="diverged", detail="lower the rate")
    assert job.finished_at == NOON


def test_a_job_is_for_the_queue_of_its_model_also_where_that_is_decided_later(database: Database) -> None:
    held = claimed(database)
    decided = job_spec(add_dataset(database, "ds_2"), model={"name": "ft_transformer"})
    before = read(database).queue
    with database.write() as connection:
        jobs.decide_model(connection, held, decided)
    assert (before, read(database).queue) == ("cpu", "gpu")


def test_an_orderly_stop_costs_no_attempt_and_is_told_at_once(database: Database) -> None:
    held = claimed(database)
    advance(database, held, State.TRAINING)
    with database.write() as connection:
        jobs.requeue(connection, held, NOON)
    job = read(database)
    assert (job.state, job.attempts, job.owner, job.progress.phase) == (State.QUEUED, 0, None, "queued")
    with database.write() as connection:
        assert jobs.take_due(connection, LEASE, 5, NOON) == [("job_1", 0, "cpu")]


def test_cancelling_stops_the_worker_at_its_next_write(database: Database) -> None:
    held = claimed(database)
    with database.write() as connection:
        assert jobs.cancel(connection, "job_1", NOON)
    with pytest.raises(LeaseLost), database.write() as connection:
        jobs.renew(connection, held, Progress(), LEASE, NOON)
    assert read(database).state == State.CANCELLED
    with database.write() as connection:
        assert not jobs.cancel(connection, "job_1", NOON)


def test_only_failed_and_cancelled_jobs_are_retried(database: Database) -> None:
    with database.write() as connection:
        assert not jobs.retry(connection, "job_1", NOON)
    held = claimed(database)
    with database.write() as connection:
        assert not jobs.retry(connection, "job_1", NOON)
        jobs.fail(connection, held, JobError(code="x", detail="y"), NOON)
        assert jobs.retry(connection, "job_1", LATE)
    job = read(database)
    assert (job.state, job.attempts, job.error, job.started_at, job.finished_at) == (State.QUEUED, 0, None, None, None)
    assert claimed(database, "w2", LATE).attempt == 1


def test_a_worker_of_before_a_retry_cannot_write(database: Database) -> None:
    old = claimed(database, "w1/1")
    with database.write() as connection:
        jobs.cancel(connection, "job_1", NOON)
        jobs.retry(connection, "job_1", NOON)
    new = claimed(database, "w1/2")
    assert new.attempt == old.attempt
    with pytest.raises(LeaseLost), database.write() as connection:
        jobs.renew(connection, old, Progress(), LEASE, NOON)


def test_a_job_is_deleted_with_everything_but_not_while_active(database: Database) -> None:
    with database.write() as connection:
        assert not jobs.remove(connection, "job_1")
    finish(database, "job_1", add_dataset(database, "ds_2"))
    with database.write() as connection:
        assert sum(rankings.count_by_verdict(connection, "job_1").values()) == 9
        assert jobs.remove(connection, "job_1")
        for table in (suspects, signal_summaries, events_table):
            assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == 0


def test_events_count_from_one_without_gaps(database: Database) -> None:
    finish(database, "job_1", add_dataset(database, "ds_2"))
    assert kinds(database) == [
        (1, "state", "queued"),
        (2, "state", "preparing"),
        (3, "state", "training"),
        (4, "metrics", None),
        (5, "state", "scoring"),
        (6, "state", "ranking"),
        (7, "state", "completed"),
    ]
    assert kinds(database, after=6) == [(7, "state", "completed")]
    assert kinds(database, after=7) == []


def test_simultaneous_events_get_different_numbers(database: Database) -> None:
    start = threading.Barrier(6)

    def run() -> None:
        start.wait()
        for _ in range(5):
            with database.write() as connection:
                job_events.record(connection, "job_1", "metrics", {}, NOON)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [seq for seq, _, _ in kinds(database)] == list(range(1, 32))


def test_pages_of_jobs_never_overlap_and_lose_none(database: Database) -> None:
    info = add_dataset(database, "ds_2")
    for number in range(2, 12):
        # Several at the same time: the id decides.
        add_job(database, info, f"job_{number:02}", NOON + SECOND * (number // 4))
    seen: list[str] = []
    before = None
    with database.read() as connection:
        while True:
            found, total = jobs.page(connection, before=before, limit=3)
            assert total == 11
            if not found:
                break
            seen += [job.id for job in found]
            before = (found[-1].created_at, found[-1].id)
    assert len(seen) == len(set(seen)) == 11
    assert seen[0] == "job_11"


def test_jobs_are_filtered_by_state_dataset_and_name(database: Database) -> None:
    add_job(database, add_dataset(database, "ds_2"), "job_2", name="other")
    with database.write() as connection:
        jobs.cancel(connection, "job_2", NOON)
        for found, total in (
            jobs.page(connection, state=State.CANCELLED),
            jobs.page(connection, dataset="ds_2"),
            jobs.page(connection, name="other"),
        ):
            assert ([job.id for job in found], total) == (["job_2"], 1)
        assert jobs.count_by_state(connection) == {State.QUEUED: 1, State.CANCELLED: 1}


def test_every_ended_state_is_left_by_a_retry_or_never(database: Database) -> None:
    with database.write() as connection:
        for state in ENDED:
            connection.execute(sa.text("UPDATE jobs SET state = :state"), {"state": state.value})
            assert jobs.claim(connection, "job_1", "w", LEASE, NOON) is None
            assert jobs.retry(connection, "job_1", NOON) is (state != State.COMPLETED)


def test_claiming_a_job_leaves_all_others_where_they_are(database: Database) -> None:
    add_job(database, add_dataset(database, "ds_2"), "job_2")
    assert claim(database, job_id="job_2") == Claim("job_2", "w1", 1)
    assert read(database, "job_2").state == State.PREPARING
    first = read(database)
    assert (first.state, first.attempts) == (State.QUEUED, 0)


def test_a_job_whose_tasks_are_to_be_pulled_is_claimed_by_whoever_pulls_them_alone(database: Database) -> None:
    with database.write() as connection:
        row = {"job_id": "job_1", "project": 7, "policy": "latest", "waiting": True, "origin": "job_1"}
        connection.execute(pulls_table.insert().values(row))
    assert claim(database) is None
    with database.write() as connection:
        assert jobs.take_due(connection, LEASE, 5, LATE) == []
        assert jobs.claim(connection, "job_1", "puller", LEASE, NOON, to_pull=True) == Claim("job_1", "puller", 1)


def test_a_first_ranking_holds_while_the_job_computes_and_only_its_worker_gives_it(database: Database) -> None:
    held = claimed(database)
    with database.write() as connection:
        jobs.record_first(connection, held, {"stage": "quick"}, NOON)
    assert read(database).result == {"stage": "quick"}
    assert kinds(database)[-1][1] == "ranking"
    other = Claim("job_1", "w2", 1)
    with pytest.raises(LeaseLost), database.write() as connection:
        jobs.record_first(connection, other, {}, NOON)
    with database.write() as connection:
        assert rescorings.version(connection, "job_1") == FIRST
        jobs.requeue(connection, held, NOON)
    assert read(database).result == {"stage": "quick"}
    held = claimed(database)
    advance(database, held, State.TRAINING, State.SCORING, State.RANKING)
    with database.write() as connection:
        jobs.complete(connection, held, {"stage": "full"}, NOON)
        assert rescorings.version(connection, "job_1") == 0
    assert read(database).result == {"stage": "full"}


@pytest.mark.parametrize("end", ["fail", "cancel", "abandon"])
def test_a_job_that_ends_without_results_has_no_first_ranking_any_more(database: Database, end: str) -> None:
    held = claimed(database)
    with database.write() as connection:
        jobs.record_first(connection, held, {"stage": "quick"}, NOON)
    if end == "abandon":
        end_leases(database)
    with database.write() as connection:
        if end == "fail":
            jobs.fail(connection, held, JobError(code="diverged", detail="the loss is inf"), NOON)
        elif end == "cancel":
            assert jobs.cancel(connection, "job_1", NOON)
        else:
            jobs.take_due(connection, SECOND, 1, LATE)
    assert read(database).state in ENDED
    assert read(database).result is None
