"""Ranking of a job: pages, or a whole file."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import FiniteFloat
from starlette.responses import StreamingResponse

from service.actions.find import check_class, check_signal, find_dataset_of_job
from service.actions.select_suspects import SuspectQuery, select
from service.api.exports.ranking import ToolNames, export_ranking
from service.api.http import negotiation, paging
from service.api.http.authentication import authorize
from service.api.http.errors import problems
from service.api.http.lookup import CompletedJob, ServicesDependency
from service.api.schemas.samples import SuspectPage
from service.api.views.samples import suspect_views
from service.domain.errors import invalid
from service.domain.exports import EXPORT_FORMATS, ExportFormat
from service.domain.label_part import LabelPart
from service.domain.region import LONGEST, parse_region
from service.domain.review import StandingDecision
from service.domain.spreadsheet import HEADERS, RAW
from service.domain.verdict import FLAGGED, Verdict
from service.services import Services
from service.store import rankings
from service.store.jobs import Job

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
_NAMED = 200
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
    min_confidence: Annotated[
        FiniteFloat | None, Query(description="Only rows whose suggested label is at least this certain, 0 to 1.")
    ] = None,
    disagrees: Annotated[
        bool | None, Query(description="true: only rows whose suggested label is not the given one; false: the others.")
    ] = None,
    reviewed: Annotated[
        bool | None, Query(description="true: only rows on which a decision holds; false: only the others.")
    ] = None,
    decision: Annotated[
        StandingDecision | None, Query(description="Only rows on which this decision holds, as `review` shows it.")
    ] = None,
    q: Annotated[
        str | None,
        Query(
            description="Only rows whose sample id contains this, or whose text does in its first 200 characters; "
            "upper and lower case are the same.",
            max_length=200,
        ),
    ] = None,
    region: Annotated[
        str | None,
        Query(
            description="Only rows inside this polygon on a map of the samples: its name and the corners, as in "
            "pca:0,0;1.5,0;1,2, in the coordinates of GET /jobs/{id}/map.",
            max_length=LONGEST,
        ),
    ] = None,
    part: Annotated[
        LabelPart | None,
        Query(
            description="Only rows in this part of their label, as GET /jobs/{id}/groups shows it; goes with `label`."
        ),
    ] = None,
) -> SuspectQuery:
    check_signal(job, by, "query", "by")
    if label is not None or suggested is not None:
        info = find_dataset_of_job(services, job)
        check_class(info, label, "query", "label")
        check_class(info, suggested, "query", "suggested")
    if region is not None:
        try:
            parse_region(region)
        except ValueError as error:
            raise invalid(["query", "region"], str(error)) from error
    return SuspectQuery(
        by, label, suggested, verdict, min_score, min_confidence, disagrees, reviewed, decision, q or None, region, part
    )


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
    query: Annotated[SuspectQuery, Depends(_query)],
    names: Annotated[ToolNames, Depends(_tool_names)],
    signals: Annotated[tuple[str, ...] | None, Depends(_signals)],
    request: Request,
    services: ServicesDependency,
    response: Response,
    limit: paging.PageLimit = 50,
    cursor: paging.PageCursor = None,
    offset: Annotated[
        int | None,
        Query(ge=0, lt=2**63, description="Place in the filtered list to begin at, from 0; instead of a cursor."),
    ] = None,
    ids: Annotated[
        str | None,
        Query(description=f"Only these samples, between commas, at most {_NAMED}; all come in one page."),
    ] = None,
    name: Annotated[
        str | None,
        Query(
            alias="format",
            description=f"Instead of Accept: json, {', '.join(EXPORT_FORMATS)}. cleanlab is the table of its label "
            "issues, the others are what the labelling tool of that name imports.",
            json_schema_extra={"enum": ["json", *EXPORT_FORMATS]},
        ),
    ] = None,
    raw: Annotated[bool, Query(description=RAW)] = False,
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Any:
    """Ties are broken by index, so that pages never overlap. Formats other than JSON contain every row that matches.

    `rank` is the place in the whole ranking by this signal, whatever the filters. `offset` goes to any place of the filtered
    list, `cursor` on from the page before, also where reviews have changed the list since.
    """
    form = negotiation.choose(name, accept, _MEDIA_TYPES, "a ranking")
    if form != "json":
        return _file(services, job, query, EXPORT_FORMATS[form], names, signals, raw=raw)
    wanted = None if ids is None else _named(ids)
    if cursor is not None and offset is not None:
        raise invalid(["query", "offset"], "goes without a cursor: a cursor says itself where a page begins")
    with services.database.read() as connection:
        found = select(services, connection, job, query, wanted)
        start = offset or 0
        marked = ["suspects", job.id, *asdict(query).values(), ids]
        if cursor is not None:
            # The place in the whole ranking: it stays where it is while reviews change what the filters keep.
            start = found.start_after(paging.decode(cursor, marked, tuple[paging.Index])[0])
        page = found.part(start, start + (limit if wanted is None else _NAMED))
        rows = rankings.rows_by_index(connection, job.id, page.index)
    items = suspect_views(services, job, rows, query.by, page.ranks.tolist(), start + 1, signals)
    more = len(page) > 0 and start + len(page) < len(found)
    following = paging.encode(marked, [int(page.ranks[-1])]) if more else None
    paging.link_next(request, response, following)
    response.headers["Vary"] = "Accept"
    flagged = _flagged(found.columns.counts, query)
    return SuspectPage(items=items, by=query.by, flagged=flagged, next=following, total=len(found))


def _named(ids: str) -> list[str]:
    names = list(dict.fromkeys(filter(None, ids.split(","))))
    if len(names) > _NAMED:
        raise invalid(["query", "ids"], f"at most {_NAMED} ids; these are {len(names)}")
    return names


def _flagged(counted: Mapping[str, int], query: SuspectQuery) -> int:
    asked = (query.verdict,) if query.verdict else _VERDICTS.get(query.by, FLAGGED)
    return sum(counted.get(verdict, 0) for verdict in asked)


def _file(
    services: Services,
    job: Job,
    query: SuspectQuery,
    form: ExportFormat,
    names: ToolNames,
    signals: tuple[str, ...] | None,
    *,
    raw: bool,
) -> Response:
    name = f"{job.id}-{query.by}.{form.suffix}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Vary": "Accept"}
    content = export_ranking(services, job, query, form, names, signals, raw=raw)
    if not raw and form.media_type.startswith("text/csv"):
        headers |= HEADERS
    return StreamingResponse(content, media_type=form.media_type, headers=headers)
