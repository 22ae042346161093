"""Reviews of the samples of a job, and their summary."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import TypeAdapter, ValidationError

from service.actions.find import check_signal
from service.actions.review import count_reviewed, review, review_bulk, shortened, undo_reviews
from service.api.http import paging
from service.api.http.authentication import CallerDependency, authorize
from service.api.http.bodies import JsonBody, parsed
from service.api.http.errors import field_errors, problems
from service.api.http.idempotency import IdempotencyKey
from service.api.http.lookup import CompletedJob, ServicesDependency
from service.api.http.openapi import BULK_BODY, REVIEWS_BODY, UNDO_BODY
from service.api.schemas.reviews import (
    BulkRecorded,
    ReviewPage,
    ReviewsRecorded,
    ReviewSummary,
    ReviewsUndone,
)
from service.api.views.reviews import review_summary
from service.domain.digests import canonical_digest
from service.domain.errors import invalid, invalid_fields
from service.domain.review import BulkReview, Decision, UndoRequest
from service.store import reviews
from service.store.idempotency import IdempotentRequest

router = APIRouter(tags=["reviews"], dependencies=[Depends(authorize)], responses=problems(401, 403, 422, 503))

_DECISIONS = TypeAdapter(list[Decision])


@router.post(
    "/jobs/{job_id}/reviews",
    status_code=201,
    summary="Say what is right",
    responses=problems(400, 404, 409, 410, 413, 415, 422),
    openapi_extra=REVIEWS_BODY,
)
def create_reviews(
    job: CompletedJob, body: JsonBody, key: IdempotencyKey, services: ServicesDependency, caller: CallerDependency
) -> ReviewsRecorded:
    """Either all decisions of the list are recorded, or none. An error names the place in the list.

    With a created key, its name is the reviewer. Earlier decisions are kept. The latest of a sample holds, also for the jobs before and after this one in its chain.
    """
    decisions = [caller.signed(one) for one in _decisions(body.value)]
    once = IdempotentRequest(key, canonical_digest(f"POST /jobs/{job.id}/reviews", *decisions))
    batch = review(services, job, decisions, once)
    return ReviewsRecorded(recorded=len(decisions), reviewed=count_reviewed(services, job), batch=batch)


@router.post(
    "/jobs/{job_id}/reviews/bulk",
    status_code=201,
    summary="Decide on every sample that a filter matches",
    responses=problems(400, 404, 409, 410, 413, 415, 422),
    openapi_extra=BULK_BODY,
)
def create_bulk_reviews(
    job: CompletedJob, body: JsonBody, key: IdempotencyKey, services: ServicesDependency, caller: CallerDependency
) -> BulkRecorded:
    """All decisions are recorded, or none. `batch` undoes them together.

    To relabel without a `label` accepts the suggested label of each sample, and matches only those where it is not the given one.
    """
    request = caller.signed(parsed(BulkReview, body.value))
    once = IdempotentRequest(key, canonical_digest(f"POST /jobs/{job.id}/reviews/bulk", request))
    done = review_bulk(services, job, request, once)
    return BulkRecorded(matched=done.matched, written=done.written, batch=done.batch)


@router.post(
    "/jobs/{job_id}/reviews/undo",
    status_code=201,
    summary="Undo what was decided in one request",
    responses=problems(400, 404, 409, 410, 413, 415, 422),
    openapi_extra=UNDO_BODY,
)
def undo_batch(
    job: CompletedJob, body: JsonBody, services: ServicesDependency, caller: CallerDependency
) -> ReviewsUndone:
    """For each sample the decision before holds again, under the name of who gave it. Where there was none, `reviewer` withdraws.

    With a created key, its name is the reviewer. What was decided again since stays. Undoing is decisions too, so that it can be undone by its own `batch`.
    """
    request = caller.signed(parsed(UndoRequest, body.value))
    done = undo_reviews(services, job, request)
    return ReviewsUndone(restored=done.restored, left=done.left, batch=done.batch)


def _decisions(value: Any) -> list[Decision]:
    if not isinstance(value, list) or not value:
        raise invalid([], "must be a JSON list of at least one decision")
    try:
        return _DECISIONS.validate_python(value)
    except ValidationError as error:
        raise invalid_fields(shortened(field_errors(error, list[Decision], value))) from error


@router.get(
    "/jobs/{job_id}/reviews",
    summary="Every decision that was given to it, oldest first",
    responses=problems(400, 404, 409, 410, 422),
)
def list_reviews(
    job: CompletedJob,
    request: Request,
    services: ServicesDependency,
    response: Response,
    limit: paging.PageLimit = 50,
    cursor: paging.PageCursor = None,
    sample_id: Annotated[str | None, Query(description="Only those about this sample: its history.")] = None,
) -> ReviewPage:
    """Decisions that a later one replaced are in the list too."""
    query = ["reviews", job.id, *filter(None, [sample_id])]
    after = paging.decode(cursor, query, tuple[paging.Index])[0] if cursor is not None else 0
    with services.database.read() as connection:
        found, total = reviews.page(connection, job.id, after, limit + 1, sample_id)
    items = found[:limit]
    following = paging.encode(query, [items[-1].seq]) if len(found) > limit else None
    paging.link_next(request, response, following)
    return ReviewPage(items=items, next=following, total=total)


@router.get(
    "/jobs/{job_id}/reviews/summary",
    summary="How right the ranking was",
    responses=problems(404, 409, 410, 422),
)
def summarise_reviews(
    job: CompletedJob,
    services: ServicesDependency,
    signal: Annotated[
        list[str] | None,
        Query(description="Only these in `by_signal`, may be repeated; all that the job has computed."),
    ] = None,
) -> ReviewSummary:
    """Precision of flagged samples, by verdict, by signal and rank band, and over time."""
    for name in signal or ():
        check_signal(job, name, "query", "signal")
    return review_summary(services, job, signal)
