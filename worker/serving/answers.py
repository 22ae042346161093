"""Predictions for new samples by the model of a completed job, exchanged in files."""

import json
from collections.abc import Mapping
from typing import Any

import structlog
from safetensors.torch import load_file
from torch import Tensor

from service.domain.job import State
from service.store import jobs
from service.store.seal import check
from usual_suspects.files import atomic_write
from worker.backbones import Preprocessing
from worker.data.canonical import open_canonical
from worker.job.context import WorkerContext, preprocessing_path
from worker.serving.inference import TrainedModel, probabilities, restore_model
from worker.training.loop import TrainingState

log = structlog.get_logger()

_kept: dict[str, TrainedModel] = {}  # by job, one at most: annotators ask often, and mostly the same model


def answer(job_id: str, question: str, context: WorkerContext) -> None:
    """Read the samples of a question from its file and write the predictions to another.

    Returns at once where the file is gone: nobody waits for the answer any more. An error is written as the answer.
    """
    question_path, answer_path = context.blobs.question(question), context.blobs.answer(question)
    if not question_path.exists():
        return
    try:
        trained = _trained(job_id, context)
        probabilities_found = probabilities(trained, open_canonical(question_path)).tolist()
        reply: dict[str, Any] = {"classes": trained.classes, "probabilities": probabilities_found}
    except FileNotFoundError:
        log.info("question taken back", job=job_id)
        return
    except Exception as error:  # whoever waits is told, and the worker goes on
        log.exception("question not answered", job=job_id)
        reply = {"error": type(error).__name__}
    with atomic_write(answer_path) as part:
        part.write_text(json.dumps(reply))
    context.blobs.upload(answer_path)


def _weights(job_id: str, context: WorkerContext) -> Mapping[str, Tensor]:
    """The weights at the end of training. Raises Damaged, and LookupError where there are none."""
    path = context.blobs.model(job_id)
    if path.exists():
        check(path)
        return load_file(path)
    # Jobs of earlier versions have their checkpoints alone.
    last = max(context.blobs.checkpoints(job_id).glob("*.pt"), default=None)
    if last is None:
        raise LookupError(job_id)
    return TrainingState.load(last).model


def _trained(job_id: str, context: WorkerContext) -> TrainedModel:
    """The model of a completed job; the last one is kept in memory. Raises LookupError where there is none."""
    if job_id not in _kept:
        with context.database.read() as connection:
            job = jobs.get(connection, job_id)
        if job is None or job.state != State.COMPLETED:
            raise LookupError(job_id)
        with context.files_of(job):
            weights = _weights(job_id, context)
            dataset, path = (
                open_canonical(context.blobs.canonical(job.dataset_id)),
                preprocessing_path(context.blobs, job_id),
            )
            preprocessing = Preprocessing.load(path) if path.exists() else None
            _kept.clear()  # before another is loaded: both may be large
            backbones = context.backbone_context(context.blobs.job(job_id) / "scratch")
            _kept[job_id] = restore_model(job.spec, dataset, weights, context.device, backbones, preprocessing)
    return _kept[job_id]
