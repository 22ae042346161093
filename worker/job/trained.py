"""A job whose model is trained here: prepare, give a first ranking where trees can, train, run the checkpoints over the samples."""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from service.domain.errors import Damaged
from service.domain.job import State
from service.domain.specs import JobSpec
from service.domain.stage import FIRST
from service.store import first_rankings, jobs, rankings
from service.store.blobs import Blobs
from service.store.seal import read_json, remove_sealed, sealed_write
from worker.backbones import BackboneContext
from worker.data.canonical import open_canonical
from worker.job.attempt import JobAttempt, ScoredJob
from worker.job.context import (
    InputsLost,
    StoredAtTimes,
    checkpoint_path,
    checkpoint_to_resume,
    found_rate_path,
    load_checkpoint,
    preprocessing_path,
    remove_parts,
    with_found_rate,
)
from worker.job.first_ranking import first_ranking
from worker.job.growing_trees import GrowingTrees, growing
from worker.job.preparation import PreparedJob, fit, prepare
from worker.job.ranking import RankingResult
from worker.job.scoring import score
from worker.job.sharing import sharing_of
from worker.job.steady_training import train_steadily
from worker.job.trees_beside import save_answers
from worker.signals.measurements import Measurements
from worker.training.loop import EpochMetrics, TrainingState, checkpoints, learning_rate
from worker.training.search import find_rate

_BACKBONE = "running the frozen backbone"


def score_trained(attempt: JobAttempt, last_recorded_epoch: int) -> ScoredJob:
    """Train the job's model, from its newest sound checkpoint on, and score its samples.

    Metrics are recorded for epochs after `last_recorded_epoch`. Raises InputsLost where a cached array was damaged meanwhile.
    """
    job, context, heartbeat, timer = attempt.job, attempt.context, attempt.heartbeat, attempt.timer
    spec, blobs = job.spec, attempt.blobs
    reference = open_canonical(blobs.canonical(job.reference_dataset_id)) if job.reference_dataset_id else None
    backbones = context.backbone_context(
        attempt.scratch, lambda share: heartbeat.report(State.PREPARING, share, f"{_BACKBONE}: {share:.0%}")
    )
    prepared = prepare(spec, attempt.dataset, reference, context.device, backbones)
    if prepared.preprocessing is not None:
        path = preprocessing_path(blobs, job.id)
        prepared.preprocessing.save(path)
        blobs.upload(path)
    if prepared.trees is not None and job.result is None:
        timer.lap("preparing_s")
        _record_first(attempt, first_ranking(prepared, prepared.trees, spec, attempt.dataset, _report_first(attempt)))
    with growing(prepared.trees, prepared.inputs, prepared.planted.labels, spec.training.seed) as trees:
        return _train_and_score(prepared, spec, attempt, last_recorded_epoch, backbones, trees)


def _train_and_score(
    prepared: PreparedJob,
    spec: JobSpec,
    attempt: JobAttempt,
    last_recorded_epoch: int,
    backbones: BackboneContext,
    trees: GrowingTrees | None,
) -> ScoredJob:
    job, context, heartbeat, timer = attempt.job, attempt.context, attempt.heartbeat, attempt.timer
    blobs = attempt.blobs
    if spec.training.find_learning_rate:
        heartbeat.report(State.PREPARING, 0.8, "looking for a learning rate")
        spec = _with_found_rate(prepared, spec, blobs, job.id)
    heartbeat.enter(State.TRAINING, f"epoch 1/{spec.training.epochs}")
    timer.lap("preparing_s")
    ran, spec = _fit_steadily(prepared, spec, attempt, last_recorded_epoch)
    folder, weights, epochs = blobs.job(job.id) / "checkpoints", blobs.model(job.id), checkpoints(spec.training, ran)
    _export_weights(checkpoint_path(folder, epochs[-1]), weights)
    blobs.upload(weights)
    rates = [learning_rate(spec.training, epoch) for epoch in epochs]
    heartbeat.enter(State.SCORING, "running the checkpoints over every sample")
    timer.lap("training_s")
    with sharing_of(heartbeat.claim, context) as sharing:
        scored = score(
            prepared,
            spec,
            rates,
            lambda t: load_checkpoint(checkpoint_path(folder, epochs[t])).model,
            attempt.scratch,
            attempt.report_scoring,
            sharing.begin,
            trees=trees,
        )
    if isinstance(scored.measurements, Measurements) and scored.measurements.by_trees is not None:
        blobs.upload(save_answers(folder, scored.measurements.by_trees))
    _check_inputs(backbones, attempt)
    return ScoredJob(prepared, spec, scored, epochs)


def _report_first(attempt: JobAttempt) -> Callable[[float], None]:
    return lambda share: attempt.heartbeat.report(State.PREPARING, 0.2 + 0.6 * share, "a first ranking by trees")


