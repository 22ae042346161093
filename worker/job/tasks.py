"""One job in a worker: claim, load, compute, record. Everything that a job reads and writes passes through here."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
from opentelemetry.trace import StatusCode, get_current_span
from safetensors.torch import save_file

from service.domain.auto import from_scratch, with_network
from service.domain.errors import ArtefactsUnavailable, Damaged, is_disk_full
from service.domain.job import JobError, State
from service.domain.specs import JobSpec
from service.domain.stage import FIRST
from service.store import evidence, job_events, jobs, ranking_columns, rankings, searched_texts
from service.store.blobs import Blobs
from service.store.jobs import Claim, Job, LeaseLost
from service.store.seal import read_json, remove_sealed, sealed_write
from worker.backbones import BackboneContext
from worker.backbones.at_hand import backbone_at_hand
from worker.data.canonical import Canonical, open_canonical
from worker.job.context import (
    CheckpointLost,
    InputsLost,
    StoredAtTimes,
    WorkerContext,
    checkpoint_path,
    checkpoint_to_resume,
    found_rate_path,
    load_checkpoint,
    preprocessing_path,
    remove_parts,
    scratch_of,
    with_found_rate,
)
from worker.job.failures import explain
from worker.job.first_ranking import first_ranking
from worker.job.heartbeat import Heartbeat, Stopping, heartbeat_of
from worker.job.measuring import Scored, measure
from worker.job.phase_timer import PhaseTimer
from worker.job.predictions import NO_EPOCH, measure_predictions
from worker.job.preparation import JobSamples, PreparedJob, fit, prepare
from worker.job.ranking import RankingResult, rank
from worker.job.recorded import open_recording
from worker.job.scoring import score
from worker.job.sharing import sharing_of
from worker.job.steady_training import train_steadily
from worker.job.trees_beside import save_answers
from worker.machine.gpu_health import still_computes
from worker.signals.measurements import Measurements
from worker.training.loop import EpochMetrics, TrainingState, checkpoints, learning_rate
from worker.training.search import find_rate

log = structlog.get_logger()

_BACKBONE = "running the frozen backbone"


def run(job_id: str, owner: str, context: WorkerContext) -> None:
    """Do one job, from its claim to its recorded ranking. Returns at once where there is nothing to claim.

    A job that cannot be done ends as failed; a worker that is stopping puts it back into the queue.
    """
    lease = timedelta(seconds=context.settings.lease_seconds)
    with context.database.write() as connection:
        claim = jobs.claim(connection, job_id, owner, lease, _now())
    if claim is None:
        log.info("not claimed", job=job_id)
        return
    try:
        with heartbeat_of(claim, context) as heartbeat:
            outcome, timings = _compute(claim, context, heartbeat)
        _record(claim, context, outcome, timings)
        log.info("job completed", job=job_id, attempt=claim.attempt, **timings)
    except LeaseLost:
        log.info("job taken away", job=job_id)
    except Stopping:
        _end(context, lambda connection: jobs.requeue(connection, claim, _now()))
    except ArtefactsUnavailable as error:
        log.warning("artefact store away, the job waits", job=job_id, error=error.detail)
        waits_for = "the artefact store"
        _end(context, lambda connection: jobs.requeue(connection, claim, _now(), waits_for=waits_for))
    except CheckpointLost as error:
        log.warning("checkpoint lost, going back", job=job_id, error=str(error))
        _go_back(claim, context, _damaged(claim, error))
    except Exception as error:
        if isinstance(error, sa.exc.OperationalError) and not is_disk_full(error):
            # The database is away, so nothing can be written. The lease runs out, and another attempt is made.
            log.exception("database lost", job=job_id)
            return
        if isinstance(error, Damaged) and context.blobs.forget(error):
            _go_back(claim, context, _damaged(claim, error))
            return
        log.exception("job failed", job=job_id)
        if not still_computes(context.device):
            # Whatever this process did next would fail, so it ends after this task; the next process may do the job.
            _go_back(claim, context, _gpu_lost(claim))
            return
        failure = explain(error)
        get_current_span().set_status(StatusCode.ERROR, failure.code)
        _end(context, lambda connection: jobs.fail(connection, claim, failure, _now()))


def _go_back(claim: Claim, context: WorkerContext, failure: JobError) -> None:
    """Queue the job again, to go on from what is sound. Each time is an attempt, the last of which is a failure: a disk may damage every file."""
    if claim.attempt >= context.settings.max_attempts:
        _end(context, lambda connection: jobs.fail(connection, claim, failure, _now()))
    else:
        _end(context, lambda connection: jobs.requeue(connection, claim, _now(), counted=True))


def _damaged(claim: Claim, error: Exception) -> JobError:
    return JobError(code="damaged", detail=f"{error}; this happened {claim.attempt} times: examine the disk")


def _gpu_lost(claim: Claim) -> JobError:
    return JobError(
        code="worker_lost",
        detail=f"the GPU stopped in each of {claim.attempt} attempts to compute this job; the workers' logs say why",
    )


@dataclass(frozen=True)
class _ScoredJob:
    """The result of scoring; `spec` has the learning rate that was found, `epochs` are those of the checkpoints."""

    samples: JobSamples
    spec: JobSpec
    scored: Scored
    epochs: list[int]


def _compute(claim: Claim, context: WorkerContext, heartbeat: Heartbeat) -> tuple[RankingResult, dict[str, float]]:
    with context.database.read() as connection:
        job = jobs.get(connection, claim.job_id)
        last_recorded_epoch = job_events.last_epoch(connection, claim.job_id)
    if job is None:
        raise LeaseLost(claim.job_id)
    with context.files_of(job):
        return _computed(job, claim, context, heartbeat, last_recorded_epoch)


def _computed(
    job: Job, claim: Claim, context: WorkerContext, heartbeat: Heartbeat, last_recorded_epoch: int
) -> tuple[RankingResult, dict[str, float]]:
    blobs = context.blobs
    timer = PhaseTimer(blobs.job_file(job.id, "timings.json"))
    dataset = open_canonical(blobs.canonical(job.dataset_id))
    job = _with_model(job, dataset, claim, context)
    with scratch_of(blobs, job.id, claim.owner, heartbeat.is_held) as scratch:
        match dataset.header.modality:
            case "trace":
                found = _score_recorded(job, dataset, scratch, context, heartbeat, timer)
            case "predictions":
                found = _score_predicted(job, dataset, scratch, heartbeat, timer)
            case _:
                found = _score_trained(job, dataset, scratch, context, heartbeat, timer, last_recorded_epoch)
        heartbeat.enter(State.RANKING, f"ranking {len(found.samples.rows)} samples")
        timer.lap("scoring_s")
        outcome = rank(found.samples, found.spec, found.scored, dataset)
    made = [blobs.ranking(job.id), blobs.evidence(job.id)]
    heartbeat.renew()
    ranking_columns.save(made[0], outcome.table, outcome.result["signals"], outcome.columns)
    evidence.save(made[1], outcome.evidence, found.epochs, job.reference_dataset_id or job.dataset_id)
    if dataset.header.modality == "text" and not (searched := blobs.search(job.dataset_id)).exists():
        searched_texts.prepare(searched, blobs.canonical(job.dataset_id))
        made.append(searched)
    blobs.upload(*made)
    timer.lap("ranking_s")
    return outcome, timer.laps


def _with_model(job: Job, dataset: Canonical, claim: Claim, context: WorkerContext) -> Job:
    """The job with the model that it trains. The first attempt decides, so that later ones, perhaps elsewhere, give the same bits."""
    if job.spec.fallback is None or job.spec.fallback.used is not None:
        return job
    found = backbone_at_hand(dataset.header.modality, context.settings)
    spec = from_scratch(job.spec, found.reason) if found.name is None else with_network(job.spec, found.name)
    with context.database.write() as connection:
        jobs.decide_model(connection, claim, spec)
    return job.model_copy(update={"spec": spec})


def _score_trained(
    job: Job,
    dataset: Canonical,
    scratch: Path,
    context: WorkerContext,
    heartbeat: Heartbeat,
    timer: PhaseTimer,
    last_recorded_epoch: int,
) -> _ScoredJob:
    spec, blobs = job.spec, context.blobs
    reference = open_canonical(blobs.canonical(job.reference_dataset_id)) if job.reference_dataset_id else None
    backbones = context.backbone_context(
        scratch, lambda share: heartbeat.report(State.PREPARING, share, f"{_BACKBONE}: {share:.0%}")
    )
    prepared = prepare(spec, dataset, reference, context.device, backbones)
    if prepared.preprocessing is not None:
        path = preprocessing_path(blobs, job.id)
        prepared.preprocessing.save(path)
        blobs.upload(path)
    if prepared.trees is not None and job.result is None:
        timer.lap("preparing_s")
        first = first_ranking(prepared, prepared.trees, spec, dataset, _report_first(heartbeat))
        _record_first(heartbeat, context, first, timer)
    if spec.training.find_learning_rate:
        heartbeat.report(State.PREPARING, 0.5, "looking for a learning rate")
        spec = _with_found_rate(prepared, spec, blobs, job.id)
    heartbeat.enter(State.TRAINING, f"epoch 1/{spec.training.epochs}")
    timer.lap("preparing_s")
    ran, spec = _fit_steadily(prepared, spec, blobs, job.id, heartbeat, timer, last_recorded_epoch)
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
            scratch,
            _report_scoring(heartbeat, timer),
            sharing.begin,
        )
    if isinstance(scored.measurements, Measurements) and scored.measurements.by_trees is not None:
        blobs.upload(save_answers(folder, scored.measurements.by_trees))
    _check_inputs(backbones, blobs, heartbeat)
    return _ScoredJob(prepared, spec, scored, epochs)


def _report_first(heartbeat: Heartbeat) -> Callable[[float], None]:
    return lambda share: heartbeat.report(State.PREPARING, 0.2 + 0.6 * share, "a first ranking by trees")


def _record_first(heartbeat: Heartbeat, context: WorkerContext, found: RankingResult, timer: PhaseTimer) -> None:
    """Let clients see the first ranking, which that of the completed job replaces. Its files are kept."""
    claim = heartbeat.claim
    folder = context.blobs.ranking(claim.job_id, FIRST)
    heartbeat.renew()
    ranking_columns.save(folder, found.table, found.result["signals"], found.columns)
    context.blobs.upload(folder)
    with context.database.write() as connection:
        jobs.record_first(connection, claim, {**found.result, "timings": timer.laps}, _now())
        rankings.save(connection, claim.job_id, found.table)
        rankings.save_summaries(connection, claim.job_id, found.summaries)
    timer.lap("first_ranking_s")


def _check_inputs(backbones: BackboneContext, blobs: Blobs, heartbeat: Heartbeat) -> None:
    """Raise InputsLost, and forget what was computed, where a cached array was damaged while the job computed with it."""
    try:
        backbones.features.check_again()
    except Damaged as error:
        heartbeat.renew()
        folder = blobs.job(heartbeat.claim.job_id)
        blobs.discard(folder / "checkpoints")
        blobs.discard(folder / "learning_rate.json")
        raise InputsLost(str(error)) from error


def _score_recorded(
    job: Job, dataset: Canonical, scratch: Path, context: WorkerContext, heartbeat: Heartbeat, timer: PhaseTimer
) -> _ScoredJob:
    """Score a training that was recorded elsewhere."""
    recording = open_recording(job.spec, dataset, scratch)
    heartbeat.enter(State.SCORING, "reading the recorded checkpoints")
    timer.lap("preparing_s")
    report = _report_scoring(heartbeat, timer)
    with sharing_of(heartbeat.claim, context) as sharing:
        scored = measure(
            recording.samples,
            job.spec,
            recording.train,
            recording.reference,
            report,
            begin=sharing.begin,
            device=context.device,
        )
    return _ScoredJob(recording.samples, job.spec, scored, recording.epochs)


def _score_predicted(
    job: Job, dataset: Canonical, scratch: Path, heartbeat: Heartbeat, timer: PhaseTimer
) -> _ScoredJob:
    """Score out-of-sample predictions, for which nothing is trained."""
    heartbeat.enter(State.SCORING, "reading the predictions")
    timer.lap("preparing_s")
    samples, scored = measure_predictions(job.spec, dataset, scratch, _report_scoring(heartbeat, timer))
    return _ScoredJob(samples, job.spec, scored, [NO_EPOCH])


def _export_weights(checkpoint: Path, path: Path) -> None:
    """Write the weights at the end of training as safetensors."""
    weights = {name: value.contiguous() for name, value in load_checkpoint(checkpoint).model.items()}
    with sealed_write(path, durable=True) as part:
        save_file(weights, part)


def _report_scoring(heartbeat: Heartbeat, timer: PhaseTimer) -> Callable[[float], None]:
    def report(share: float) -> None:
        timer.keep("scoring_s")
        heartbeat.report(State.SCORING, share, "measuring influence")

    return report


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
    prepared: PreparedJob,
    spec: JobSpec,
    blobs: Blobs,
    job_id: str,
    heartbeat: Heartbeat,
    timer: PhaseTimer,
    last_recorded_epoch: int,
) -> tuple[int, JobSpec]:
    recorded, rate = last_recorded_epoch, found_rate_path(blobs, job_id)

    def begin_again(lower: JobSpec) -> None:
        nonlocal recorded
        recorded = 0
        heartbeat.renew()
        # In this order: weights that another rate led to must not be gone on with.
        blobs.discard(blobs.job(job_id) / "checkpoints")
        _keep_rate(blobs, rate, {"rate": lower.training.learning_rate})
        heartbeat.resume_at(State.TRAINING, 0.0, f"epoch 1/{lower.training.epochs}, again at a lower learning rate")

    def fit_at(rated: JobSpec) -> int:
        return _fit(prepared, rated, blobs, job_id, heartbeat, timer, recorded)

    return train_steadily(spec, prepared.model, fit_at, begin_again)


def _fit(
    prepared: PreparedJob,
    spec: JobSpec,
    blobs: Blobs,
    job_id: str,
    heartbeat: Heartbeat,
    timer: PhaseTimer,
    last_recorded_epoch: int,
) -> int:
    folder, stored = blobs.checkpoints(job_id, heartbeat.is_held), StoredAtTimes(blobs)
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
        # What an earlier attempt trained says nothing of this one's speed.
        heartbeat.resume_at(State.TRAINING, resume.epoch / epochs, f"epoch {min(resume.epoch + 1, epochs)}/{epochs}")
    ran = fit(prepared, spec, resume, after_epoch, after_batch)
    heartbeat.renew()
    for epoch in set(kept) - set(checkpoints(spec.training, ran)):
        remove_sealed(checkpoint_path(folder, epoch))
    blobs.upload_difference(folder)
    return ran


def _record(claim: Claim, context: WorkerContext, outcome: RankingResult, timings: dict[str, float]) -> None:
    with context.database.write() as connection:
        jobs.complete(connection, claim, {**outcome.result, "stage": "full", "timings": timings}, _now())
        rankings.save(connection, claim.job_id, outcome.table)
        rankings.save_summaries(connection, claim.job_id, outcome.summaries)


def _end(context: WorkerContext, write: Callable[[sa.Connection], Any]) -> None:
    try:
        with context.database.write() as connection:
            write(connection)
    except LeaseLost as error:
        log.info("job taken away", job=str(error))
    except sa.exc.OperationalError as error:
        # The lease runs out, and another attempt is made.
        log.warning("end of a job not written", error=str(error))


def _now() -> datetime:
    return datetime.now(UTC)
