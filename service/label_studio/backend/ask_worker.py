"""Predictions of a job's model for new tasks, computed by a worker.

The service has no model. It writes the samples to a file, sends a message with the file's name, and waits for a file with
the answer until a deadline.
"""

import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
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

_POLL_S = 0.05
_SLOTS = threading.BoundedSemaphore(8)  # threads of the server that may wait; others get no answer


@dataclass(frozen=True)
class UnseenTask:
    """A task that the model has not seen, and its input as the tool has it."""

    task: int
    value: Any


def ask_worker(
    services: Services, job: Job, pull: Pull, samples: Sequence[UnseenTask], deadline: float
) -> list[Mapping[str, float] | None]:
    """Probability by class for each sample; None for a sample without an answer at `deadline` (time.monotonic)."""
    found: list[Mapping[str, float] | None] = [None] * len(samples)
    if not _SLOTS.acquire(blocking=False):
        log.info("too many questions at once", job=job.id)
        return found
    name = uuid.uuid4().hex
    try:
        question = services.blobs.question(name)
        places = _write(services, job, pull, samples, question, deadline)
        services.blobs.upload(question)
        remaining = deadline - time.monotonic()
        answer = None
        if places and remaining > 0 and services.queue.ask(job.id, name, remaining):
            answer = _wait(lambda: services.blobs.answer(name), deadline)
    except SuspectsError as error:
        log.info("question not asked", job=job.id, error=error.detail)
        return found
    finally:
        _SLOTS.release()
        for kind in ("question", "answer"):
            services.blobs.remove(services.blobs.uploads / f"{name}.{kind}")
    if answer is None or "error" in answer:
        log.info("question not answered", job=job.id, samples=len(samples), error=(answer or {}).get("error"))
        return found
    for place, shares in zip(places, answer["probabilities"], strict=True):
        found[place] = dict(zip(answer["classes"], shares, strict=True))
    return found


def _write(
    services: Services, job: Job, pull: Pull, samples: Sequence[UnseenTask], path: Path, deadline: float
) -> list[int]:
    """Write the file of samples; returns the positions of the samples that could be written."""
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


def _values(services: Services, modality: str, pull: Pull, samples: Sequence[UnseenTask], deadline: float) -> list[Any]:
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
                    image = client.download(str(sample.value), sample.task)
                except (Upstream, Invalid) as error:
                    log.info("image not read", task=sample.task, error=error.detail)
            found.append(image)
    return found


def _wait(find: Callable[[], Path], deadline: float) -> dict[str, Any] | None:
    while time.monotonic() < deadline:
        path = find()
        if path.exists():
            answer: dict[str, Any] = json.loads(path.read_text())
            return answer
        time.sleep(_POLL_S)
    return None
