"""Reads the tasks of waiting jobs from Label Studio into datasets, then puts the jobs into the queue.

A pull claims the job as a worker does: the lease is renewed, progress is shown, a cancelled job is noticed, and a job
whose service died is pulled again.
"""

import secrets
import threading
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Self

import sqlalchemy as sa
import structlog

from service.actions.verified import next_reference
from service.domain.auto import with_images
from service.domain.dataset import DatasetInfo
from service.domain.errors import ArtefactsUnavailable, SuspectsError, invalid
from service.domain.job import JobError, Progress, State
from service.domain.specs import Reference
from service.ingest.identities import missing_ids
from service.label_studio.projects import connect
from service.label_studio.pull.read_project import read_project
from service.services import Services
from service.store import datasets, jobs, loops, pulls
from service.store.jobs import Claim, Job, LeaseLost
from service.store.pulls import Pull
from service.store.seal import seal_folder

log = structlog.get_logger()

_SHARE = 0.05  # of a job's progress; the worker counts its preparation the same


def pull_due(services: Services) -> int:
    """Try every pull that is due; returns their number. Two services at once pull each job once."""
    with services.database.read() as connection:
        due = pulls.due(connection)
    for pull in due:
        _pull(services, pull)
    return len(due)


def _pull(services: Services, pull: Pull) -> None:
    """Claim the job, read its tasks, queue it. Does nothing when another service has the claim."""
    owner = f"pull-{secrets.token_hex(8)}"
    lease = timedelta(seconds=services.settings.lease_seconds)
    with services.database.write() as connection:
        claim = jobs.claim(connection, pull.job_id, owner, lease, services.now(), to_pull=True)
        job = jobs.get(connection, pull.job_id)
    if claim is None or job is None:
        return
    services = services.of(job.project)
    log.info("pull started", job=pull.job_id, project=pull.project)
    try:
        with _Heartbeat(services, claim) as heartbeat:
            tasks = _read(services, pull, job, heartbeat)
            try:
                _save(services, claim, job, tasks)
            except sa.exc.IntegrityError:
                _save(services, claim, job, tasks)  # another job has just saved the same tasks; now they are found
    except LeaseLost:
        log.info("pull stopped, the job was taken away", job=pull.job_id)
        return
    except (sa.exc.OperationalError, ArtefactsUnavailable):
        raise  # the database or the store cannot be reached; the lease ends and the pull starts again
    except SuspectsError as error:
        log.warning("pull failed", job=pull.job_id, error=error.detail)
        _fail(services, claim, JobError(code=error.code, detail=error.detail))
        return
    except Exception as error:  # whatever it is, the job must not stay claimed
        log.exception("pull failed", job=pull.job_id)
        detail = f"pulling: {type(error).__name__}; the service's log has the details"
        _fail(services, claim, JobError(code="internal", detail=detail))
        return
    services.queue.wake(pull.job_id, job.priority, job.queue)


class _Heartbeat:
    """Renews a claim's lease in a thread, with the newest progress, as long as the `with` block runs."""

    def __init__(self, services: Services, claim: Claim) -> None:
        self._services, self._claim = services, claim
        self._progress = Progress(phase=State.PREPARING, detail="pulling tasks")
        self._stopped, self._lost = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"heartbeat-{claim.job_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def report(self, detail: str, share: float) -> None:
        """Set the progress; `share` of the pull is between 0 and 1. Raises LeaseLost for a cancelled or lost job."""
        self._progress = Progress(fraction=_SHARE * share, phase=State.PREPARING, detail=detail)
        if self._lost.is_set():
            raise LeaseLost(detail)

    def _run(self) -> None:
        services = self._services
        lease = timedelta(seconds=services.settings.lease_seconds)
        while not self._stopped.wait(min(services.settings.heartbeat_seconds, 1.0)):
            try:
                with services.database.write() as connection:
                    jobs.renew(connection, self._claim, self._progress, lease, services.now())
            except LeaseLost:
                self._lost.set()
                return
            except sa.exc.SQLAlchemyError as error:
                log.warning("heartbeat missed", job=self._claim.job_id, error=str(error))


@dataclass(frozen=True)
class _PulledTasks:
    """The new dataset, the one that stood for it until now, and the job's new reference."""

    placeholder: DatasetInfo
    info: DatasetInfo
    reference: Reference | None


def _read(services: Services, pull: Pull, job: Job, heartbeat: _Heartbeat) -> _PulledTasks:
    with services.database.read() as connection:
        placeholder = datasets.get(connection, job.dataset_id)
    source, origin = job.spec.source, services.blobs.origin(job.id)
    if placeholder is None or source is None:
        raise LeaseLost(job.id)
    with connect(services, pull.connection_id) as client:
        info = read_project(services, client, source, placeholder, heartbeat.report, origin)
    seal_folder(services.blobs.dataset(placeholder.id))
    services.blobs.upload(services.blobs.dataset(placeholder.id), origin)
    return _PulledTasks(placeholder, info, _reference(services, job, placeholder.id))


def _reference(services: Services, job: Job, dataset_id: str) -> Reference | None:
    """The job's reference. Raises Invalid for samples that are not tasks, unless the job is run again."""
    reference = job.spec.reference
    with services.database.read() as connection:
        is_rerun = loops.is_rerun(connection, job.id)
    if is_rerun:
        return next_reference(services, job.spec, dataset_id)
    if reference is not None and reference.samples is not None:
        unknown = missing_ids(services.blobs.canonical(dataset_id), reference.samples)
        if unknown:
            msg = f"no task {unknown[0]!r} among the labelled ones ({len(unknown)} of these are not)"
            raise invalid(["reference", "samples"], msg)
    return reference


def _save(services: Services, claim: Claim, job: Job, tasks: _PulledTasks) -> None:
    """Save the dataset, or use the one that has the same tasks and labels already."""
    placeholder, info = tasks.placeholder, tasks.info
    with services.database.write() as connection:
        known = datasets.by_digest(connection, info.digest)
        if known is None:
            datasets.update(connection, info)
        dataset = (known or placeholder).id
        spec = job.spec.model_copy(update={"dataset": dataset, "reference": tasks.reference})
        jobs.queue_pulled(connection, claim, with_images(spec, info), services.now())
        if known is not None and known.id != placeholder.id:
            datasets.remove(connection, placeholder.id)
    if known is not None and known.id != placeholder.id:
        services.blobs.remove(services.blobs.dataset(placeholder.id))
    log.info("pull completed", job=job.id, rows=info.rows, skipped=info.skipped_rows)


def _fail(services: Services, claim: Claim, error: JobError) -> None:
    try:
        with services.database.write() as connection:
            jobs.fail(connection, claim, error, services.now())
    except LeaseLost:
        log.info("pull stopped, the job was taken away", job=claim.job_id)
