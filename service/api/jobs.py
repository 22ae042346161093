"""Jobs: submit, look, cancel, retry, delete. A job is written down first; only then the queue is told."""

from collections.abc import Mapping
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Query, Request, Response

from service.actions.make_version import would_change
from service.actions.upload import made_before, request_digest, take_in
from service.actions.verified import verified
from service.api.http import paging
from service.api.http.bodies import Body, Form, Json, names_connection, parsed
from service.api.http.dependencies import IdempotencyKey, ServicesDependency, authorize
from service.api.http.errors import problems
from service.api.http.openapi import JOB_BODY
from service.api.networks import check_network
from service.api.schemas.jobs import JobPage, JobView
from service.domain.dataset import DatasetInfo
from service.domain.errors import Conflict, FieldError, NotFound, TooMany, invalid_fields
from service.domain.ids import new_id
from service.domain.job import ENDED, State
from service.domain.resolve import resolve
from service.domain.specs import JobOptions, JobRequest, JobSpec, Loop, PullJobRequest, Reference, UploadJobRequest
from service.domain.webhook import WebhookRequest
from service.ingest.identities import missing_ids
from service.label_studio.projects import connect, control_of, project_of, spec_of, unpulled, write
from service.outbound.addresses import names_private_host
from service.services import Services
from service.store import datasets, idempotency, jobs, loops, webhooks
from service.store.jobs import Job
from service.store.loops import LoopStatus

router = APIRouter(tags=["jobs"], dependencies=[Depends(authorize)], responses=problems(401, 403, 503))

_RETRY_JOB_S = 2
_RETRY_FULL_S = 30
_LISTED = 20


@router.post(
    "/jobs",
    status_code=202,
    summary="Submit a job",
    responses=problems(400, 404, 409, 413, 415, 422, 429, 502, 507),
    openapi_extra=JOB_BODY,
)
def submit_job(body: Body, key: IdempotencyKey, services: ServicesDependency, response: Response) -> JobView:
    """Of a dataset that is there (JSON), of a file that comes along (multipart), or of a labelling tool's tasks (JSON).

    Tasks are read before the job enters the queue; until then its dataset has no rows, and `progress` says how far it is.
    Every default is resolved and echoed in `spec`. Follow `links.events`, or ask again after `Retry-After` seconds.
    """
    match body:
        case Json():
            of_tasks = names_connection(body.value) and body.value.get("dataset") is None
            job_id = (_of_tasks if of_tasks else _of_dataset)(services, key, body.value)
        case Form():
            upload = parsed(UploadJobRequest, body.spec, "spec")
            asked = request_digest("POST /jobs", body.digest, upload)
            job_id = made_before(services, key, asked) or _submit(
                services, key, asked, upload, _uploaded(services, body, upload)
            )
    response.headers["Location"] = f"/jobs/{job_id}"
    response.headers["Retry-After"] = str(_RETRY_JOB_S)
    return view(services, find_job(services, job_id))


def _of_dataset(services: Services, key: str | None, value: Any) -> str:
    request = parsed(JobRequest, value)
    asked = request_digest("POST /jobs", request)
    known = made_before(services, key, asked)
    if known is not None:
        return known
    info = _named(services, request.dataset)
    if not services.blobs.canonical(info.id).exists():
        raise _invalid(["dataset"], "its tasks are still being pulled, or could not be; see the job that pulls them")
    return _submit(services, key, asked, request, info)


def _of_tasks(services: Services, key: str | None, value: Any) -> str:
    request = parsed(PullJobRequest, value)
    asked = request_digest("POST /jobs", request)
    return made_before(services, key, asked) or _pull(services, key, asked, request)


