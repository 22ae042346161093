"""Jobs: submit, list, show, cancel, retry, run again, delete."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from service.actions.cancel import cancel
from service.actions.delete import delete_ended_job
from service.actions.estimate_duration import estimate_job
from service.actions.find import find_job
from service.actions.rerun import ask_for_rerun
from service.actions.rescore import ask_to_rescore
from service.actions.retry import retry
from service.actions.submit import submit
from service.api.http import paging
from service.api.http.authentication import CallerDependency, authorize
from service.api.http.bodies import Body, FormContent, JsonBody, JsonContent, OptionalJsonBody, names_connection, parsed
from service.api.http.errors import problems
from service.api.http.idempotency import IdempotencyKey
from service.api.http.lookup import CompletedJob, ServicesDependency
from service.api.http.openapi import ESTIMATE_BODY, JOB_BODY, RERUN_BODY
from service.api.schemas.jobs import (
    JobEstimate,
    JobPage,
    JobView,
    LineageList,
    RerunStarted,
    RescoringView,
    SecondsRange,
)
from service.api.views.jobs import job_view, job_views, lineage_view
from service.domain.digests import canonical_digest
from service.domain.job import ENDED, State
from service.domain.specs import JobRequest, PullJobRequest, RerunRequest, UploadJobRequest
from service.store import jobs
from service.store.idempotency import IdempotentRequest

router = APIRouter(tags=["jobs"], dependencies=[Depends(authorize)], responses=problems(401, 403, 422, 503))

_RETRY_JOB_S = 2


@router.post(
    "/jobs",
    status_code=202,
    summary="Submit a job",
    responses=problems(400, 404, 409, 413, 415, 422, 429, 502, 507),
    openapi_extra=JOB_BODY,
)
def submit_job(
    body: Body,
    key: IdempotencyKey,
    services: ServicesDependency,
    caller: CallerDependency,
    response: Response,
) -> JobView:
    """The samples are a stored dataset (JSON), an uploaded file (multipart), or a labelling tool's tasks (JSON).

    Tasks are read before the job enters the queue; until then its dataset has no rows, and `progress` shows how many are
    read. `spec` shows every option with its default filled in. Follow `links.events`, or poll after `Retry-After` seconds.
    """
    request, digest = _request(body)
    file = body.file if isinstance(body, FormContent) else None
    job_id = submit(services, caller, request, IdempotentRequest(key, digest), file)
    response.headers["Location"] = f"/jobs/{job_id}"
    response.headers["Retry-After"] = str(_RETRY_JOB_S)
    return job_view(services, find_job(services, job_id))


def _request(body: JsonContent | FormContent) -> tuple[JobRequest | PullJobRequest | UploadJobRequest, str]:
    """The request, and its digest for the idempotency key. Raises Invalid."""
    match body:
        case FormContent():
            upload = parsed(UploadJobRequest, body.spec, "spec")
            return upload, canonical_digest("POST /jobs", body.file.digest, upload)
        case JsonContent() if names_connection(body.value) and body.value.get("dataset") is None:
            pull = parsed(PullJobRequest, body.value)
            return pull, canonical_digest("POST /jobs", pull)
        case JsonContent():
            request = parsed(JobRequest, body.value)
            return request, canonical_digest("POST /jobs", request)


@router.post(
    "/jobs/estimate",
    summary="Estimate how long a job takes",
    responses=problems(400, 404, 413, 415, 422),
    openapi_extra=ESTIMATE_BODY,
)
def estimate_time(body: JsonBody, services: ServicesDependency) -> JobEstimate:
    """The body is that of a job over a stored dataset, and refused for the same reasons; nothing is created.

    `seconds` comes from jobs of the same model that were completed here, scaled by rows, epochs and size of images. It does not
    count the time that the job waits for a worker.
    """
    found = estimate_job(services, parsed(JobRequest, body.value))
    seconds = found.duration.seconds
    shown = None if seconds is None else SecondsRange(low=round(seconds[0], 1), high=round(seconds[1], 1))
    return JobEstimate(spec=found.spec, seconds=shown, basis=found.duration.basis)


@router.get("/jobs", summary="List the jobs, newest first", responses=problems(400, 422))
def list_jobs(
    request: Request,
    services: ServicesDependency,
    response: Response,
    state: Annotated[State | None, Query(description="Only those in this state.")] = None,
    dataset: Annotated[str | None, Query(description="Only those of this dataset.")] = None,
    name: Annotated[str | None, Query(description="Only those of exactly this name.")] = None,
    limit: paging.PageLimit = 50,
    cursor: paging.PageCursor = None,
) -> JobPage:
    """One page of the jobs that match. Of a reference by name each shows 50 samples at most; the job itself shows all."""
    query = ["jobs", state, dataset, name]
    before = paging.by_time(cursor, query)
    with services.database.read() as connection:
        found, total = jobs.page(connection, state=state, dataset=dataset, name=name, before=before, limit=limit + 1)
    items, following = paging.cut(request, response, query, found, limit)
    return JobPage(items=job_views(services, items), next=following, total=total)


@router.get("/jobs/{job_id}", summary="One job", responses=problems(404))
def get_job(job_id: str, services: ServicesDependency, response: Response) -> JobView:
    """State and progress; `result` once it is completed, `error` if it failed."""
    job = find_job(services, job_id)
    if job.state not in ENDED:
        response.headers["Retry-After"] = str(_RETRY_JOB_S)
    return job_view(services, job)


@router.post("/jobs/{job_id}/cancel", status_code=202, summary="Cancel a job", responses=problems(404, 409))
def cancel_job(job_id: str, services: ServicesDependency) -> JobView:
    """The worker stops within a second. A job that has ended cannot be cancelled."""
    return job_view(services, cancel(services, job_id))


@router.post(
    "/jobs/{job_id}/retry",
    status_code=202,
    summary="Run a failed or cancelled job again",
    responses=problems(404, 409, 429),
)
def retry_job(job_id: str, services: ServicesDependency, caller: CallerDependency) -> JobView:
    """It continues from the last checkpoint. Attempts are counted from 0 again. It counts as a job of the key's quota."""
    return job_view(services, retry(services, caller, job_id))


