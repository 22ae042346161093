"""Ranking of a job: pages, or a whole file."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import FiniteFloat
from starlette.responses import StreamingResponse

from service.actions.find import check_class, check_signal, find_dataset_of_job
from service.api.exports.ranking import ToolNames, export_ranking
from service.api.http import negotiation, paging
from service.api.http.authentication import authorize
from service.api.http.errors import problems
from service.api.http.lookup import CompletedJob, ServicesDependency
from service.api.schemas.samples import SuspectPage
from service.api.views.samples import suspect_views
from service.domain.exports import EXPORT_FORMATS, ExportFormat
from service.domain.verdict import FLAGGED, Verdict
from service.services import Services
from service.store import rankings
from service.store.jobs import Job
from service.store.rankings import PageStart

router = APIRouter(tags=["rankings"], dependencies=[Depends(authorize)], responses=problems(401, 403, 503))

_MEDIA_TYPES = {"json": "application/json", **{one.name: one.media_type for one in EXPORT_FORMATS.values()}}
_DESCRIPTION: dict[str, Any] = {
    "description": "A page as JSON, or the whole ranking in another form.",
    "content": {
        one.media_range: {"schema": {"type": "string"} if one.is_text else {"type": "string", "format": "binary"}}
        for one in EXPORT_FORMATS.values()
        if one.media_type != _MEDIA_TYPES["json"]
    },
}
_VERDICTS: dict[str, tuple[str, ...]] = {"mislabeled": ("mislabeled",), "anomalous": ("anomalous",)}


def _tool_names(
    field: Annotated[
        str | None,
        Query(
            description="Of a labelling tool's form: what the tool calls the class (the Choices tag, question or "
            "feature); the label's name in the dataset when left out.",
            min_length=1,
            max_length=200,
        ),
    ] = None,
    about: Annotated[
        str | None,
        Query(
            description="Of label_studio: the tag that is labelled; text, image or table when left out.",
            min_length=1,
            max_length=200,
        ),
    ] = None,
    root: Annotated[
        str, Query(description="Of a labelling tool's form: put before the path of each image.", max_length=2_000)
    ] = "",
) -> ToolNames:
    return ToolNames(field, about, root)


def _query(
    job: CompletedJob,
    services: ServicesDependency,
    by: Annotated[str, Query(description="mislabeled, anomalous, or any signal that the job computed.")] = "mislabeled",
    label: Annotated[str | None, Query(description="Only rows with this given label.")] = None,
    suggested: Annotated[str | None, Query(description="Only rows with this suggested label.")] = None,
    verdict: Annotated[Verdict | None, Query(description="Only rows with this verdict.")] = None,
    min_score: Annotated[FiniteFloat | None, Query(description="Only rows that score at least this.")] = None,
) -> rankings.Query:
    check_signal(job, by, "query", "by")
    if label is not None or suggested is not None:
        info = find_dataset_of_job(services, job)
        check_class(info, label, "query", "label")
        check_class(info, suggested, "query", "suggested")
    return rankings.Query(by, label, suggested, verdict, min_score)


def _signals(
    job: CompletedJob,
    signals: Annotated[
        str | None,
        Query(
            description="Names of the signals to show, between commas: si,aai; all that were computed when left out."
        ),
    ] = None,
) -> tuple[str, ...] | None:
    if signals is None:
        return None
    names = tuple(dict.fromkeys(filter(None, (name.strip() for name in signals.split(",")))))
    for name in names:
        check_signal(job, name, "query", "signals")
    return names


@router.get(
    "/jobs/{job_id}/suspects",
    summary="The ranking, most suspicious first",
    response_model=SuspectPage,
    responses=problems(400, 404, 406, 409, 410, 422) | {200: _DESCRIPTION},
)
def list_suspects(
    job: CompletedJob,
    query: Annotated[rankings.Query, Depends(_query)],
    names: Annotated[ToolNames, Depends(_tool_names)],
    signals: Annotated[tuple[str, ...] | None, Depends(_signals)],
    request: Request,
    services: ServicesDependency,
    response: Response,
    limit: paging.PageLimit = 50,
    cursor: paging.PageCursor = None,
    name: Annotated[
        str | None,
        Query(
            alias="format",
            description=f"Instead of Accept: json, {', '.join(EXPORT_FORMATS)}. cleanlab is the table of its label "
            "issues, the others are what the labelling tool of that name imports.",
            json_schema_extra={"enum": ["json", *EXPORT_FORMATS]},
        ),
    ] = None,
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Any:
    """Ties are broken by index, so that pages never overlap. Formats other than JSON contain every row that matches."""
    form = negotiation.choose(name, accept, _MEDIA_TYPES, "a ranking")
    if form != "json":
        return _file(services, job, query, EXPORT_FORMATS[form], names, signals)
    marked = ["suspects", job.id, *asdict(query).values()]
    # The ranking never changes, so the counts travel with the cursor.
    after, total, flagged = None, None, None
    if cursor is not None:
        score, index, rank, place, total, flagged = paging.decode(
            cursor, marked, tuple[FiniteFloat, paging.Index, int, int, int, int]
        )
        after = PageStart(score, index, rank, place)
    with services.database.read() as connection:
        rows = rankings.page(connection, job.id, query, after, limit + 1)
        total = rankings.count(connection, job.id, query) if total is None else total
        flagged = _flagged(rankings.count_by_verdict(connection, job.id), query) if flagged is None else flagged
        shown = rows[:limit]
        first = 1 if after is None else after.place + 1
        ranks = rankings.ranks_of_page(connection, job.id, query, shown, first, after)
    items = suspect_views(services, job, shown, query.by, ranks, first, signals)
    following = None
    if len(rows) > limit:
        last = rows[limit - 1]
        following = paging.encode(marked, [last[query.by], last["index"], ranks[-1], first + limit - 1, total, flagged])
    paging.link_next(request, response, following)
    response.headers["Vary"] = "Accept"
    return SuspectPage(items=items, by=query.by, flagged=flagged, next=following, total=total)


def _flagged(counted: dict[str, int], query: rankings.Query) -> int:
    asked = (query.verdict,) if query.verdict else _VERDICTS.get(query.by, FLAGGED)
    return sum(counted.get(verdict, 0) for verdict in asked)


def _file(
    services: Services,
    job: Job,
    query: rankings.Query,
    form: ExportFormat,
    names: ToolNames,
    signals: tuple[str, ...] | None,
) -> Response:
    name = f"{job.id}-{query.by}.{form.suffix}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Vary": "Accept"}
    content = export_ranking(services, job, query, form, names, signals)
    return StreamingResponse(content, media_type=form.media_type, headers=headers)