def _pull(services: Services, key: str | None, asked: str, request: PullJobRequest) -> str:
    """Look whether the project can be read, and write the job down; its tasks are read afterwards."""
    job_id, now = new_id("job_"), services.now()
    with connect(services, request.connection) as client:
        project = project_of(client, request.project)
    control = control_of(str(project.get("label_config") or ""), request.from_name)
    info = unpulled(new_id("ds_"), job_id, request.name or str(project.get("title") or ""), control, now)
    spec = spec_of(_with_verified(services, request, info), info, request.source)
    reference = spec.reference
    if reference is not None and reference.dataset is not None:
        _check_other(info, _named(services, reference.dataset, "reference", "dataset"))
    check_network(services, spec, info)
    _check_webhook(services, request.webhook)
    try:
        with services.database.write() as connection:
            _check_room(connection, services.settings.max_waiting_jobs)
            write(connection, job_id, spec, info, now)
            if request.webhook is not None:
                webhooks.add(connection, job_id, request.webhook.url, services.vault.seal(request.webhook.secret))
            if key is not None:
                idempotency.add(connection, key, asked, job_id, now)
    except sa.exc.IntegrityError as error:
        known = made_before(services, key, asked)
        if known is None:
            raise NotFound("the connection, the reference or the network was deleted in the meantime") from error
        return known
    return job_id


def _named(services: Services, dataset_id: str, *field: str) -> DatasetInfo:
    with services.database.read() as connection:
        info = datasets.get(connection, dataset_id)
    if info is None:
        place: list[str | int] = [*(field or ("dataset",))]
        raise NotFound(f"no dataset {dataset_id}", errors=[FieldError(loc=place, msg=f"no dataset {dataset_id}")])
    return info


def _uploaded(services: Services, body: Form, request: UploadJobRequest) -> DatasetInfo:
    return take_in(services, body.path, body.filename, body.digest, request.dataset)


def _submit(services: Services, key: str | None, asked: str, request: JobOptions, info: DatasetInfo) -> str:
    """Write the job down, then tell the queue. The id is another's when a request with this key was quicker."""
    spec = resolve(_with_verified(services, request, info), info)
    _check_reference(services, spec, info)
    check_network(services, spec, info)
    _check_webhook(services, request.webhook)
    job_id = new_id("job_")
    try:
        with services.database.write() as connection:
            _check_room(connection, services.settings.max_waiting_jobs)
            jobs.add(connection, job_id, spec, services.now())
            if request.webhook is not None:
                webhooks.add(connection, job_id, request.webhook.url, services.vault.seal(request.webhook.secret))
            if key is not None:
                idempotency.add(connection, key, asked, job_id, services.now())
    except sa.exc.IntegrityError as error:
        known = made_before(services, key, asked)
        if known is None:
            raise NotFound("the dataset, the reference or the network was deleted in the meantime") from error
        return known
    services.queue.wake(job_id, spec.priority)
    return job_id


def _with_verified(services: Services, request: JobOptions, info: DatasetInfo) -> JobOptions:
    """The request with the verified samples by name, where it asks for them. Raises Invalid when there are none."""
    if request.reference is None or not request.reference.verified:
        return request
    with services.database.read() as connection:
        samples = verified(connection, services.blobs, info.id)
    if not samples:
        raise _invalid(["reference", "verified"], "nobody has verified a sample of this dataset yet; review some first")
    return request.model_copy(update={"reference": Reference(samples=samples)})


def _check_webhook(services: Services, webhook: WebhookRequest | None) -> None:
    """Raise Invalid for an address that is plainly inside. What a name leads to is looked up whenever it is called."""
    if webhook is not None and not services.settings.allow_private_webhooks and names_private_host(webhook.url):
        msg = "is at a private address; SUSPECTS_ALLOW_PRIVATE_WEBHOOKS=true on this installation would allow it"
        raise _invalid(["webhook", "url"], msg)


def _check_room(connection: sa.Connection, limit: int) -> None:
    waiting = jobs.count_by_state(connection).get(State.QUEUED, 0)
    if waiting >= limit:
        raise TooMany(f"{waiting} jobs wait already; this installation takes {limit}", retry_after=_RETRY_FULL_S)