def _record_first(attempt: JobAttempt, found: RankingResult) -> None:
    """Let clients see the first ranking, which that of the completed job replaces. Its files are kept."""
    claim, blobs, timer = attempt.heartbeat.claim, attempt.blobs, attempt.timer
    folder = blobs.ranking(claim.job_id, FIRST)
    attempt.heartbeat.renew()
    result = {**found.result, "timings": dict(timer.laps)}
    first_rankings.save(folder, found.table, result, found.columns)
    blobs.upload(folder)
    with attempt.context.database.write() as connection:
        jobs.record_first(connection, claim, result, datetime.now(UTC))
        rankings.save(connection, claim.job_id, found.table)
        rankings.save_summaries(connection, claim.job_id, found.summaries)
    timer.lap("first_ranking_s")


def _check_inputs(backbones: BackboneContext, attempt: JobAttempt) -> None:
    """Raise InputsLost, and forget what was computed, where a cached array was damaged while the job computed with it."""
    try:
        backbones.features.check_again()
    except Damaged as error:
        attempt.heartbeat.renew()
        folder = attempt.blobs.job(attempt.job.id)
        attempt.blobs.discard(folder / "checkpoints")
        attempt.blobs.discard(folder / "learning_rate.json")
        raise InputsLost(str(error)) from error


def _export_weights(checkpoint: Path, path: Path) -> None:
    """Write the weights at the end of training as safetensors."""
    weights = {name: value.contiguous() for name, value in load_checkpoint(checkpoint).model.items()}
    with sealed_write(path, durable=True) as part:
        save_file(weights, part)


def _with_found_rate(prepared: PreparedJob, spec: JobSpec, blobs: Blobs, job_id: str) -> JobSpec:
    # Kept in a file, so that another attempt, perhaps on another machine, trains with the same rate.
    path = found_rate_path(blobs, job_id)
    known = read_json(path)
    if known is None or not isinstance(known.get("rate"), float):
        groups = None if prepared.groups is None else prepared.groups.train
        found = find_rate(prepared.model, prepared.inputs, prepared.planted.labels, spec.training, groups)
        known = asdict(found)
        _keep_rate(blobs, path, known)
    return with_found_rate(spec, known)


def _keep_rate(blobs: Blobs, path: Path, found: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with sealed_write(path) as part:
        part.write_text(json.dumps(found))
    blobs.upload(path)


def _fit_steadily(
    prepared: PreparedJob, spec: JobSpec, attempt: JobAttempt, last_recorded_epoch: int
) -> tuple[int, JobSpec]:
    job_id, blobs, heartbeat = attempt.job.id, attempt.blobs, attempt.heartbeat
    recorded, rate = last_recorded_epoch, found_rate_path(blobs, job_id)

    def begin_again(lower: JobSpec) -> None:
        nonlocal recorded
        recorded = 0
        heartbeat.renew()
        # In this order: weights that another rate led to must not be gone on with.
        blobs.discard(blobs.job(job_id) / "checkpoints")
        _keep_rate(blobs, rate, {"rate": lower.training.learning_rate})
        heartbeat.resume_at(State.TRAINING, 0.0, f"epoch 1/{lower.training.epochs}, again at a lower learning rate")

    return train_steadily(spec, prepared.model, lambda rated: _fit(prepared, rated, attempt, recorded), begin_again)


def _fit(prepared: PreparedJob, spec: JobSpec, attempt: JobAttempt, last_recorded_epoch: int) -> int:
    heartbeat, timer, blobs = attempt.heartbeat, attempt.timer, attempt.blobs
    folder, stored = blobs.checkpoints(attempt.job.id, heartbeat.is_held), StoredAtTimes(blobs)
    kept, epochs = checkpoints(spec.training), spec.training.epochs
    if spec.training.early_stopping is not None:
        kept = list(range(1, epochs + 1))  # which ones will be scored is known at the end
    remove_parts(folder, heartbeat.is_held)
    resume = checkpoint_to_resume(folder, kept)

    def after_epoch(state: TrainingState, metrics: EpochMetrics) -> None:
        # Metrics first: an epoch whose checkpoint was not written is computed again and has the same metrics.
        if metrics.epoch > last_recorded_epoch:
            heartbeat.record_metrics(metrics)
        newest = checkpoint_path(folder, state.epoch)
        state.save(newest)
        if state.epoch - 1 not in kept:
            remove_sealed(checkpoint_path(folder, state.epoch - 1))
        timer.keep("training_s")
        stored.store(newest, timer.path, kept=state.epoch in kept, at_once=heartbeat.is_stopping)
        share = state.epoch / epochs
        heartbeat.report(State.TRAINING, share, f"epoch {min(state.epoch + 1, epochs)}/{epochs}")

    def after_batch(done: float) -> None:
        heartbeat.report(State.TRAINING, done / epochs, f"epoch {min(int(done) + 1, epochs)}/{epochs}")

    if resume is not None:
        heartbeat.resume_at(State.TRAINING, resume.epoch / epochs, f"epoch {min(resume.epoch + 1, epochs)}/{epochs}")
    ran = fit(prepared, spec, resume, after_epoch, after_batch)
    heartbeat.renew()
    for epoch in set(kept) - set(checkpoints(spec.training, ran)):
        remove_sealed(checkpoint_path(folder, epoch))
    blobs.upload_difference(folder)
    return ran
