"""Submission of jobs. Every job begins here: over a dataset, an upload or a project's tasks, and as a rerun of another.

A job is written in one transaction. The queue is told only after the commit.
"""

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from service.actions.once import create_once, made_before
from service.actions.resolve_job import find_stored_dataset, resolve_job
from service.actions.spend_job import spend_job
from service.actions.upload import UploadedFile, upload
from service.domain.access import Caller
from service.domain.dataset import DatasetInfo
from service.domain.errors import NotFound, TooMany
from service.domain.ids import new_id
from service.domain.job_queue import queue_of
from service.domain.names import one_line
from service.domain.specs import JobRequest, JobSpec, PullJobRequest, UploadJobRequest
from service.label_studio.projects import connect, find_project, placeholder, read_control
from service.services import Services
from service.store import datasets, jobs, pulls, webhooks
from service.store.idempotency import IdempotentRequest

_RETRY_FULL_S = 30


@dataclass(frozen=True)
class NewJob:
    """A job before it is written. `placeholder` is its dataset when its tasks are still to be pulled."""

    id: str
    spec: JobSpec
    placeholder: DatasetInfo | None = None


def submit(
    services: Services,
    caller: Caller,
    request: JobRequest | PullJobRequest | UploadJobRequest,
    once: IdempotentRequest,
    file: UploadedFile | None = None,
) -> str:
    """Begin the requested job, and return its id. An UploadJobRequest comes with a `file`.

    Where an earlier request had the same key, the id is that of its job. Raises Invalid, NotFound, and TooMany for a full
    queue or a quota that is used up; for a file what ingest raises, for a project Conflict and Upstream.
    """
    known = made_before(services, once)
    if known is not None:
        return known
    job_id = new_id("job_")
    info = _samples(services, job_id, request, file)
    source = request.source if isinstance(request, PullJobRequest) else None
    spec = resolve_job(services, request, info, source)

    def write_beside(connection: sa.Connection) -> None:
        spend_job(services, connection, caller)
        if request.webhook is not None:
            webhooks.add(connection, job_id, request.webhook.url, services.vault.seal(request.webhook.secret))

    try:
        return begin(services, NewJob(job_id, spec, None if source is None else info), write_beside, once)
    except TooMany:
        known = made_before(services, once)  # by a request that was quicker, and took the last place
        if known is None:
            raise
        return known
    except sa.exc.IntegrityError as error:
        what = "dataset" if source is None else "connection"
        raise NotFound(f"the {what}, the reference or the network was deleted in the meantime") from error


def begin(
    services: Services,
    job: NewJob,
    beside: Callable[[sa.Connection], object],
    once: IdempotentRequest | None = None,
) -> str:
    """Write a job, and what `beside` writes, in one transaction; then tell the queue. Returns the id of the job.

    The id is another job's when a request with the same key was faster. Raises TooMany when the queue is full, and
    IntegrityError when something that the job needs was deleted in the meantime.
    """

    def write(connection: sa.Connection) -> None:
        check_room(services, connection)
        if job.placeholder is not None:
            datasets.add(connection, job.placeholder)
        jobs.add(connection, job.id, job.spec, services.now())
        if job.placeholder is not None and job.spec.source is not None:
            pulls.add(connection, job.id, job.spec.source)
        beside(connection)

    begun = create_once(services, once or IdempotentRequest(None, ""), job.id, write)
    # Tasks are pulled first; whoever has pulled them tells the queue.
    if begun == job.id and job.placeholder is None:
        services.queue.wake(job.id, job.spec.priority, queue_of(job.spec))
    return begun


def _samples(
    services: Services, job_id: str, request: JobRequest | PullJobRequest | UploadJobRequest, file: UploadedFile | None
) -> DatasetInfo:
    """The stored dataset, the one made of the file, or a placeholder for tasks that are read later."""
    match request:
        case JobRequest():
            return find_stored_dataset(services, request.dataset)
        case UploadJobRequest():
            assert file is not None
            return upload(services, file, request.dataset)
        case PullJobRequest():
            with connect(services, request.connection) as client:
                project = find_project(client, request.project)
            control = read_control(str(project.get("label_config") or ""), request.from_name)
            title = request.name or one_line(str(project.get("title") or ""))
            return placeholder(new_id("ds_"), job_id, title, control, services.now())


def check_room(services: Services, connection: sa.Connection) -> None:
    """Raise TooMany where the project of the connection has as many waiting jobs as it may."""
    waiting, limit = jobs.count_waiting(connection), services.settings.max_waiting_jobs
    if waiting >= limit:
        raise TooMany(f"{waiting} jobs of this project wait already; it may have {limit}", retry_after=_RETRY_FULL_S)
