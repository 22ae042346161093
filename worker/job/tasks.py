"""Claim, load, compute, record: all that a worker reads and writes, once a job."""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
import torch
from safetensors.torch import save_file

from service.domain.errors import SuspectsError, is_disk_full
from service.domain.job import JobError, Progress, State
from service.domain.specs import JobSpec
from service.store import evidence, jobs, rankings
from service.store.files import atomic_write
from service.store.jobs import Claim, Job, LeaseLost
from worker.data.decode import Canonical, open_canonical
from worker.job.context import WorkerContext, checkpoint_path, footing_path, latest_checkpoint
from worker.job.predictions import NO_EPOCH, measure_predictions
from worker.job.preparation import JobSamples, PreparedJob, fit, prepare
from worker.job.ranking import RankingResult, rank
from worker.job.recorded import open_recording
from worker.job.scoring import Scored, measure, score
from worker.training.loop import Diverged, EpochMetrics, TrainingState, checkpoints, learning_rate
from worker.training.search import find_rate

log = structlog.get_logger()

# The share of a job that lies behind it when a phase begins; measured on tables and small images.
_BEGINS = {State.PREPARING: 0.0, State.TRAINING: 0.05, State.SCORING: 0.65, State.RANKING: 0.95}
_ENDS = {State.PREPARING: 0.05, State.TRAINING: 0.65, State.SCORING: 0.95, State.RANKING: 1.0}

_BACKBONE = "running the frozen backbone"


class Stopping(Exception):
    """The worker was told to stop; the job goes back into the queue."""


def run(job_id: str, owner: str, station: WorkerContext) -> None:
    """Do one job from claim to ranking; returns quietly when it is not ours to do."""
    lease = timedelta(seconds=station.settings.lease_seconds)
    with station.database.write() as connection:
        held = jobs.claim(connection, job_id, owner, lease, _now())
    if held is None:
        log.info("not claimed", job=job_id)
        return
    try:
        with _heart(held, station) as heart:
            outcome, timings = _compute(held, station, heart)
        _record(held, station, outcome, timings)
    except LeaseLost:
        log.info("job taken away", job=job_id)
    except Stopping:
        _end(station, lambda connection: jobs.requeue(connection, held, _now()))
    except sa.exc.OperationalError:
        # The database is away: nobody can be told. The lease runs out and another attempt is made.
        log.exception("database lost", job=job_id)
    except Exception as error:
        log.exception("job failed", job=job_id)
        failure = _explain(error)
        _end(station, lambda connection: jobs.fail(connection, held, failure, _now()))


class Heartbeat:
    """Keeps the lease while the computation runs, and carries its progress."""

    def __init__(self, held: Claim, station: WorkerContext) -> None:
        self._held, self._station = held, station
        self._progress = Progress(phase=State.PREPARING)
        self._began = time.monotonic()
        self._over = threading.Event()
        self._lost = threading.Event()

    def enter(self, state: State, detail: str) -> None:
        """Begin a phase. Raises LeaseLost or Stopping."""
        self.tell(state, 0.0, detail)
        with self._station.database.write() as connection:
            jobs.advance(connection, self._held, state, self._progress, _now())

    def tell(self, state: State, share: float, detail: str) -> None:
        """Note how much of a phase is done, in [0, 1]. Raises LeaseLost or Stopping."""
        fraction = _BEGINS[state] + share * (_ENDS[state] - _BEGINS[state])
        elapsed = time.monotonic() - self._began
        left = elapsed * (1 - fraction) / fraction if fraction > _BEGINS[State.TRAINING] else None
        self._progress = Progress(
            fraction=fraction, phase=state, detail=detail, eta_seconds=None if left is None else round(left, 1)
        )
        if self._lost.is_set():
            raise LeaseLost(self._held.job_id)
        if self._station.stopping():
            raise Stopping

    def metrics(self, metrics: EpochMetrics) -> None:
        """Record an epoch's loss and accuracy. Raises LeaseLost."""
        with self._station.database.write() as connection:
            self._renew(connection)
            jobs.record_event(connection, self._held.job_id, "metrics", vars(metrics), _now())

    def beat(self) -> None:
        """Renew the lease until told to stop; runs in a thread of its own."""
        while not self._over.wait(min(self._station.settings.heartbeat_seconds, 1.0)):
            try:
                with self._station.database.write() as connection:
                    self._renew(connection)
            except LeaseLost:
                self._lost.set()
                return
            except sa.exc.SQLAlchemyError as error:
                log.warning("heartbeat missed", job=self._held.job_id, error=str(error))

    def stop(self) -> None:
        """End the thread."""
        self._over.set()

    def _renew(self, connection: sa.Connection) -> None:
        lease = timedelta(seconds=self._station.settings.lease_seconds)
        jobs.renew(connection, self._held, self._progress, lease, _now())