def _check_reference(services: Services, spec: JobSpec, info: DatasetInfo) -> None:
    """Raise Invalid or NotFound for a reference that does not fit the dataset."""
    if "train" not in info.splits:
        raise _invalid(["dataset"], f"no row has the split train; the dataset has {', '.join(info.splits)}")
    reference = spec.reference
    if reference is not None and reference.samples is not None:
        unknown = missing_ids(services.blobs.canonical(info.id), reference.samples)
        if unknown:
            raise invalid_fields(
                [
                    FieldError(loc=["reference", "samples"], msg=f"no sample {name!r} in the dataset")
                    for name in unknown[:_LISTED]
                ]
                + ([_and_more(len(unknown) - _LISTED)] if len(unknown) > _LISTED else [])
            )
    if reference is not None and reference.dataset is not None:
        _check_other(info, _named(services, reference.dataset, "reference", "dataset"))


def _check_other(info: DatasetInfo, other: DatasetInfo) -> None:
    place: list[str | int] = ["reference", "dataset"]
    if other.id == info.id:
        raise _invalid(place, "this is the dataset itself; leave reference out, or name a split, a holdout or samples")
    if other.modality != info.modality:
        raise _invalid(place, f"holds {other.modality} data, the dataset {info.modality} data")
    known = {(one.name, one.kind) for one in other.features}
    lacking = [f"{one.name} ({one.kind})" for one in info.features if (one.name, one.kind) not in known]
    if info.modality == "tabular" and lacking:
        raise _invalid(place, f"lacks the features {', '.join(lacking[:_LISTED])}")
    unknown = [name for name in other.classes if name not in info.classes]
    if unknown:
        raise _invalid(place, f"has classes that the dataset has not: {', '.join(unknown[:_LISTED])}")


def _invalid(place: list[str | int], msg: str) -> Exception:
    return invalid_fields([FieldError(loc=place, msg=msg)])


def _and_more(number: int) -> FieldError:
    return FieldError(loc=["reference", "samples"], msg=f"and {number} more")


@router.get("/jobs", summary="List the jobs, newest first", responses=problems(400, 422))
def list_jobs(
    request: Request,
    services: ServicesDependency,
    response: Response,
    state: Annotated[State | None, Query(description="Only those in this state.")] = None,
    dataset: Annotated[str | None, Query(description="Only those of this dataset.")] = None,
    name: Annotated[str | None, Query(description="Only those of exactly this name.")] = None,
    limit: paging.Limit = 50,
    cursor: paging.Cursor = None,
) -> JobPage:
    """A page of the jobs that match."""
    query = ["jobs", state, dataset, name]
    before = paging.by_time(cursor, query)
    with services.database.read() as connection:
        found, total = jobs.page(connection, state=state, dataset=dataset, name=name, before=before, limit=limit + 1)
        items, following = paging.cut(request, response, query, found, limit)
        known = {dataset_id: datasets.get(connection, dataset_id) for dataset_id in {job.dataset_id for job in items}}
        standings = loops.statuses(connection, [job.id for job in items])
    views = [_view(job, info, standings.get(job.id)) for job in items if (info := known[job.dataset_id]) is not None]
    return JobPage(items=views, next=following, total=total)


@router.get("/jobs/{job_id}", summary="One job", responses=problems(404))
def get_job(job_id: str, services: ServicesDependency, response: Response) -> JobView:
    """Where it stands; its result once completed, its error if it failed."""
    job = find_job(services, job_id)
    if job.state not in ENDED:
        response.headers["Retry-After"] = str(_RETRY_JOB_S)
    return view(services, job)


@router.post("/jobs/{job_id}/cancel", status_code=202, summary="Cancel a job", responses=problems(404, 409))
def cancel_job(job_id: str, services: ServicesDependency) -> JobView:
    """Its worker notices within a second. A job that has ended cannot be cancelled."""
    with services.database.write() as connection:
        cancelled = jobs.cancel(connection, job_id, services.now())
    return _after(services, job_id, cancelled, "it has ended already")


