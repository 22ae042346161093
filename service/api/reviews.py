"""Reviews: what people decided of the samples of a job, and how right the ranking was."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import TypeAdapter, ValidationError

from service.actions.find import check_signal
from service.actions.review import count_reviewed, review, shortened
from service.api.http import paging
from service.api.http.authentication import authorize
from service.api.http.bodies import JsonBody
from service.api.http.errors import faults, problems
from service.api.http.idempotency import IdempotencyKey
from service.api.http.lookup import CompletedJob, ServicesDependency
from service.api.http.openapi import REVIEWS_BODY
from service.api.schemas.reviews import (
    ReviewOutcomes,
    ReviewPage,
    ReviewsRecorded,
    ReviewSummary,
    SignalPrecision,
    ToolStanding,
)
from service.domain.digests import canonical_digest
from service.domain.errors import invalid, invalid_fields
from service.domain.precision import BAND_ENDS, reviewed_share, shares_by_day, shares_by_rank
from service.domain.review import Decision, Outcome
from service.domain.verdict import FLAGGED, VERDICTS
from service.store import outcomes, pulls, rankings, reviews
from service.store.idempotency import IdempotentRequest
from service.store.outcomes import Outcomes
from service.store.pulls import Pull

router = APIRouter(tags=["reviews"], dependencies=[Depends(authorize)], responses=problems(401, 403, 503))

_DECISIONS = TypeAdapter(list[Decision])


@router.post(
    "/jobs/{job_id}/reviews",
    status_code=201,
    summary="Say what is right",
    responses=problems(400, 404, 409, 410, 413, 415, 422),
    openapi_extra=REVIEWS_BODY,
)
def create_reviews(
    job: CompletedJob, body: JsonBody, key: IdempotencyKey, services: ServicesDependency
) -> ReviewsRecorded:
    """Decisions on samples of a completed job, all of them or none.

    All are kept; the latest of a sample holds, for the jobs that this one follows, and that follow it, too. A fault
    names the place in the list.
    """
    decisions = _decisions(body.value)
    once = IdempotentRequest(key, canonical_digest(f"POST /jobs/{job.id}/reviews", *decisions))
    review(services, job, decisions, once)
    return ReviewsRecorded(recorded=len(decisions), reviewed=count_reviewed(services, job))


def _decisions(value: Any) -> list[Decision]:
    if not isinstance(value, list) or not value:
        raise invalid([], "must be a JSON list of at least one decision")
    try:
        return _DECISIONS.validate_python(value)
    except ValidationError as error:
        raise invalid_fields(shortened(faults(error, value))) from error


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
    limit: paging.Limit = 50,
    cursor: paging.Cursor = None,
) -> ReviewPage:
    """Those that a later decision has taken the place of, too."""
    query = ["reviews", job.id]
    after = paging.decode(cursor, query, tuple[paging.Index])[0] if cursor is not None else 0
    with services.database.read() as connection:
        found, total = reviews.page(connection, job.id, after, limit + 1)
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
    """Precision of what was flagged: by verdict, by signal and rank band, and over time."""
    computed: list[str] = (job.result or {})["signals"]
    for name in signal or ():
        check_signal(job, name, "query", "signal")
    with services.database.read() as connection:
        seen = outcomes.of_job(connection, job.id)
        names = signal or computed if seen.rows else []
        ranks = {by: rankings.top_ranks(connection, job.id, by, BAND_ENDS[-1]) for by in names}
        pull = pulls.get(connection, job.id)
    return _summary(seen, ranks, pull)


def _summary(seen: Outcomes, ranks: Mapping[str, Mapping[str, int]], pull: Pull | None) -> ReviewSummary:
    flagged = seen.flagged
    others = Counter(seen.found[name] for name in seen.rows if name not in flagged)
    return ReviewSummary(
        samples=sum(seen.by_verdict.values()),
        flagged=sum(seen.by_verdict.get(verdict, 0) for verdict in FLAGGED),
        reviewed=len(seen.found),
        outcomes=ReviewOutcomes(
            flagged=seen.of_flagged(),
            clean={one: others[one] for one in Outcome if one is not Outcome.PENDING},
        ),
        precision=reviewed_share(flagged.values()),
        by_verdict={
            verdict: reviewed_share(seen.found[name] for name, row in seen.rows.items() if row["verdict"] == verdict)
            for verdict in VERDICTS
        },
        by_signal=[SignalPrecision(name=by, bands=shares_by_rank(found, seen.found)) for by, found in ranks.items()],
        over_time=shares_by_day([(seen.reviews[name].created_at.date(), found) for name, found in flagged.items()]),
        tool=None if pull is None else ToolStanding(reconciled_at=pull.reconciled_at, trouble=pull.trouble),
    )
