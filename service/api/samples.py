"""One sample of a job."""

from fastapi import APIRouter, Depends

from service.api.http.authentication import authorize
from service.api.http.errors import problems
from service.api.http.lookup import RankedJob, ServicesDependency
from service.api.schemas.samples import JobSample
from service.api.views.job_sample import job_sample_view

router = APIRouter(tags=["rankings"], dependencies=[Depends(authorize)], responses=problems(401, 403, 422, 503))


@router.get(
    "/jobs/{job_id}/samples/{sample_id:path}",
    summary="Everything about one sample",
    responses=problems(404, 409, 410),
)
def get_job_sample(job: RankedJob, sample_id: str, services: ServicesDependency) -> JobSample:
    """It has signals with ranks, values over training, the samples that it influenced most, and a reason in English.

    A row that was held out of the ranking has no scores; its reason says why.
    """
    return job_sample_view(services, job, sample_id)
