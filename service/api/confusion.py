"""Given against suggested labels of a job."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from service.actions.confusion import count_confusion
from service.actions.find import find_dataset_of_job
from service.actions.select_suspects import SuspectQuery
from service.api.http.authentication import authorize
from service.api.http.errors import problems
from service.api.http.lookup import CompletedJob, ServicesDependency
from service.api.schemas.confusion import ClassCount, ConfusionView, PairCount
from service.domain.verdict import Verdict

router = APIRouter(tags=["rankings"], dependencies=[Depends(authorize)], responses=problems(401, 403, 422, 503))


@router.get(
    "/jobs/{job_id}/confusion",
    summary="Given against suggested labels",
    responses=problems(404, 409, 410, 422),
)
def show_confusion(
    job: CompletedJob,
    services: ServicesDependency,
    verdict: Annotated[Verdict | None, Query(description="Only samples with this verdict.")] = None,
    reviewed: Annotated[
        bool | None, Query(description="true: only samples on which a decision holds; false: only the others.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=10_000, description="How many pairs at most.")] = 1000,
) -> ConfusionView:
    """The commonest pairs of a given and another suggested label, and for each class how many samples it has."""
    found = count_confusion(services, job, SuspectQuery(verdict=verdict, reviewed=reviewed), limit)
    items = [PairCount(given=one.given, suggested=one.suggested, count=one.count) for one in found.pairs]
    return ConfusionView(
        classes=[
            ClassCount(label=name, samples=found.samples.get(name, 0), agreeing=found.agreeing.get(name, 0))
            for name in find_dataset_of_job(services, job).classes
        ],
        items=items,
        total=found.number_of_pairs,
        disagreeing=found.disagreeing,
        left_out=found.disagreeing - sum(one.count for one in items),
    )
