"""Estimated duration of a job, from the timings of jobs that were run before.

Each earlier job predicts the new one by scaling its phases: training with rows x epochs x pixels, scoring with
rows x checkpoints x pixels, everything else with rows x pixels. The prediction is the weighted geometric mean; the
interval covers the spread of the predictions, the few jobs they come from, and how unlike the jobs are.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from service.domain.models import MODELS
from service.domain.specs import JobSpec

_FLOOR = -math.log(0.7)  # at least 30 % below and above, however alike the jobs
_CEILING = math.log(10)  # an interval from a tenth to ten times says nothing
_FADES = 0.8  # weight of each job relative to that of the next more recent one
_USUAL_SPREAD = 0.25  # of log seconds, assumed with the weight of one job: a single job shows no spread
_OTHER_OPTIONS = math.log(3)
# How strongly a difference of a factor e in each quantity is doubted. Steps cost by number where the network is small, by
# samples where it is large: for batches the geometric mean of both is predicted.
_DOUBTS = {"rows": 0.25, "features": 0.25, "classes": 0.25, "batch_size": 0.5}
# Parameters of a model without which the times of two jobs say nothing of each other.
_DECISIVE = ("network", "layer", "architecture", "backbone", "trainable_blocks")
_UNKNOWN = "no job of this model has run here yet"
_UNLIKE = "the jobs of this model that have run here are too unlike this one"


@dataclass(frozen=True)
class Workload:
    """What decides how long a job takes.

    `decisive` options must agree for one job to predict another; different `options` widen the interval. `rows` are those
    that are ranked, `pixels` those of an image at the network's input (1 of other data, None where unknown).
    """

    dataset: str
    decisive: Mapping[str, Any]
    options: Mapping[str, Any]
    caches: bool
    rows: int
    features: int
    classes: int
    epochs: int
    checkpoints: int
    batch_size: int
    pixels: float | None


@dataclass(frozen=True)
class PastRun:
    """A completed job: its workload, the seconds of each phase, and when it ended."""

    workload: Workload
    timings: Mapping[str, float]
    finished_at: datetime


@dataclass(frozen=True)
class DurationEstimate:
    """An interval in seconds, or None where nothing is known, and what it is based on."""

    seconds: tuple[float, float] | None
    basis: str


def workload(spec: JobSpec, modality: str, rows: int, features: int, classes: int, pixels: float | None) -> Workload:
    """The workload of a job that ranks `rows` samples."""
    params, training, influence = spec.model.params, spec.training, spec.influence
    given = {name: value for name, value in params.items() if name not in (*_DECISIVE, "image_size")}
    trained = training.model_dump(include={"precision", "augmentation", "early_stopping", "find_learning_rate"})
    model = MODELS.get(spec.model.name)
    return Workload(
        dataset=spec.dataset,
        decisive={
            "model": spec.model.name,
            "modality": modality,
            **{name: params.get(name) for name in _DECISIVE},
            "layers": influence.layers,
            "estimator": influence.estimator,
        },
        options={**given, **trained, "signals": sorted(spec.signals), "reference": spec.reference is not None},
        caches=model is not None and model.has_front and params.get("trainable_blocks") != "all",
        rows=rows,
        features=features,
        classes=classes,
        epochs=training.epochs,
        checkpoints=training.epochs if training.checkpoints == "all" else min(training.checkpoints, training.epochs),
        batch_size=training.batch_size,
        pixels=pixels,
    )


def estimate_duration(planned: Workload, runs: Sequence[PastRun], now: datetime) -> DurationEstimate:
    """How long the planned job takes a worker, from earlier `runs` of its model in any order."""
    recent, fitting = _fitting(planned, runs)
    if not fitting:
        return DurationEstimate(None, _UNLIKE if recent else _UNKNOWN)
    logs = [math.log(max(sum(_scaled(run, planned).values()), 1e-3)) for run in fitting]
    doubts = [_doubt(run, planned) + _cached(run, planned, recent) for run in fitting]
    weights = _weights(doubts)
    middle, doubt = _mean(logs, weights), _mean(doubts, weights)
    number = sum(weights) ** 2 / sum(weight**2 for weight in weights)
    spread = _mean([(log - middle) ** 2 for log in logs], weights)
    variance = (_USUAL_SPREAD**2 + number * spread) / (1 + number)
    half = max(_FLOOR, 2 * math.sqrt(variance * (1 + 1 / number))) + doubt
    if half > _CEILING:
        return DurationEstimate(None, _UNLIKE)
    same = [run for run in fitting if run.workload.options == planned.options]
    return DurationEstimate(
        (math.exp(middle - half), math.exp(middle + half)), _basis(same or fitting, now, other=not same)
    )


def expected_phases(planned: Workload, runs: Sequence[PastRun]) -> dict[str, float] | None:
    """Seconds that each phase of the planned job takes, by the names in `PastRun.timings`; None where no earlier run tells."""
    recent, fitting = _fitting(planned, runs)
    if not fitting:
        return None
    weights = _weights([_doubt(run, planned) + _cached(run, planned, recent) for run in fitting])
    scaled = [_scaled(run, planned) for run in fitting]
    names = {name for phases in scaled for name in phases}
    return {name: _mean([phases.get(name, 0.0) for phases in scaled], weights) for name in names}


def _fitting(planned: Workload, runs: Sequence[PastRun]) -> tuple[list[PastRun], list[PastRun]]:
    """All runs, and those that predict the planned job, the most recent first."""
    recent = sorted(runs, key=lambda run: run.finished_at, reverse=True)
    fitting = [run for run in recent if _predicts(run, planned)]
    return recent, [run for run in fitting if _cached(run, planned, recent) == 0] or fitting


def _weights(doubts: Sequence[float]) -> list[float]:
    """Weights of runs, the most recent first."""
    return [_FADES**place * math.exp(-2 * doubt) for place, doubt in enumerate(doubts)]


def _predicts(run: PastRun, planned: Workload) -> bool:
    done = run.workload
    return done.decisive == planned.decisive and (done.pixels is None) == (planned.pixels is None) and done.rows > 0


def _scaled(run: PastRun, planned: Workload) -> dict[str, float]:
    """Seconds of each phase of the planned job, as this run predicts them."""
    done = run.workload
    size = planned.rows / done.rows * (planned.pixels or 1) / (done.pixels or 1)
    factors = {
        "training_s": planned.epochs / done.epochs * math.sqrt(done.batch_size / planned.batch_size),
        "scoring_s": planned.checkpoints / done.checkpoints,
    }
    return {phase: seconds * size * factors.get(phase, 1) for phase, seconds in run.timings.items()}


def _doubt(run: PastRun, planned: Workload) -> float:
    """How unlike the workloads are, in log seconds."""
    done = run.workload
    unlike = sum(
        doubt * abs(math.log(max(getattr(planned, name), 1) / max(getattr(done, name), 1)))
        for name, doubt in _DOUBTS.items()
    )
    return unlike + (0 if done.options == planned.options else _OTHER_OPTIONS)


def _cached(run: PastRun, planned: Workload, recent: Sequence[PastRun]) -> float:
    """How much more a frozen backbone doubts a run: its outputs are kept, so later jobs of a dataset prepare in no time."""
    if not planned.caches:
        return 0
    seen = any(other.workload.dataset == planned.dataset for other in recent)
    first = not any(
        other.workload.dataset == run.workload.dataset and other.finished_at < run.finished_at for other in recent
    )
    total = sum(run.timings.values())
    preparing = run.timings.get("preparing_s", 0.0)
    return math.log(total / max(total - preparing, 1e-3)) if first == seen and total > preparing else 0


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)


def _basis(runs: Sequence[PastRun], now: datetime, *, other: bool) -> str:
    jobs = "1 job" if len(runs) == 1 else f"{len(runs)} jobs"
    options = " with other options" if other else ""
    return f"from {jobs} of this model{options} here, the last {_ago(now - max(run.finished_at for run in runs))}"


def _ago(passed: timedelta) -> str:
    for unit, seconds in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        number = int(passed.total_seconds() // seconds)
        if number:
            return f"{number} {unit}{'s' if number > 1 else ''} ago"
    return "less than a minute ago"