@router.post(
    "/jobs/{job_id}/retry", status_code=202, summary="Run a failed or cancelled job again", responses=problems(404, 409)
)
def retry_job(job_id: str, services: ServicesDependency) -> JobView:
    """From the last checkpoint that was kept, with attempts counted anew."""
    with services.database.write() as connection:
        queued = jobs.retry(connection, job_id, services.now())
    told = _after(services, job_id, queued, "only a failed or cancelled job is run again")
    services.queue.wake(job_id, told.spec.priority)
    return told


@router.post(
    "/jobs/{job_id}/rerun",
    status_code=202,
    summary="Run a job again over its corrected dataset",
    responses=problems(404, 409, 422),
)
def rerun_job(job_id: str, services: ServicesDependency) -> JobView:
    """However few labels its reviews have changed, once nobody has decided anything, or asked again, for a minute.

    The quiet time and the cool-down of the job's own `loop` hold, where it has one. The job that follows is
    `links.next`, as soon as it is there.
    """
    job = find_job(services, job_id)
    if job.state != State.COMPLETED:
        raise Conflict(f"the job is {job.state}; only a completed one is run again", members={"state": job.state})
    with services.database.read() as connection:
        if not would_change(connection, services.blobs, job):
            msg = "no review of this job would change or verify anything in its dataset: POST /jobs/{id}/reviews"
            raise _invalid([], msg)
    with services.database.write() as connection:
        asked = loops.request_rerun(connection, job_id, services.now(), Loop(after=1, cool_down_seconds=0))
    return _after(services, job_id, asked, "another job follows it already, see links.next")


@router.delete("/jobs/{job_id}", status_code=204, summary="Delete a job that has ended", responses=problems(404, 409))
def delete_job(job_id: str, services: ServicesDependency) -> None:
    """With its ranking and its files."""
    with services.database.write() as connection:
        removed = jobs.remove(connection, job_id)
        if removed:
            idempotency.remove_of(connection, job_id)
    if not removed:
        _after(services, job_id, False, "cancel it first")
    services.blobs.remove(services.blobs.job(job_id))


def _after(services: Services, job_id: str, done: bool, advice: str) -> JobView:
    """The job after a move; raises NotFound or Conflict when it did not happen."""
    job = find_job(services, job_id)
    if not done:
        raise Conflict(f"the job is {job.state}: {advice}", members={"state": job.state})
    return view(services, job)


def find_job(services: Services, job_id: str) -> Job:
    """The job. Raises NotFound."""
    with services.database.read() as connection:
        job = jobs.get(connection, job_id)
    if job is None:
        raise NotFound(f"no job {job_id}")
    return job


def view(services: Services, job: Job) -> JobView:
    """The job as clients see it."""
    with services.database.read() as connection:
        standings = loops.statuses(connection, [job.id])
    return _view(job, _named(services, job.dataset_id), standings.get(job.id))


def _view(job: Job, info: DatasetInfo, loop: LoopStatus | None) -> JobView:
    links: Mapping[str, Any] = {
        "self": f"/jobs/{job.id}",
        "suspects": f"/jobs/{job.id}/suspects",
        "events": f"/jobs/{job.id}/events",
        "report": f"/jobs/{job.id}/report" if job.state == State.COMPLETED else None,
        "model": None if info.modality == "trace" else f"/jobs/{job.id}/model",
        "next": f"/jobs/{loop.next_job_id}" if loop and loop.next_job_id else None,
    }
    return JobView.model_validate(
        {
            **{name: getattr(job, name) for name in _SHOWN},
            "dataset": info,
            "links": links,
            "loop_trouble": loop and loop.trouble,
        }
    )


_SHOWN = tuple(name for name in JobView.model_fields if name not in ("dataset", "links", "loop_trouble"))
