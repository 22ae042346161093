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
from worker.devices import CPU
from worker.job.context import WorkerContext
from worker.job.heartbeat import PHASES, Heartbeat, Stopping, heartbeat_of
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