@contextmanager
def _heart(held: Claim, station: WorkerContext) -> Iterator[Heartbeat]:
    heart = Heartbeat(held, station)
    thread = threading.Thread(target=heart.beat, name=f"heart-{held.job_id}", daemon=True)
    thread.start()
    try:
        yield heart
    finally:
        heart.stop()
        thread.join()


@dataclass(frozen=True)
class _Measured:
    """What is known of the samples at the end of scoring, and what it took."""

    samples: JobSamples
    spec: JobSpec
    scored: Scored
    epochs: list[int]


def _compute(held: Claim, station: WorkerContext, heart: Heartbeat) -> tuple[RankingResult, dict[str, float]]:
    with station.database.read() as connection:
        job = jobs.get(connection, held.job_id)
        told = jobs.last_epoch(connection, held.job_id)
    if job is None:
        raise LeaseLost(held.job_id)
    blobs, clock = station.blobs, _Clock()
    dataset, scratch = open_canonical(blobs.canonical(job.dataset_id)), blobs.job(job.id) / "scratch"
    try:
        match dataset.header.modality:
            case "trace":
                found = _play(job, dataset, scratch, heart, clock)
            case "predictions":
                found = _look(job, dataset, scratch, heart, clock)
            case _:
                found = _train(job, dataset, scratch, station, heart, clock, told)
        heart.enter(State.RANKING, f"ranking {len(found.samples.rows)} samples")
        clock.lap("scoring_s")
        outcome = rank(found.samples, found.spec, found.scored, dataset)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    evidence.save(blobs.evidence(job.id), outcome.evidence, found.epochs, job.reference_dataset_id or job.dataset_id)
    clock.lap("ranking_s")
    return outcome, clock.laps


def _train(
    job: Job, dataset: Canonical, scratch: Path, station: WorkerContext, heart: Heartbeat, clock: "_Clock", told: int
) -> _Measured:
    spec, blobs = job.spec, station.blobs
    reference = open_canonical(blobs.canonical(job.reference_dataset_id)) if job.reference_dataset_id else None
    shelf = station.shelf(scratch, lambda share: heart.tell(State.PREPARING, share, f"{_BACKBONE}: {share:.0%}"))
    prepared = prepare(spec, dataset, reference, station.device, shelf)
    if prepared.footing is not None:
        prepared.footing.save(footing_path(blobs, job.id))
    if spec.training.find_learning_rate:
        heart.tell(State.PREPARING, 0.5, "looking for a learning rate")
        spec = _with_found_rate(prepared, spec, blobs.job(job.id) / "learning_rate.json")
    heart.enter(State.TRAINING, f"epoch 1/{spec.training.epochs}")
    clock.lap("preparing_s")
    folder = blobs.checkpoints(job.id)
    epochs = checkpoints(spec.training, _fit(prepared, spec, folder, heart, told))
    _keep_weights(checkpoint_path(folder, epochs[-1]), blobs.model(job.id))
    rates = [learning_rate(spec.training, epoch) for epoch in epochs]
    heart.enter(State.SCORING, "running the checkpoints over every sample")
    clock.lap("training_s")
    scored = score(
        prepared,
        spec,
        rates,
        lambda t: TrainingState.load(checkpoint_path(folder, epochs[t])).model,
        scratch,
        _measuring(heart),
    )
    return _Measured(prepared, spec, scored, epochs)


def _play(job: Job, dataset: Canonical, scratch: Path, heart: Heartbeat, clock: "_Clock") -> _Measured:
    """The same where somebody else has trained."""
    played = open_recording(job.spec, dataset, scratch)
    heart.enter(State.SCORING, "reading the recorded checkpoints")
    clock.lap("preparing_s")
    scored = measure(played.samples, job.spec, played.train, played.known, _measuring(heart))
    return _Measured(played.samples, job.spec, scored, played.epochs)


