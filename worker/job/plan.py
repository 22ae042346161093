"""Expected seconds of each phase of a job, and the time that is left. Earlier jobs of the model tell them; without one, measured shares do."""

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from service.domain.dataset import CanonicalHeader
from service.domain.duration import PastRun, Workload, expected_phases, workload
from service.domain.job import State
from service.domain.specs import JobSpec
from service.store import timings

_PHASES = (State.PREPARING, State.TRAINING, State.SCORING, State.RANKING)
_NAMES = {
    "preparing_s": State.PREPARING,
    "first_ranking_s": State.PREPARING,
    "training_s": State.TRAINING,
    "scoring_s": State.SCORING,
    "ranking_s": State.RANKING,
}
_RUNS = 10
_DOUBTED = 0.1  # the share of a job for which its own pace counts less than that of earlier jobs
_AT_ONCE_S = 1.0  # after so short a time, a pace says nothing


@dataclass(frozen=True)
class PhasePlan:
    """Seconds of each phase. Where no earlier job told them (`told`), only how they compare with each other means something."""

    seconds: Mapping[State, float]
    told: bool

    @property
    def total(self) -> float:
        """Seconds of all phases."""
        return sum(self.seconds.values())

    def fraction(self, state: State, share: float) -> float:
        """The share of the whole job that is done, from 0 to 1, when a share of a phase is."""
        before = sum(self.seconds[phase] for phase in _PHASES[: _PHASES.index(state)])
        return min((before + share * self.seconds[state]) / self.total, 1.0)

    def seconds_left(self, fraction: float, done: float, elapsed: float) -> float | None:
        """Time to the end of a job of which `fraction` is done, the share `done` of it in `elapsed` seconds; None where nothing tells.

        The job's own pace counts, and at its beginning that of earlier jobs.
        """
        rest = self.total * (1 - fraction)
        if self.told:
            doubted = _DOUBTED * self.total
            return rest * (elapsed + doubted) / (done * self.total + doubted)
        if done <= 0 or elapsed < _AT_ONCE_S:
            return None
        return rest * elapsed / (done * self.total)


def _shares(preparing: float, training: float, scoring: float, ranking: float) -> PhasePlan:
    return PhasePlan(dict(zip(_PHASES, (preparing, training, scoring, ranking), strict=True)), told=False)


# Measured (benchmarks/results/phases.md): networks that learn from images and texts, frozen ones, tables, vectors, and
# what was trained elsewhere.
USUAL = _shares(0.02, 0.72, 0.25, 0.01)
_FROZEN = _shares(0.94, 0.01, 0.04, 0.01)
_TABLE = _shares(0.11, 0.41, 0.44, 0.04)
_VECTORS = _shares(0.05, 0.43, 0.46, 0.06)
_ELSEWHERE = _shares(0.05, 0.0, 0.88, 0.07)


def plan_of(connection: sa.Connection, spec: JobSpec, header: CanonicalHeader, rows: int) -> PhasePlan:
    """The plan of a job on `rows` samples, by the last jobs of its model."""
    planned = _workload(spec, header.modality, rows, len(header.features), len(header.classes))
    runs = [
        PastRun(_workload(one.spec, one.modality, one.samples, one.features, one.classes), one.timings, one.finished_at)
        for one in timings.last_timed(connection, spec.model.name, _RUNS)
    ]
    found = expected_phases(planned, runs)
    if found is None or not sum(found.values()) > 0:
        return _usual(spec, header.modality)
    seconds = dict.fromkeys(_PHASES, 0.0)
    for name, value in found.items():
        if name in _NAMES:
            seconds[_NAMES[name]] += value
    return PhasePlan(seconds, told=True)


def _workload(spec: JobSpec, modality: str, rows: int, features: int, classes: int) -> Workload:
    # Images of other sizes are taken to last as long: their sizes are not known before they are read.
    return workload(spec, modality, rows, features, classes, None if modality == "image" else 1)


def _usual(spec: JobSpec, modality: str) -> PhasePlan:
    match modality:
        case "trace" | "predictions":
            return _ELSEWHERE
        case "embedding":
            return _VECTORS
        case "tabular":
            return _TABLE
        case _:
            return _FROZEN if _workload(spec, modality, 1, 0, 0).caches else USUAL
