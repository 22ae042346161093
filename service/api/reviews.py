"""Reviews: what people decided of the samples of a job, and how right the ranking was."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import TypeAdapter, ValidationError

from service.actions.upload import made_before, request_digest
from service.api.exports.ranking_files import Index
from service.api.http import paging
from service.api.http.bodies import JsonBody
from service.api.http.dependencies import IdempotencyKey, ServicesDependency, authorize
from service.api.http.errors import faults, problems
from service.api.http.openapi import REVIEWS_BODY
from service.api.schemas.reviews import (
    ReviewOutcomes,
    ReviewPage,
    ReviewsRecorded,
    ReviewSummary,
    SignalPrecision,
    ToolStanding,
)
from service.api.schemas.samples import Verdict
from service.api.suspects import Completed, check_signal, dataset_of
from service.domain.errors import Conflict, FieldError, invalid_fields
from service.domain.precision import BAND_ENDS, reviewed_share, shares_by_day, shares_by_rank
from service.domain.review import Decision, Outcome
from service.ingest.identities import labels_of
from service.services import Services
from service.store import idempotency, outcomes, pulls, rankings, reviews
from service.store.jobs import Job
from service.store.outcomes import FLAGGED, Outcomes
from service.store.pulls import Pull

router = APIRouter(tags=["reviews"], dependencies=[Depends(authorize)], responses=problems(401, 403, 503))

_DECISIONS = TypeAdapter(list[Decision])
_SOURCE = "api"
_LISTED = 20
_VERDICTS: tuple[Verdict, ...] = ("mislabeled", "anomalous", "clean")


@router.post(
    "/jobs/{job_id}/reviews",
    status_code=201,
    summary="Say what is right",
    responses=problems(400, 404, 409, 410, 413, 415, 422),
    openapi_extra=REVIEWS_BODY,
)
def create_reviews(
    job: Completed, body: JsonBody, key: IdempotencyKey, services: ServicesDependency
) -> ReviewsRecorded:
    """Decisions on samples of a completed job, all of them or none.

    All are kept; the latest of a sample holds, for the jobs that this one follows, and that follow it, too. A fault
    names the place in the list.
    """
    decisions, held_out = _checked(services, job, body.value)
    asked = request_digest(f"POST /jobs/{job.id}/reviews", *decisions)
    if made_before(services, key, asked) is None:
        _keep(services, job, decisions, held_out, key, asked)
    with services.database.read() as connection:
        held = reviews.latest(connection, job.id)
        ranked = rankings.ranked_ids(connection, job.id, list(held))
    reviewed = sum(name in ranked or one.job == job.id for name, one in held.items())
    return ReviewsRecorded(recorded=len(decisions), reviewed=reviewed)


def _keep(
    services: Services,
    job: Job,
    decisions: Sequence[Decision],
    held_out: Mapping[str, str],
    key: str | None,
    asked: str,
) -> None:
    try:
        with services.database.write() as connection:
            reviews.add(connection, job.id, decisions, _SOURCE, services.now(), given=held_out)
            if key is not None:
                idempotency.add(connection, key, asked, job.id, services.now())
    except sa.exc.IntegrityError as error:
        # A request with the same key was quicker, or the job is gone.
        if made_before(services, key, asked) is None:
            raise Conflict("the job was deleted in the meantime", members={"state": "deleted"}) from error


def _checked(services: Services, job: Job, value: Any) -> tuple[list[Decision], dict[str, str]]:
    """The decisions, and the classes of those samples that were held out of the ranking.

    Raises Invalid naming places in the list, the first twenty of them.
    """
    if not isinstance(value, list) or not value:
        raise invalid_fields([FieldError(loc=[], msg="must be a JSON list of at least one decision")])
    try:
        decisions = _DECISIONS.validate_python(value)
    except ValidationError as error:
        raise _told(faults(error, value)) from error
    info, ids = dataset_of(services, job), [decision.sample_id for decision in decisions]
    with services.database.read() as connection:
        ranked = rankings.ranked_ids(connection, job.id, ids)
    # Those that were held out of the ranking are in the dataset alone, whose ids take longer to read.
    absent = {name for name in ids if name not in ranked}
    held_out = labels_of(services.blobs.canonical(info.id), ids=absent) if absent else {}
    unknown = absent - held_out.keys()
    found = []
    for place, decision in enumerate(decisions):
        if decision.sample_id in unknown:
            msg = f"no sample {decision.sample_id!r} in the dataset of this job"
            found.append(FieldError(loc=[place, "sample_id"], msg=msg))
        if decision.label is not None and decision.label not in info.classes:
            classes = ", ".join(info.classes[:_LISTED])
            found.append(FieldError(loc=[place, "label"], msg=f"no class {decision.label!r}; one of {classes}"))
    if found:
        raise _told(found)
    return decisions, held_out


def _told(found: Sequence[FieldError]) -> Exception:
    more = len(found) - _LISTED
    rest = [FieldError(loc=[], msg=f"and {more} more faults")] if more > 0 else []
    return invalid_fields([*found[:_LISTED], *rest])


@router.get(
    "/jobs/{job_id}/reviews",
    summary="Every decision that was given to it, oldest first",
    responses=problems(400, 404, 409, 410, 422),
)
def list_reviews(
    job: Completed,
    request: Request,
    services: ServicesDependency,
    response: Response,
    limit: paging.Limit = 50,
    cursor: paging.Cursor = None,
) -> ReviewPage:
    """Those that a later decision has taken the place of, too."""
    query = ["reviews", job.id]
    after = paging.decode(cursor, query, tuple[Index])[0] if cursor is not None else 0
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
    job: Completed,
    services: ServicesDependency,
    signal: Annotated[
        list[str] | None,
        Query(description="Only these in `by_signal`, may be repeated; all that the job has computed."),
    ] = None,
) -> ReviewSummary:
    """Precision of what was flagged: by verdict, by signal and rank band, and over time."""
    computed: list[str] = (job.result or {})["signals"]
    for name in signal or ():
        check_signal(job, name, "signal")
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
            for verdict in _VERDICTS
        },
        by_signal=[SignalPrecision(name=by, bands=shares_by_rank(found, seen.found)) for by, found in ranks.items()],
        over_time=shares_by_day([(seen.reviews[name].created_at.date(), found) for name, found in flagged.items()]),
        tool=None if pull is None else ToolStanding(reconciled_at=pull.reconciled_at, trouble=pull.trouble),
    )