@router.post(
    "/jobs/{job_id}/rerun",
    status_code=202,
    summary="Run a job again over its corrected dataset",
    responses=problems(400, 404, 409, 413, 415, 422, 429),
    openapi_extra=RERUN_BODY,
)
def rerun_job(
    job_id: str, services: ServicesDependency, caller: CallerDependency, body: OptionalJsonBody
) -> RerunStarted:
    """The job starts once nobody has reviewed a sample or repeated this request for a minute, however few labels changed.

    Where the job has a `loop`, its quiet time and cool-down hold instead; with `{"now": true}` none does, and it starts at once.
    `links.next` is the new job, as soon as it exists. The first request counts as a job of the key's quota.
    """
    at_once = body is not None and parsed(RerunRequest, body.value).now
    job = ask_for_rerun(services, caller, job_id, at_once=at_once)
    view = job_view(services, job)
    return RerunStarted(**dict(view), starts_at=view.rerun_at or services.now())


@router.post(
    "/jobs/{job_id}/rescore",
    status_code=202,
    summary="Score the samples of a job again by what was verified",
    responses=problems(404, 409, 410),
)
def rescore_job(job: CompletedJob, services: ServicesDependency) -> RescoringView:
    """Samples whose labels people kept or changed become the trusted reference; nothing is trained: it costs less than the job did.

    `anomalous`, `mislabeled`, verdicts and suggestions change; what does not depend on a reference stays. `rescoring` of the job says
    what became of it, `result.rescored` which version the ranking is. Draws of an audit keep the ranking that they were made by.
    """
    return RescoringView.model_validate(ask_to_rescore(services, job), from_attributes=True)


@router.get("/jobs/{job_id}/lineage", summary="The jobs before and after it", responses=problems(404))
def show_lineage(job_id: str, services: ServicesDependency) -> LineageList:
    """From the first dataset to its corrected versions, the oldest first: reruns, and jobs over what was made of another's reviews."""
    items = lineage_view(services, find_job(services, job_id))
    return LineageList(items=items, total=len(items))


@router.delete("/jobs/{job_id}", status_code=204, summary="Delete a job that has ended", responses=problems(404, 409))
def delete_job(job_id: str, services: ServicesDependency) -> None:
    """Its ranking, reviews and files are deleted too."""
    delete_ended_job(services, job_id)
