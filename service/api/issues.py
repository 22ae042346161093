"""What is wrong in the data of a job beside its labels."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from service.api.http.authentication import authorize
from service.api.http.errors import problems
from service.api.http.lookup import CompletedJob, ServicesDependency
from service.api.schemas.issues import IssueList
from service.api.views.issues import issue_list
from service.domain.issue import MOST_SAMPLES, IssueType

router = APIRouter(tags=["rankings"], dependencies=[Depends(authorize)], responses=problems(401, 403, 422, 503))


@router.get(
    "/jobs/{job_id}/issues",
    summary="What is wrong in the data beside labels",
    responses=problems(404, 409, 410, 422),
)
def list_issues(
    job: CompletedJob,
    services: ServicesDependency,
    issue: Annotated[IssueType | None, Query(alias="type", description="Only this type.")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_SAMPLES, description="Samples of each type at most.")] = 20,
) -> IssueList:
    """Copies, one input under different labels, leakage, an order, slices of a table, damaged texts and images, with the samples of each.

    The job looks at its samples as it ranked them, planted errors included. Types of which nothing was found are there too, with a score of 0;
    `not_checked` says which the job could not be examined for.
    """
    return issue_list(services, job, issue, limit)
