"""Lease and progress of a job that is being computed."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from service.domain.job import State
from service.settings import Settings
from service.store import jobs
from service.store.blobs import Blobs
from service.store.engine import Database
from service.store.jobs import LeaseLost
from tests.builders import add_dataset, add_job
from worker.job.context import WorkerContext
from worker.job.heartbeat import PHASES, Heartbeat, Stopping, heartbeat_of
from worker.machine.devices import CPU
from worker.training.loop import EpochMetrics

METRICS = EpochMetrics(epoch=1, loss=0.5, accuracy=0.5, learning_rate=0.1)


def claimed(database: Database, blobs: Blobs, *, stopping: bool = False) -> tuple[Heartbeat, jobs.Claim, WorkerContext]:
    add_job(database, add_dataset(database))
    with database.write() as connection:
        claim = jobs.claim(connection, "job_1", "worker", timedelta(seconds=30), datetime.now(UTC))
    assert claim is not None
    context = WorkerContext(Settings(home=blobs.home), database, blobs, CPU, lambda: stopping)
    return Heartbeat(claim, context), claim, context


def test_progress_within_a_phase_is_the_share_of_that_phase(database: Database, blobs: Blobs) -> None:
    heartbeat, _, _ = claimed(database, blobs)
    for state, (begins, ends) in PHASES.items():
        for share in (0.0, 0.25, 1.0):
            heartbeat.report(state, share, "half way")
            heartbeat.record_metrics(METRICS)  # which renews the lease and writes the progress
            with database.read() as connection:
                job = jobs.get(connection, "job_1")
            assert job is not None
            assert job.progress.fraction == pytest.approx(begins + share * (ends - begins))
            assert (job.progress.phase, job.progress.detail) == (state, "half way")


def test_phases_follow_each_other_from_none_to_all_of_a_job() -> None:
    edges = [PHASES[state] for state in (State.PREPARING, State.TRAINING, State.SCORING, State.RANKING)]
    assert (edges[0][0], edges[-1][1]) == (0.0, 1.0)
    assert all(before[1] == after[0] for before, after in pairwise(edges))


def left(database: Database, heartbeat: Heartbeat, state: State, share: float) -> float | None:
    heartbeat.report(state, share, "")
    heartbeat.record_metrics(METRICS)
    with database.read() as connection:
        job = jobs.get(connection, "job_1")
    assert job is not None
    return job.progress.eta_seconds


def test_the_time_that_is_left_is_known_from_the_first_batch_and_shrinks_as_time_passes(
    database: Database, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("worker.job.heartbeat.time.monotonic", lambda: clock[0])
    heartbeat, _, _ = claimed(database, blobs)
    assert left(database, heartbeat, State.PREPARING, 0.9) is None
    clock[0] += 500  # which preparing took, and which says nothing of the rest
    assert left(database, heartbeat, State.TRAINING, 0.0) is None
    for step in range(1, 96):
        clock[0] += 1
        fraction = 0.05 + step / 100
        state = next(one for one, (begins, ends) in PHASES.items() if begins <= fraction <= ends + 1e-9)
        begins, ends = PHASES[state]
        assert left(database, heartbeat, state, (fraction - begins) / (ends - begins)) == pytest.approx(95 - step)


def test_what_an_earlier_attempt_trained_does_not_make_this_one_faster(
    database: Database, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("worker.job.heartbeat.time.monotonic", lambda: clock[0])
    heartbeat, _, _ = claimed(database, blobs)
    heartbeat.report(State.TRAINING, 0.0, "")
    heartbeat.resume_at(State.TRAINING, 0.5, "epoch 6/10")  # at .35 of the job
    clock[0] += 10
    assert left(database, heartbeat, State.TRAINING, 0.75) == pytest.approx(10 * (1 - 0.5) / 0.15, abs=0.1)


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
