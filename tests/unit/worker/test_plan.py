"""The plan of a job: shares of its phases, and the time that is left."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from service.domain.dataset import CanonicalHeader
from service.domain.job import Progress, State
from service.store import jobs
from service.store.engine import Database
from service.store.jobs import Job
from tests.builders import add_dataset, add_job
from worker.job.plan import USUAL, PhasePlan, plan_of

PHASES = (State.PREPARING, State.TRAINING, State.SCORING, State.RANKING)
HEADER = CanonicalHeader(modality="tabular", classes=["a", "b"], features=[])


def plan(*seconds: float, told: bool) -> PhasePlan:
    return PhasePlan(dict(zip(PHASES, seconds, strict=True)), told=told)


def course(real: PhasePlan) -> Iterator[tuple[State, float, float]]:
    """State, share and elapsed seconds of a job that takes the time of a plan."""
    began = 0.0
    for state in PHASES:
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            yield state, share, began + share * real.seconds[state]
        began += real.seconds[state]


def left(planned: PhasePlan, state: State, share: float, elapsed: float) -> float | None:
    fraction = planned.fraction(state, share)
    return planned.seconds_left(fraction, fraction, elapsed)


@pytest.mark.parametrize("planned", [plan(10.0, 60.0, 25.0, 5.0, told=True), USUAL])
def test_fractions_grow_from_none_to_all_of_a_job(planned: PhasePlan) -> None:
    fractions = [planned.fraction(state, share) for state in PHASES for share in (0.0, 0.5, 1.0)]
    assert [fractions[0], fractions[-1]] == pytest.approx([0, 1])
    assert all(before <= after for before, after in pairwise(fractions))


def test_a_job_that_goes_as_planned_has_the_true_time_left_from_its_first_moment() -> None:
    planned = plan(10.0, 60.0, 25.0, 5.0, told=True)
    for state, share, elapsed in course(planned):
        assert left(planned, state, share, elapsed) == pytest.approx(100 - elapsed)


def test_a_job_of_half_the_speed_is_known_by_its_own_pace_before_half_of_it_is_done() -> None:
    planned, real = plan(10.0, 60.0, 25.0, 5.0, told=True), plan(20.0, 120.0, 50.0, 10.0, told=True)
    for state, share, elapsed in course(real):
        if elapsed >= 100:
            assert left(planned, state, share, elapsed) == pytest.approx(200 - elapsed, rel=0.1)


def test_without_an_earlier_job_the_pace_tells_once_something_is_done() -> None:
    planned, real = plan(0.1, 0.6, 0.25, 0.05, told=False), plan(3.0, 18.0, 7.5, 1.5, told=True)
    assert left(planned, State.PREPARING, 0.0, 0.0) is None
    assert left(planned, State.PREPARING, 0.1, 0.3) is None  # it may be what was read from a cache
    for state, share, elapsed in course(real):
        if elapsed > 1:
            assert left(planned, state, share, elapsed) == pytest.approx(30 - elapsed)


def completed(database: Database, job_id: str, timings: dict[str, float]) -> Job:
    with database.write() as connection:
        claim = jobs.claim(connection, job_id, "worker", timedelta(seconds=30), datetime.now(UTC))
        assert claim is not None
        for state in PHASES[1:]:
            jobs.advance(connection, claim, state, Progress(phase=state), datetime.now(UTC))
        result = {"samples": 4, "timings": timings, "signals": [], "warnings": []}
        jobs.complete(connection, claim, result, datetime.now(UTC))
        job = jobs.get(connection, job_id)
    assert job is not None
    return job


def test_the_last_jobs_of_the_same_model_tell_the_seconds_of_each_phase(database: Database) -> None:
    info = add_dataset(database)
    add_job(database, info)
    timings = {"preparing_s": 1.0, "first_ranking_s": 2.0, "training_s": 10.0, "scoring_s": 5.0, "ranking_s": 1.0}
    spec = completed(database, "job_1", timings).spec
    header = HEADER.model_copy(update={"modality": info.modality, "features": [{}] * len(info.features)})
    with database.read() as connection:
        same, twice = plan_of(connection, spec, header, 4), plan_of(connection, spec, header, 8)
        other = plan_of(
            connection, spec.model_copy(update={"model": spec.model.model_copy(update={"name": "tabm"})}), header, 4
        )
    assert same.told
    assert [same.seconds[state] for state in PHASES] == pytest.approx([3, 10, 5, 1])
    assert twice.total == pytest.approx(2 * same.total)
    assert not other.told