def _look(job: Job, dataset: Canonical, scratch: Path, heart: Heartbeat, clock: "_Clock") -> _Measured:
    """The same where somebody else has predicted."""
    heart.enter(State.SCORING, "reading the predictions")
    clock.lap("preparing_s")
    samples, scored = measure_predictions(job.spec, dataset, scratch, _measuring(heart))
    return _Measured(samples, job.spec, scored, [NO_EPOCH])


def _keep_weights(checkpoint: Path, path: Path) -> None:
    """Write the weights at the end of training in a form that anybody can read."""
    weights = {name: value.contiguous() for name, value in TrainingState.load(checkpoint).model.items()}
    with atomic_write(path, durable=True) as part:
        save_file(weights, part)


def _measuring(heart: Heartbeat) -> Callable[[float], None]:
    return lambda share: heart.tell(State.SCORING, share, "measuring influence")


def _with_found_rate(prepared: PreparedJob, spec: JobSpec, path: Path) -> JobSpec:
    # Written down, so that another attempt, on another machine maybe, goes on with the same.
    if not path.exists():
        found = find_rate(prepared.model, prepared.inputs, prepared.planted.labels, spec.training)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            part.write_text(json.dumps(asdict(found)))
    rate = json.loads(path.read_text())["rate"]
    return spec.model_copy(update={"training": spec.training.model_copy(update={"learning_rate": rate})})


def _fit(prepared: PreparedJob, spec: JobSpec, folder: Path, heart: Heartbeat, told: int) -> int:
    kept, epochs = checkpoints(spec.training), spec.training.epochs
    if spec.training.early_stopping is not None:
        kept = list(range(1, epochs + 1))  # which ones will be scored is known at the end
    resume = latest_checkpoint(folder)

    def after_epoch(state: TrainingState, metrics: EpochMetrics) -> None:
        # Metrics first: an epoch that is computed again, because its checkpoint was not yet written, tells the same.
        if metrics.epoch > told:
            heart.metrics(metrics)
        state.save(checkpoint_path(folder, state.epoch))
        if state.epoch - 1 not in kept:
            checkpoint_path(folder, state.epoch - 1).unlink(missing_ok=True)
        share = state.epoch / epochs
        heart.tell(State.TRAINING, share, f"epoch {min(state.epoch + 1, epochs)}/{epochs}")

    ran = fit(prepared, spec, resume, after_epoch)
    for epoch in set(kept) - set(checkpoints(spec.training, ran)):
        checkpoint_path(folder, epoch).unlink(missing_ok=True)
    return ran


def _record(held: Claim, station: WorkerContext, outcome: RankingResult, timings: dict[str, float]) -> None:
    with station.database.write() as connection:
        jobs.complete(connection, held, {**outcome.result, "timings": timings}, _now())
        rankings.save(connection, held.job_id, outcome.table)
        rankings.save_summaries(connection, held.job_id, outcome.summaries)


def _end(station: WorkerContext, write: Callable[[sa.Connection], Any]) -> None:
    try:
        with station.database.write() as connection:
            write(connection)
    except LeaseLost as error:
        log.info("job taken away", job=str(error))


def _explain(error: Exception) -> JobError:
    match error:
        case SuspectsError():
            return JobError(code=error.code, detail=error.detail)
        case Diverged():
            return JobError(code="diverged", detail=str(error))
        case MemoryError():
            detail = str(error) or "memory ran out; use a smaller model, batch or dataset"
            return JobError(code="out_of_memory", detail=detail)
        case torch.OutOfMemoryError():
            return JobError(code="out_of_memory", detail="the GPU's memory ran out; use a smaller model or batch")
        case OSError() if is_disk_full(error):
            return JobError(code="storage_full", detail="the disk is full; free some space, then retry the job")
        case _:
            return JobError(code="internal", detail=f"{type(error).__name__}; the worker's log has the details")


class _Clock:
    """Seconds of each phase."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self.laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = round(now - self._last, 3)
        self._last = now


def _now() -> datetime:
    return datetime.now(UTC)
