"""One rescoring in a worker: a completed job's samples are scored again by what people have verified since; no network is trained.

Its checkpoints, its recording or its predictions are measured once more, with the verified samples as trusted reference. What depends
on a reference gets new values: `anomalous`, `mislabeled`, signals that only a trusted reference gives, verdicts and suggestions.
All else, evidence included, stays as the job recorded it. So does the number of wrong labels: people review suspicious samples, and
these do not tell how many of the others are wrong, which an audit measures. Once it has, flags and certainty follow what reviewers said.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa
import structlog
import torch
from torch import Tensor

from service.domain.confidence import confidence_of
from service.domain.errors import ArtefactsUnavailable, Conflict, Invalid
from service.domain.rescoring import FEWEST_VERIFIED
from service.domain.review import Review
from service.domain.signal import HEADLINES, SIGNALS
from service.domain.specs import JobSpec
from service.store import audits, evidence, jobs, ranking_columns, rankings, rescorings, reviews, turns, versions
from service.store.answers import answers, is_measured, probability_by_rank
from service.store.jobs import Job
from service.store.rescorings import RescoringClaim, RescoringLost
from service.store.seal import read_json
from service.store.standing import Standing
from worker.data.canonical import Canonical, open_canonical
from worker.job.context import WorkerContext, checkpoint_path, found_rate_path, scratch_of, with_found_rate
from worker.job.endings import database_answers, write_ending
from worker.job.estimates import estimate_view
from worker.job.failures import explain
from worker.job.heartbeat import Stopping
from worker.job.measuring import Scored, measure
from worker.job.predictions import measure_predictions
from worker.job.preparation import JobSamples, prepare
from worker.job.ranking import Judged, Recalibrate, judge
from worker.job.recorded import open_recording
from worker.job.scoring import score
from worker.job.trees_beside import saved_answers
from worker.job.verified import Samples, VerifiedLabels, verified_labels, with_verified
from worker.job.warnings import reference_warnings, unavailable_signals
from worker.machine.gpu_health import still_computes
from worker.machine.threads import one_thread
from worker.signals.counts import CountEstimate
from worker.signals.doubts import Doubt
from worker.signals.summaries import ranking, summarise
from worker.training.loop import TrainingState, learning_rate

log = structlog.get_logger()

_REFERENCE_WARNINGS = frozenset(
    {"no_trusted_reference", "small_trusted_reference", "reference_sampled", "signals_not_computed"}
)


@dataclass(frozen=True)
class Rescored:
    """What has changed: columns of `suspects` with `index`, a further column, summaries, and the result of the job."""

    table: pa.Table
    wrong: npt.NDArray[Any]
    summaries: Mapping[str, Mapping[str, Any]]
    result: Mapping[str, Any]
    samples: int


def claim_next_rescoring(owner: str, context: WorkerContext) -> RescoringClaim | None:
    """Claim the rescoring that is next, whichever job it is of; None where none waits."""
    lease = timedelta(seconds=context.settings.lease_seconds)
    with context.database.write() as connection:
        return turns.claim_next_rescoring(connection, owner, lease, _now())


def run_rescoring(claim: RescoringClaim, context: WorkerContext) -> None:
    """Score the samples of a completed job again.

    A rescoring that cannot be done ends as failed, and the ranking stays; a worker that is stopping puts it back into the queue.
    """
    job_id = claim.job_id
    try:
        with (
            _lease_of(claim, context) as go_on,
            scratch_of(context.blobs, job_id, claim.owner, lambda: _is_held(claim, context)) as scratch,
        ):
            _rescore(claim, context, scratch, go_on)
    except RescoringLost:
        log.info("rescoring taken away", job=job_id)
    except (Stopping, ArtefactsUnavailable) as error:
        log.info("rescoring put back", job=job_id, error=str(error))
        write_ending(context, job_id, lambda connection: rescorings.put_back(connection, claim))
    except sa.exc.OperationalError as error:
        log.warning("the database is away or refused a write, the rescoring waits", job=job_id, error=str(error))
        if not database_answers(context):
            write_ending(context, job_id, lambda connection: rescorings.put_back(connection, claim))
    except Exception as error:
        if isinstance(error, Invalid | Conflict):
            log.info("rescoring failed by what was asked", job=job_id, error=error.detail)
        else:
            log.exception("rescoring failed", job=job_id)
        if not still_computes(context.device):
            return  # this process ends; the lease runs out, and another attempt is made
        failure = explain(error)
        write_ending(context, job_id, lambda connection: rescorings.fail(connection, claim, failure, _now()))


def _is_held(claim: RescoringClaim, context: WorkerContext) -> bool:
    with context.database.read() as connection:
        return rescorings.is_held(connection, claim)


def _rescore(claim: RescoringClaim, context: WorkerContext, scratch: Path, go_on: Callable[[float], None]) -> None:
    with context.database.read() as connection:
        job = jobs.get(connection, claim.job_id)
        if job is None or job.result is None:
            raise RescoringLost(claim.job_id)
        held = reviews.latest(connection, job.id)
        confirmed = frozenset(versions.verified_ids(connection, job.dataset_id))
        last = reviews.last_number(connection, job.id)
        before = rescorings.folder(connection, context.blobs, job.id, rescorings.version(connection, job.id))
        # Rankings of earlier versions of this software have no files yet, and their table is about to change.
        columns = ranking_columns.opened(connection, before, job.id)
        for by in HEADLINES:
            if by in job.result["signals"]:
                columns.order(connection, job.id, by)
        summaries = rankings.summaries(connection, job.id)
        audit = audits.get(connection, job.id)
        standing = Standing(job.id, columns)
        said = answers(connection, job.id, columns, standing, 1 if audit is None else audit.confirm)
        unsure = rankings.ids_by_index(connection, job.id, columns.index[list(said.unconfirmed)].tolist())
        measured = is_measured(connection, job.id, columns, said.of_row)
    # What too few people call wrong yet is not verified.
    held = {name: review for name, review in held.items() if name not in unsure}

    def recalibrate(scores: Tensor) -> Tensor:
        order = np.argsort(-scores.numpy(), kind="stable")
        return torch.from_numpy(probability_by_rank(order, said.of_row))

    with context.files_of(job):
        dataset = open_canonical(context.blobs.canonical(job.dataset_id))
        samples, scored = _measured(job, dataset, held, confirmed, context, scratch, go_on)
        found = _judged(job, dataset, samples, scored, summaries, recalibrate if measured else None)
        folder = context.blobs.ranking(job.id, claim.version, claim.attempt)
        ranking_columns.save_version(folder, before, found.table, {"wrong": found.wrong})
        context.blobs.upload(folder)
    told = {
        "version": claim.version,
        "samples": found.samples,
        "reviews": last,
        "recalibrated": measured,
        "at": _now().isoformat(),
    }
    with context.database.write() as connection:
        rescorings.complete(connection, claim, found.samples, last, _now())
        rankings.replace_columns(connection, job.id, found.table)
        rankings.replace_summaries(connection, job.id, found.summaries)
        jobs.replace_result(connection, job.id, {**found.result, "rescored": told})
    log.info("scored again", job=job.id, version=claim.version, samples=found.samples)


def _measured(
    job: Job,
    dataset: Canonical,
    held: Mapping[str, Review],
    confirmed: frozenset[str],
    context: WorkerContext,
    scratch: Path,
    go_on: Callable[[float], None],
) -> tuple[JobSamples, Scored]:
    spec = _spec_of(job, context)

    def verified_in(samples: JobSamples) -> VerifiedLabels:
        return verified_labels(samples, dataset, held, confirmed)

    match dataset.header.modality:
        case "trace":
            recording = open_recording(
                spec, dataset, scratch, lambda samples: _trusting(samples, spec, verified_in(samples))
            )
            scored = measure(recording.samples, spec, recording.train, recording.reference, go_on)
            return recording.samples, scored
        case "predictions":
            return measure_predictions(
                spec, dataset, scratch, go_on, lambda samples: _trusting(samples, spec, verified_in(samples))
            )
    reference = None
    if job.reference_dataset_id is not None:
        reference = open_canonical(context.blobs.canonical(job.reference_dataset_id))
    backbones = context.backbone_context(scratch, go_on)
    plain = prepare(spec, dataset, reference, context.device, backbones)
    prepared = _trusting(plain, spec, verified_in(plain), own_dataset=reference is None)
    folder = context.blobs.checkpoints(job.id)
    # Not all that lie in the folder: a worker that was stopped for longer than its lease may have written one more.
    epochs = evidence.scored_epochs(context.blobs.evidence(job.id))
    if not all(checkpoint_path(folder, epoch).exists() for epoch in epochs):
        raise Conflict("the checkpoints of this job are gone: run it again")
    rates = [learning_rate(spec.training, epoch) for epoch in epochs]

    def load(t: int) -> dict[str, Tensor]:
        return TrainingState.load(checkpoint_path(folder, epochs[t])).model

    by_trees = saved_answers(folder, len(prepared.rows))
    return prepared, score(prepared, spec, rates, load, scratch, go_on, by_trees=by_trees)


def _trusting(samples: Samples, spec: JobSpec, verified: VerifiedLabels, *, own_dataset: bool = True) -> Samples:
    changed = with_verified(samples, spec, verified, own_dataset=own_dataset)
    if len(changed.reference_labels) < FEWEST_VERIFIED:
        raise Conflict(
            f"{len(changed.reference_labels)} of the samples that the job knows are verified, and a comparison needs "
            f"{FEWEST_VERIFIED}: keep or relabel more of them"
        )
    return changed


def _judged(
    job: Job,
    dataset: Canonical,
    samples: JobSamples,
    scored: Scored,
    before: Mapping[str, Mapping[str, Any]],
    recalibrate: Recalibrate | None,
) -> Rescored:
    m, spec, known = scored.measurements, job.spec, job.result or {}
    names = [*HEADLINES, *(name for name in spec.signals if SIGNALS[name].trusted_reference)]
    generator = torch.Generator().manual_seed(spec.training.seed)
    with one_thread():
        judged = judge(m, names, generator, _counted(known["estimates"]["mislabeled"]), recalibrate)
        new = summarise(judged.signals, samples.planted.kinds)
    signals = list(dict.fromkeys([*known["signals"], *judged.signals]))
    estimates = {
        **known["estimates"],
        "anomalous": estimate_view(judged.verdicts.anomalous_estimate, len(m.labels), spec.model.name),
    }
    warnings = [one for one in known["warnings"] if one["code"] not in _REFERENCE_WARNINGS]
    new_warnings = [*reference_warnings(m), *unavailable_signals(spec, m, signals)]
    return Rescored(
        table=_table(dataset, samples, judged),
        wrong=judged.wrong.numpy(),
        summaries=_summaries(before, new, signals),
        result={
            **known,
            "confidence": confidence_of(
                dataset.header.modality, calibrated=judged.calibrated, by_reviews=recalibrate is not None
            ),
            "signals": signals,
            "estimates": estimates,
            "warnings": [*warnings, *(one.model_dump() for one in new_warnings)],
        },
        samples=len(samples.reference_labels),
    )


def _counted(told: Mapping[str, Any]) -> CountEstimate:
    """The number of wrong labels that the job told. A doubt counts, whatever its cause."""
    doubt = None if told["status"] != "unknown" else Doubt("overlap", told["high"] or 0)
    return CountEstimate(told["count"], told["low"] or 0, told["high"] or 0, doubt)


def _table(dataset: Canonical, samples: JobSamples, judged: Judged) -> pa.Table:
    classes = np.array(samples.classes, dtype=object)
    return pa.table(
        {
            "index": dataset.index[samples.rows].numpy(),
            "suggested_label": pa.array(classes[judged.suggested.numpy()], pa.string()),
            "suggested_confidence": judged.confidence.double().numpy(),
            "verdict": pa.array(judged.verdict, pa.string()),
            **{name: scores.double().numpy() for name, scores in judged.signals.items()},
        }
    )


def _summaries(
    before: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]], signals: list[str]
) -> dict[str, Mapping[str, Any]]:
    """Those of the new scores. Correlations with scores that stay are those of the job."""
    changed = {
        name: {
            **summary,
            "correlations": {**before.get(name, {}).get("correlations", {}), **summary["correlations"]},
        }
        for name, summary in new.items()
    }
    every = {**before, **changed}
    of_signals = {name: every[name] for name in signals if name in every}
    return {**changed, "ranking": {"by_kind": ranking(of_signals)}}


@contextmanager
def _lease_of(claim: RescoringClaim, context: WorkerContext) -> Iterator[Callable[[float], None]]:
    """Renew the lease until the block ends. What it gives is called with shares done; it raises RescoringLost or Stopping."""
    over, lost = threading.Event(), threading.Event()
    lease = timedelta(seconds=context.settings.lease_seconds)

    def renew() -> None:
        while not over.wait(min(context.settings.heartbeat_seconds, 1.0)):
            try:
                with context.database.write() as connection:
                    rescorings.renew(connection, claim, lease, _now())
            except RescoringLost:
                lost.set()
                return
            except sa.exc.SQLAlchemyError as error:
                log.warning("heartbeat missed", job=claim.job_id, error=str(error))

    def go_on(_share: float) -> None:
        if lost.is_set():
            raise RescoringLost(claim.job_id)
        if context.stopping():
            raise Stopping

    thread = threading.Thread(target=renew, name=f"rescoring-{claim.job_id}", daemon=True)
    thread.start()
    try:
        yield go_on
    finally:
        over.set()
        thread.join()


def _spec_of(job: Job, context: WorkerContext) -> JobSpec:
    """The spec with the learning rate that the job found, where it looked for one."""
    if not job.spec.training.find_learning_rate:
        return job.spec
    found = read_json(found_rate_path(context.blobs, job.id))
    if found is None:
        raise Conflict("the learning rate that this job found is lost: run it again")
    return with_found_rate(job.spec, found)


def _now() -> datetime:
    return datetime.now(UTC)
