"""The ranking of a job: page by page, or whole in another form."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import FiniteFloat
from starlette.responses import StreamingResponse

from service.actions.find import check_signal, find_dataset_of_job
from service.api.exports import ranking_files as exports
from service.api.exports.tool_files import Words, to_tool, tool_form, words
from service.api.http import negotiation as forms
from service.api.http import paging
from service.api.http.authentication import authorize
from service.api.http.errors import problems
from service.api.http.lookup import CompletedJob, ServicesDependency
from service.api.schemas.samples import Suspect, SuspectPage
from service.api.views.samples import computed_signals, planted_view, review_view, sample_cards
from service.domain.verdict import FLAGGED, Verdict
from service.platforms.exports import FORMS
from service.services import Services
from service.store import rankings, reviews
from service.store.jobs import Job
from service.store.rankings import PageStart, Row

router = APIRouter(tags=["rankings"], dependencies=[Depends(authorize)], responses=problems(401, 403, 503))

_VERDICTS: dict[str, tuple[str, ...]] = {"mislabeled": ("mislabeled",), "anomalous": ("anomalous",)}


def _query(
    job: CompletedJob,
    by: Annotated[str, Query(description="mislabeled, anomalous, or any signal that the job computed.")] = "mislabeled",
    label: Annotated[str | None, Query(description="Only rows with this given label.")] = None,
    suggested: Annotated[str | None, Query(description="Only rows with this suggested label.")] = None,
    verdict: Annotated[Verdict | None, Query(description="Only rows with this verdict.")] = None,
    min_score: Annotated[FiniteFloat | None, Query(description="Only rows that score at least this.")] = None,
) -> rankings.Query:
    check_signal(job, by, "query", "by")
    return rankings.Query(by, label, suggested, verdict, min_score)


@router.get(
    "/jobs/{job_id}/suspects",
    summary="The ranking, most suspicious first",
    response_model=SuspectPage,
    responses=problems(400, 404, 406, 409, 410, 422) | {200: exports.DESCRIPTION},
)
def list_suspects(
    job: CompletedJob,
    query: Annotated[rankings.Query, Depends(_query)],
    said: Annotated[Words, Depends(words)],
    request: Request,
    services: ServicesDependency,
    response: Response,
    limit: paging.Limit = 50,
    cursor: paging.Cursor = None,
    name: Annotated[
        str | None,
        Query(
            alias="format",
            description=f"{', '.join(exports.FORMATS)}; instead of Accept. cleanlab is the table of its label issues, "
            "the others are what the labelling tool of that name imports.",
        ),
    ] = None,
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Any:
    """Ties break by index, so pages never overlap. Any form but JSON streams every row that matches."""
    form = forms.choose(name, accept, exports.MEDIA_TYPES, "a ranking")
    if form != "json":
        return _export(services, job, query, form, said)
    marked = ["suspects", job.id, *asdict(query).values()]
    # The ranking never changes, so the counts travel with the cursor.
    after, total, flagged = None, None, None
    if cursor is not None:
        score, index, rank, total, flagged = paging.decode(
            cursor, marked, tuple[FiniteFloat, exports.Index, int, int, int]
        )
        after = PageStart(score, index, rank)
    with services.database.read() as connection:
        rows = rankings.page(connection, job.id, query, after, limit + 1)
        total = rankings.count(connection, job.id, query) if total is None else total
        flagged = _flagged(rankings.count_by_verdict(connection, job.id), query) if flagged is None else flagged
    first = 1 if after is None else after.rank + 1
    items = _suspects(services, job, rows[:limit], query.by, first)
    following = None
    if len(rows) > limit:
        last = rows[limit - 1]
        place = [last[query.by], last["index"], first + limit - 1, total, flagged]
        following = paging.encode(marked, place)
    paging.link_next(request, response, following)
    response.headers["Vary"] = "Accept"
    return SuspectPage(items=items, by=query.by, flagged=flagged, next=following, total=total)


def _flagged(counted: dict[str, int], query: rankings.Query) -> int:
    asked = (query.verdict,) if query.verdict else _VERDICTS.get(query.by, FLAGGED)
    return sum(counted.get(verdict, 0) for verdict in asked)


def _suspects(services: Services, job: Job, rows: Sequence[Row], by: str, first: int) -> list[Suspect]:
    cards = sample_cards(services, job, rows)
    with services.database.read() as connection:
        held = reviews.latest(connection, job.id, [row["sample_id"] for row in rows])
    return [
        Suspect(
            rank=rank,
            sample=card,
            given_label=row["given_label"],
            suggested_label=row["suggested_label"],
            suggested_confidence=row["suggested_confidence"],
            score=row[by],
            verdict=row["verdict"],
            planted=planted_view(row),
            review=review_view(held.get(row["sample_id"]), row["given_label"], row["suggested_label"]),
            signals=computed_signals(row),
        )
        for rank, (row, card) in enumerate(zip(rows, cards, strict=True), first)
    ]


def _export(services: Services, job: Job, query: rankings.Query, form: exports.Format, said: Words) -> Response:
    def chunks() -> Iterator[Sequence[Row]]:
        # The connection is the stream's own, and given back with it, also when the client goes away.
        with services.database.read() as connection:
            yield from rankings.stream(connection, job.id, query)

    rows = exports.ranked(chunks(), query.by)
    if form in FORMS:
        info = find_dataset_of_job(services, job)
        tool_form(form, job, info)
        content = to_tool(form, rows, job, info, services.blobs.canonical(info.id), said)
    else:
        content = exports.WRITERS[form](rows, exports.columns((job.result or {})["signals"]))
    return StreamingResponse(
        content,
        media_type=exports.MEDIA_TYPES[form],
        headers={
            "Content-Disposition": f'attachment; filename="{job.id}-{query.by}.{exports.ENDINGS.get(form, form)}"',
            "Vary": "Accept",
        },
    )
