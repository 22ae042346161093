"""Comparison of two jobs."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from service.actions.compare import compare
from service.api.http.authentication import authorize
from service.api.http.errors import problems
from service.api.http.lookup import CompletedJob, ServicesDependency
from service.domain.comparison import JobDiff

router = APIRouter(tags=["reviews"], dependencies=[Depends(authorize)], responses=problems(401, 403, 422, 503))


@router.get("/jobs/{job_id}/diff", summary="What differs from another job", responses=problems(404, 409, 410, 422))
def compare_jobs(
    job: CompletedJob,
    services: ServicesDependency,
    other: Annotated[
        str | None,
        Query(description="Id of the other job; left out, the one whose reviews this job's dataset was made of."),
    ] = None,
    by: Annotated[str, Query(description="The signal that ranks.")] = "mislabeled",
    limit: Annotated[
        int, Query(ge=1, le=1000, description="How many items of each list, and how far the top goes.")
    ] = 50,
) -> JobDiff:
    """It compares accuracy, flagged samples, ranks and labels. The older of the two jobs is `before`.

    Samples are matched by id. Ids stay the same in all versions of a dataset.
    """
    return compare(services, job, other, by, limit)
