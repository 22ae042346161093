"""Time that a job would take, before it is submitted."""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import sqlalchemy as sa

from service.actions.resolve_job import find_stored_dataset, resolve_job
from service.domain.auto import from_scratch, with_network
from service.domain.dataset import DatasetInfo
from service.domain.duration import DurationEstimate, PastRun, Workload, estimate_duration, workload
from service.domain.specs import JobRequest, JobSpec
from service.ingest.contents import image_sizes
from service.services import Services
from service.store import timings
from service.store.timings import TimedJob

_RUNS = 20
_IMAGES = 32  # of a dataset, whose commonest size stands for all
_LARGEST_SIDE = 64  # pixels; larger images are scaled to it where the job names no size, see worker.data.pixels
_SAVING_S = 30.0  # time that is not counted to a phase, in jobs that were not interrupted


@dataclass(frozen=True)
class EstimatedJob:
    """A job as it would be submitted, and how long it would take."""

    spec: JobSpec
    duration: DurationEstimate


def estimate_job(services: Services, request: JobRequest) -> EstimatedJob:
    """The spec and the time of a job that is not submitted. Raises Invalid and NotFound, as submitting it would."""
    info = find_stored_dataset(services, request.dataset)
    spec = resolve_job(services, request, info)
    with services.database.read() as connection:
        expected = _expected(connection, spec)
        found = timings.last_timed(connection, expected.model.name, _RUNS)
    runs = [one for one in (_past_run(services, timed) for timed in found) if one is not None]
    return EstimatedJob(spec, estimate_duration(_planned(services, expected, info), runs, services.now()))


def _expected(connection: sa.Connection, spec: JobSpec) -> JobSpec:
    """The spec that a worker will make of it, where it is left to one: as workers decided for the last job of its kind."""
    if spec.fallback is None:
        return spec
    timed = [
        job
        for name in (spec.model.name, spec.fallback.model.name)
        for job in timings.last_timed(connection, name, _RUNS)
        if job.spec.fallback is not None and job.spec.fallback.used is not None
    ]
    last = max(timed, key=lambda job: job.finished_at, default=None)
    if last is None or last.spec.fallback is None:
        return spec
    if last.spec.fallback.used:
        return from_scratch(spec, last.spec.fallback.reason or "")
    return with_network(spec, last.spec.model.params["backbone"])


def _planned(services: Services, spec: JobSpec, info: DatasetInfo) -> Workload:
    rows = info.splits.get("train", info.rows)
    if spec.reference is not None and spec.reference.holdout is not None:
        rows = round(rows * (1 - spec.reference.holdout))
    elif spec.reference is not None and spec.reference.samples is not None:
        rows = max(1, rows - len(spec.reference.samples))
    pixels = _pixels(services, spec, info.modality)
    return workload(spec, info.modality, rows, len(info.features), len(info.classes), pixels)


def _past_run(services: Services, timed: TimedJob) -> PastRun | None:
    """The run of a completed job; None where it was interrupted, so that its phases were timed in part."""
    measured = sum(timed.timings.values())
    unmeasured = max(0.0, timed.elapsed - measured)
    if unmeasured > measured + _SAVING_S:
        return None
    pixels = _pixels(services, timed.spec, timed.modality)
    work = workload(timed.spec, timed.modality, timed.samples, timed.features, timed.classes, pixels)
    return PastRun(work, {**timed.timings, "saving_s": unmeasured}, timed.finished_at)


def _pixels(services: Services, spec: JobSpec, modality: str) -> float | None:
    """Pixels of an image at the input of the network; 1 of other data, None where the images have gone."""
    if modality != "image":
        return 1
    params = spec.model.params.get("params", spec.model.params)
    side = params.get("image_size")
    if side is not None:
        return float(side * side)
    if "image_size" not in params or "backbone" in params:
        return 1  # the network has a size of its own, and only runs of the same network are compared
    return _own_pixels(services.blobs.canonical(spec.dataset))


@lru_cache(maxsize=256)
def _own_pixels(canonical: Path) -> float | None:
    if not canonical.exists():
        return None
    (size, _count), *_ = Counter(image_sizes(canonical, _IMAGES)).most_common(1)
    scale = min(1.0, _LARGEST_SIDE / max(size))
    return size[0] * size[1] * scale * scale
