"""Report of a job."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.responses import HTMLResponse

from service.actions.find import find_dataset_of_job, find_job
from service.actions.measured_estimate import with_measured_estimate
from service.actions.rescore import verified_count
from service.api.http import negotiation
from service.api.http.authentication import authorize
from service.api.http.errors import problems
from service.api.http.lookup import CompletedJob, ServicesDependency
from service.report import render
from service.report.figures import draw
from service.report.gather import gather

router = APIRouter(tags=["rankings"], dependencies=[Depends(authorize)], responses=problems(401, 403, 422, 503))

ReportFormat = Literal["html", "md"]
_MEDIA_TYPES: dict[ReportFormat, str] = {"html": "text/html; charset=utf-8", "md": "text/markdown; charset=utf-8"}
_DESCRIPTION: dict[str, Any] = {
    "description": "One page that needs no other file, or the same in Markdown.",
    "content": {"text/html": {"schema": {"type": "string"}}, "text/markdown": {"schema": {"type": "string"}}},
}


@router.get(
    "/jobs/{job_id}/report",
    summary="What was found, for people",
    response_class=HTMLResponse,
    responses=problems(404, 406, 409, 410, 422) | {200: _DESCRIPTION},
)
def get_report(
    job: CompletedJob,
    services: ServicesDependency,
    name: Annotated[str | None, Query(alias="format", description="html or md; instead of Accept.")] = None,
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """It has estimates, the tops of both rankings with reasons, confused labels, groups, reviews, signals and planted errors.

    HTML has plots; Markdown has tables in their place.
    """
    form = negotiation.choose(name, accept, _MEDIA_TYPES, "a report")
    with services.database.read() as connection:
        job = with_measured_estimate(services, connection, job)
        dataset = find_dataset_of_job(services, job)
        verified = verified_count(services, connection, job, dataset)
    facts = gather(services, job, dataset, verified)
    find_job(services, job.id)  # one that was deleted meanwhile was read in part
    content = render.html(facts, draw(facts)) if form == "html" else render.markdown(facts)
    headers = {**render.PAGE_HEADERS, "Content-Disposition": f'inline; filename="{job.id}-report.{form}"'}
    return Response(content, media_type=_MEDIA_TYPES[form], headers=headers)
