"""Lease and progress of a job that is being computed."""

from datetime import UTC, datetime, timedelta

import pytest

from service.domain.job import Progress, State
from service.settings import Settings
from service.store import jobs
from service.store.blobs import Blobs
from service.store.engine import Database
from service.store.jobs import LeaseLost
from tests.builders import add_dataset, add_job
from worker.job.context import WorkerContext
from worker.job.heartbeat import Heartbeat, Stopping, heartbeat_of
from worker.job.plan import PhasePlan
from worker.machine.devices import CPU
from worker.training.loop import EpochMetrics

METRICS = EpochMetrics(epoch=1, loss=0.5, accuracy=0.5, learning_rate=0.1)
PLAN = PhasePlan({State.PREPARING: 10.0, State.TRAINING: 60.0, State.SCORING: 25.0, State.RANKING: 5.0}, told=True)


def claimed(database: Database, blobs: Blobs, *, stopping: bool = False) -> tuple[Heartbeat, jobs.Claim, WorkerContext]:
    add_job(database, add_dataset(database))
    with database.write() as connection:
        claim = jobs.claim(connection, "job_1", "worker", timedelta(seconds=30), datetime.now(UTC))
    assert claim is not None
    context = WorkerContext(Settings(home=blobs.home), database, blobs, CPU, lambda: stopping)
    return Heartbeat(claim, context), claim, context


def progress(database: Database, heartbeat: Heartbeat) -> Progress:
    """What clients see after the next renewal of the lease."""
    heartbeat.record_metrics(METRICS)
    with database.read() as connection:
        job = jobs.get(connection, "job_1")
    assert job is not None
    return job.progress


def test_progress_is_the_share_of_the_whole_job(database: Database, blobs: Blobs) -> None:
    heartbeat, _, _ = claimed(database, blobs)
    heartbeat.expect(PLAN)
    for state, share, fraction in [
        (State.PREPARING, 0.0, 0.0),
        (State.PREPARING, 1.0, 0.1),
        (State.TRAINING, 0.5, 0.4),
        (State.SCORING, 0.0, 0.7),
        (State.RANKING, 1.0, 1.0),
    ]:
        heartbeat.report(state, share, "half way")
        seen = progress(database, heartbeat)
        assert seen.fraction == pytest.approx(fraction)
        assert (seen.phase, seen.detail) == (state, "half way")


def test_the_time_that_is_left_is_noted_with_progress_and_runs_down_until_it_is_noted_again(
    database: Database, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("worker.job.heartbeat.time.monotonic", lambda: clock[0])
    heartbeat, _, _ = claimed(database, blobs)
    heartbeat.expect(PLAN)
    heartbeat.report(State.PREPARING, 0.0, "")
    assert progress(database, heartbeat).eta_seconds == 100
    clock[0] += 10
    heartbeat.report(State.TRAINING, 0.0, "")
    assert progress(database, heartbeat).eta_seconds == 90
    clock[0] += 25
    assert progress(database, heartbeat).eta_seconds == 65
    clock[0] += 1000  # a phase that takes longer than it should
    assert progress(database, heartbeat).eta_seconds == 45


def test_what_an_earlier_attempt_trained_does_not_make_this_one_faster(
    database: Database, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("worker.job.heartbeat.time.monotonic", lambda: clock[0])
    heartbeat, _, _ = claimed(database, blobs)
    heartbeat.expect(PLAN)
    heartbeat.report(State.TRAINING, 0.0, "")
    heartbeat.resume_at(State.TRAINING, 0.5, "epoch 6/10")  # at .4 of the job
    clock[0] += 15  # as planned
    heartbeat.report(State.TRAINING, 0.75, "")
    assert progress(database, heartbeat).eta_seconds == pytest.approx(45)


def test_a_worker_that_is_stopping_ends_the_computation_at_the_next_report(database: Database, blobs: Blobs) -> None:
    heartbeat, _, _ = claimed(database, blobs, stopping=True)
    with pytest.raises(Stopping):
        heartbeat.report(State.TRAINING, 0.5, "")


def test_a_cancelled_job_ends_the_computation_at_the_next_report(database: Database, blobs: Blobs) -> None:
    _, claim, context = claimed(database, blobs)
    with database.write() as connection:
        assert jobs.cancel(connection, "job_1", datetime.now(UTC))

    def report_until_lost(heartbeat: Heartbeat) -> None:
        deadline = datetime.now(UTC) + timedelta(seconds=30)
        while datetime.now(UTC) < deadline:
            heartbeat.report(State.TRAINING, 0.5, "")

    with heartbeat_of(claim, context) as heartbeat, pytest.raises(LeaseLost):
        report_until_lost(heartbeat)
