"""What the model of a completed job says of new samples, for annotators who wait for it."""

import json
from typing import Any

import structlog

from service.domain.job import State
from service.store import jobs
from service.store.files import atomic_write
from worker.backbones import Footing
from worker.data.decode import open_canonical
from worker.job.context import WorkerContext, footing_path, latest_checkpoint
from worker.serving.inference import TrainedModel, probabilities, restore_model

log = structlog.get_logger()

_kept: dict[str, TrainedModel] = {}  # by job, one at most: annotators ask again and again, and always the same one


def answer(job_id: str, question: str, station: WorkerContext) -> None:
    """Answer a question about new samples, which lies in a file, in another file; quietly when nobody asks any more."""
    asked, told = station.blobs.question(question), station.blobs.answer(question)
    if not asked.exists():
        return
    try:
        trained = _trained(job_id, station)
        found = probabilities(trained, open_canonical(asked)).tolist()
        said: dict[str, Any] = {"classes": trained.classes, "probabilities": found}
    except FileNotFoundError:
        log.info("question taken back", job=job_id)
        return
    except Exception as error:  # whoever waits is told, and the worker goes on
        log.exception("question not answered", job=job_id)
        said = {"error": type(error).__name__}
    with atomic_write(told) as part:
        part.write_text(json.dumps(said))


def _trained(job_id: str, station: WorkerContext) -> TrainedModel:
    """The model of a completed job; the last one that was asked for is kept. Raises LookupError where there is none."""
    if job_id not in _kept:
        with station.database.read() as connection:
            job = jobs.get(connection, job_id)
        if job is None or job.state != State.COMPLETED:
            raise LookupError(job_id)
        state = latest_checkpoint(station.blobs.checkpoints(job_id))
        if state is None:
            raise LookupError(job_id)
        dataset, path = open_canonical(station.blobs.canonical(job.dataset_id)), footing_path(station.blobs, job_id)
        footing = Footing.load(path) if path.exists() else None
        _kept.clear()  # before another is loaded: both may be large
        shelf = station.shelf(station.blobs.job(job_id) / "scratch")
        _kept[job_id] = restore_model(job.spec, dataset, state, station.device, shelf, footing)
    return _kept[job_id]
