"""One job in a worker: claim, load, compute, record."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
import structlog
import torch
from opentelemetry.trace import StatusCode, get_current_span

from service.domain.auto import from_scratch, with_network
from service.domain.errors import ArtefactsUnavailable, Damaged, Invalid, is_disk_full
from service.domain.issue import SUMMARY
from service.domain.job import JobError, State
from service.store import counters, evidence, job_events, jobs, ranking_columns, rankings, searched_texts, turns
from service.store.jobs import Claim, Job, LeaseLost
from worker.backbones.at_hand import backbone_at_hand
from worker.data.canonical import Canonical, open_canonical
from worker.issues.find import find_issues
from worker.job.attempt import JobAttempt, ScoredJob
from worker.job.context import CheckpointLost, WorkerContext, scratch_of
from worker.job.endings import database_answers, write_ending
from worker.job.failures import explain
from worker.job.heartbeat import Heartbeat, Stopping, heartbeat_of
from worker.job.measuring import measure
from worker.job.phase_timer import PhaseTimer
from worker.job.plan import plan_of
from worker.job.predictions import NO_EPOCH, measure_predictions
from worker.job.ranking import RankingResult, held_out_guess, rank
from worker.job.recorded import open_recording
from worker.job.sharing import sharing_of
from worker.job.trained import score_trained
from worker.machine.gpu_health import still_computes
from worker.machine.threads import one_thread
from worker.signals.measurements import Measurements

log = structlog.get_logger()


def claim_next(owner: str, context: WorkerContext) -> Claim | None:
    """Claim the job that is next in the database, of those that this worker takes; None where none waits. `owner` must differ from call to call."""
    with context.database.write() as connection:
        return turns.claim_next(connection, owner, context.settings.lease, _now(), context.queues)


def run(claim: Claim, context: WorkerContext) -> None:
    """Do a claimed job, to its recorded ranking.

    A job that cannot be done ends as failed; a worker that is stopping puts it back into the queue. Of a job that was deleted meanwhile
    no file is left.
    """
    try:
        _attempt(claim, context)
    finally:
        _remove_deleted(claim.job_id, context)


def _remove_deleted(job_id: str, context: WorkerContext) -> None:
    """Remove what an attempt wrote after its job was deleted; whoever deleted it removed what there was then."""
    try:
        with context.database.read() as connection:
            deleted = not jobs.exists(connection, job_id)
        if deleted:
            context.blobs.remove(context.blobs.job(job_id))
    except (sa.exc.SQLAlchemyError, ArtefactsUnavailable, OSError) as error:
        log.warning("files of a job that may be deleted stay", job=job_id, error=str(error))


def _attempt(claim: Claim, context: WorkerContext) -> None:
    job_id = claim.job_id
    try:
        with heartbeat_of(claim, context) as heartbeat:
            outcome, timings = _compute(claim, context, heartbeat)
        _record(claim, context, outcome, timings)
        log.info("job completed", job=job_id, attempt=claim.attempt, **timings)
    except LeaseLost:
        log.info("job taken away", job=job_id)
    except Stopping:
        write_ending(context, job_id, lambda connection: jobs.requeue(connection, claim, _now()))
    except ArtefactsUnavailable as error:
        log.warning("artefact store away, the job waits", job=job_id, error=error.detail)
        waits_for = "the artefact store"
        write_ending(context, job_id, lambda connection: jobs.requeue(connection, claim, _now(), waits_for=waits_for))
    except CheckpointLost as error:
        log.warning("checkpoint lost, going back", job=job_id, error=str(error))
        _go_back(claim, context, _damaged(claim, error))
    except Exception as error:
        if isinstance(error, sa.exc.OperationalError) and not is_disk_full(error):
            _put_back(claim, context, error)
            return
        if isinstance(error, Damaged) and context.blobs.forget(error):
            _go_back(claim, context, _damaged(claim, error))
            return
        if isinstance(error, Invalid):
            # The client's options do not fit the data; where in the code that was found helps nobody.
            log.info("job failed by its options", job=job_id, error=error.detail)
        else:
            log.exception("job failed", job=job_id)
        if not still_computes(context.device):
            # Whatever this process did next would fail, so it ends after this task; the next process may do the job.
            _go_back(claim, context, _gpu_lost(claim))
            return
        failure = explain(error)
        get_current_span().set_status(StatusCode.ERROR, failure.code)
        write_ending(context, job_id, lambda connection: jobs.fail(connection, claim, failure, _now()))


def _put_back(claim: Claim, context: WorkerContext, error: Exception) -> None:
    """Queue a job again that could not be written down: no attempt is used up where the database is away."""
    if database_answers(context):
        log.error("the database refused a write, going back", job=claim.job_id, error=str(error))
        _go_back(claim, context, explain(error))
        return
    log.warning("database away, the job waits", job=claim.job_id, error=str(error))
    waits_for = "the database"
    write_ending(context, claim.job_id, lambda connection: jobs.requeue(connection, claim, _now(), waits_for=waits_for))


def _go_back(claim: Claim, context: WorkerContext, failure: JobError) -> None:
    """Queue the job again, to go on from what is sound. Each time is an attempt, the last of which is a failure: a disk may damage every file."""
    if claim.attempt >= context.settings.max_attempts:
        write_ending(context, claim.job_id, lambda connection: jobs.fail(connection, claim, failure, _now()))
    else:
        write_ending(context, claim.job_id, lambda connection: jobs.requeue(connection, claim, _now(), counted=True))


def _damaged(claim: Claim, error: Exception) -> JobError:
    return JobError(code="damaged", detail=f"{error}; this happened {claim.attempt} times: examine the disk")


def _gpu_lost(claim: Claim) -> JobError:
    return JobError(
        code="worker_lost",
        detail=f"the GPU stopped in each of {claim.attempt} attempts to compute this job; the workers' logs say why",
    )


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
    with context.database.read() as connection:
        heartbeat.expect(plan_of(connection, job.spec, dataset.header, len(dataset.ids)))
    heartbeat.report(State.PREPARING, 0.0, "reading the samples")
    with scratch_of(blobs, job.id, claim.owner, heartbeat.is_held) as scratch:
        attempt = JobAttempt(job, dataset, scratch, context, heartbeat, timer)
        match dataset.header.modality:
            case "trace":
                found = _score_recorded(attempt)
            case "predictions":
                found = _score_predicted(attempt)
            case _:
                found = score_trained(attempt, last_recorded_epoch)
        heartbeat.enter(State.RANKING, f"ranking {len(found.samples.rows)} samples")
        timer.lap("scoring_s")
        outcome = rank(found.samples, found.spec, found.scored, dataset)
        outcome = replace(outcome, summaries={**outcome.summaries, SUMMARY: _issues(attempt, found)})
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


def _issues(attempt: JobAttempt, found: ScoredJob) -> dict[str, Any]:
    """What is wrong in the data of a job beside its labels."""
    samples, measured, other = found.samples, found.scored.measurements, attempt.job.reference_dataset_id
    reference = None if other is None else open_canonical(attempt.blobs.canonical(other))
    features = measured.position.features if isinstance(measured, Measurements) else None
    threads = torch.get_num_threads()
    with one_thread():
        return find_issues(
            attempt.dataset,
            samples.rows,
            samples.planted,
            reference_rows=samples.reference_rows,
            reference=reference,
            features=features,
            guess=held_out_guess(measured),
            seed=found.spec.training.seed,
            threads=threads,
        )


def _with_model(job: Job, dataset: Canonical, claim: Claim, context: WorkerContext) -> Job:
    """The job with the model that it trains. The first attempt decides, so that later ones, perhaps elsewhere, give the same bits."""
    if job.spec.fallback is None or job.spec.fallback.used is not None:
        return job
    found = backbone_at_hand(dataset.header.modality, context.settings)
    spec = from_scratch(job.spec, found.reason) if found.name is None else with_network(job.spec, found.name)
    with context.database.write() as connection:
        jobs.decide_model(connection, claim, spec)
    return job.model_copy(update={"spec": spec})


def _score_recorded(attempt: JobAttempt) -> ScoredJob:
    """Score a training that was recorded elsewhere."""
    job, heartbeat = attempt.job, attempt.heartbeat
    recording = open_recording(job.spec, attempt.dataset, attempt.scratch)
    heartbeat.enter(State.SCORING, "reading the recorded checkpoints")
    attempt.timer.lap("preparing_s")
    with sharing_of(heartbeat.claim, attempt.context) as sharing:
        scored = measure(
            recording.samples,
            job.spec,
            recording.train,
            recording.reference,
            attempt.report_scoring,
            begin=sharing.begin,
            device=attempt.context.device,
        )
    return ScoredJob(recording.samples, job.spec, scored, recording.epochs)


def _score_predicted(attempt: JobAttempt) -> ScoredJob:
    """Score out-of-sample predictions, for which nothing is trained."""
    spec = attempt.job.spec
    attempt.heartbeat.enter(State.SCORING, "reading the predictions")
    attempt.timer.lap("preparing_s")
    samples, scored = measure_predictions(spec, attempt.dataset, attempt.scratch, attempt.report_scoring)
    return ScoredJob(samples, spec, scored, [NO_EPOCH])


def _record(claim: Claim, context: WorkerContext, outcome: RankingResult, timings: dict[str, float]) -> None:
    with context.database.write() as connection:
        jobs.complete(connection, claim, {**outcome.result, "stage": "full", "timings": timings}, _now())
        rankings.save(connection, claim.job_id, outcome.table)
        rankings.save_summaries(connection, claim.job_id, outcome.summaries)
        counters.count_completed(connection, timings)


def _now() -> datetime:
    return datetime.now(UTC)
