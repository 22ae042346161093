"""Asks a worker what a job's model says of samples that it has not seen, and waits for so long and no longer.

The service has no model. Question and answer are files, the message only names them: a worker that is busy, or none at
all, costs nobody more than the wait.
"""

import json
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from service.domain.errors import Invalid, SuspectsError, Upstream
from service.ingest.limits import Limits
from service.ingest.samples import write_samples
from service.label_studio.projects import connect
from service.services import Services
from service.store import datasets
from service.store.jobs import Job
from service.store.pulls import Pull

log = structlog.get_logger()

_LOOK_S = 0.05
_WAITING = threading.BoundedSemaphore(8)  # of the server's threads; others are told at once that there is no answer


@dataclass(frozen=True)
class Sample:
    """A task and its input, as the tool has it."""

    task: int
    value: Any


def ask(
    services: Services, job: Job, pull: Pull, samples: Sequence[Sample], deadline: float
) -> list[Mapping[str, float] | None]:
    """How probable the model finds each class, by class; None for a sample of which nothing is said by the deadline."""
    found: list[Mapping[str, float] | None] = [None] * len(samples)
    if not _WAITING.acquire(blocking=False):
        log.info("too many questions at once", job=job.id)
        return found
    name = uuid.uuid4().hex
    try:
        places = _write(services, job, pull, samples, services.blobs.question(name), deadline)
        left = deadline - time.monotonic()
        told = None
        if places and left > 0 and services.queue.ask(job.id, name, left):
            told = _wait(services.blobs.answer(name), deadline)
    except SuspectsError as error:
        log.info("question not asked", job=job.id, error=error.detail)
        return found
    finally:
        _WAITING.release()
        services.blobs.question(name).unlink(missing_ok=True)
        services.blobs.answer(name).unlink(missing_ok=True)
    if told is None or "error" in told:
        log.info("question not answered", job=job.id, samples=len(samples), error=(told or {}).get("error"))
        return found
    for place, shares in zip(places, told["probabilities"], strict=True):
        found[place] = dict(zip(told["classes"], shares, strict=True))
    return found


def _write(
    services: Services, job: Job, pull: Pull, samples: Sequence[Sample], path: Path, deadline: float
) -> list[int]:
    """The question as a file; gives the places of the samples that are in it."""
    with services.database.read() as connection:
        info = datasets.get(connection, job.dataset_id)
    if info is None:
        return []
    values: list[Mapping[str, Any]] = []
    for value in _values(services, info.modality, pull, samples, deadline):
        if info.modality == "tabular":
            values.append(value if isinstance(value, Mapping) else {})
        else:
            values.append({info.features[0].name: value})
    limits = Limits(max_expanded_bytes=services.settings.max_expanded_bytes)
    return write_samples(services.blobs.canonical(info.id), values, path, limits)


def _values(services: Services, modality: str, pull: Pull, samples: Sequence[Sample], deadline: float) -> list[Any]:
    if modality == "text":
        return [str(sample.value) for sample in samples]
    if modality != "image":
        return [sample.value for sample in samples]
    found: list[Any] = []
    timeout = max(deadline - time.monotonic(), 0.1)
    with connect(services, pull.connection_id, timeout=timeout) as client:
        for sample in samples:
            image = None
            if time.monotonic() < deadline:
                try:
                    image = client.file(str(sample.value), sample.task)
                except (Upstream, Invalid) as error:
                    log.info("an image could not be read", task=sample.task, error=error.detail)
            found.append(image)
    return found


def _wait(answer: Path, deadline: float) -> dict[str, Any] | None:
    while time.monotonic() < deadline:
        if answer.exists():
            told: dict[str, Any] = json.loads(answer.read_text())
            return told
        time.sleep(_LOOK_S)
    return None
