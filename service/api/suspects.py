"""Ranking of a job: pages, or a whole file."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import FiniteFloat
from pydantic_core import to_json

from service.actions.find import check_class, check_signal, known_dataset_of_job, known_job
from service.actions.ranking_stage import at_stage
from service.actions.select_suspects import Selection, SuspectQuery, select
from service.api.exports.ranking import ToolNames, export_ranking
from service.api.http import negotiation, paging
from service.api.http.authentication import authorize, authorized
from service.api.http.errors import problems
from service.api.http.lookup import ServicesDependency, services_of
from service.api.http.streamed import StreamedResponse
from service.api.schemas.samples import SuspectPage
from service.api.schemas.stage import STAGE
from service.api.views.ranked_items import RankedPage, ranked_items
from service.domain.confidence import told_confidence
from service.domain.errors import invalid
from service.domain.exports import EXPORT_FORMATS
from service.domain.job import State
from service.domain.label_part import LabelPart
from service.domain.region import LONGEST, parse_region
from service.domain.review import StandingDecision
from service.domain.spreadsheet import HEADERS, RAW
from service.domain.stage import Stage, stage_of
from service.domain.verdict import FLAGGED, Verdict
from service.services import Services
from service.store.jobs import Job
from service.store.recent import Recent


class _ParsedOnce(APIRoute):
    """A route that answers at once what it has read before."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Admit the request, and read its parameters where they are new."""
        read_and_answer = super().get_route_handler()

        async def handle(request: Request) -> Response:
            asked = _PARSED.get(_words(request))
            if asked is None:
                return await read_and_answer(request)
            # Who is let in sees their project alone: services are asked for after that.
            return await authorized(
                request, lambda: _answer(services_of(request), request.path_params["job_id"], asked, request)
            )

        return handle


router = APIRouter(
    route_class=_ParsedOnce,
    tags=["rankings"],
    dependencies=[Depends(authorize)],
    responses=problems(401, 403, 422, 503),
)

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


# Where nothing is read, `async`: to hand a function to a thread takes longer than these take.
async def _tool_names(
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


async def _query(
    by: Annotated[str, Query(description="mislabeled, anomalous, or any signal that the job computed.")] = "mislabeled",
    label: Annotated[str | None, Query(description="Only rows with this given label.")] = None,
    suggested: Annotated[str | None, Query(description="Only rows with this suggested label.")] = None,
    verdict: Annotated[Verdict | None, Query(description="Only rows with this verdict.")] = None,
    min_score: Annotated[FiniteFloat | None, Query(description="Only rows that score at least this.")] = None,
    min_confidence: Annotated[
        FiniteFloat | None,
        Query(
            description="Only rows whose `suggested_confidence` is at least this, 0 to 1; `confidence` of the page says what that is."
        ),
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
    stage: Annotated[
        Stage | None, Query(description="Which ranking of the job; the newest when left out. " + STAGE)
    ] = None,
) -> SuspectQuery:
    if region is not None:
        try:
            parse_region(region)
        except ValueError as error:
            raise invalid(["query", "region"], str(error)) from error
    return SuspectQuery(
        by,
        label,
        suggested,
        verdict,
        min_score,
        min_confidence,
        disagrees,
        reviewed,
        decision,
        q or None,
        region,
        part,
        stage,
    )


async def _signals(
    signals: Annotated[
        str | None,
        Query(
            description="Names of the signals to show, between commas: si,aai; all that were computed when left out."
        ),
    ] = None,
) -> tuple[str, ...] | None:
    if signals is None:
        return None
    return tuple(dict.fromkeys(filter(None, (name.strip() for name in signals.split(",")))))


def _checked(
    services: Services, connection: sa.Connection, job: Job, query: SuspectQuery, signals: tuple[str, ...] | None
) -> None:
    """Raise Invalid for a class or a signal that the job has not."""
    check_signal(job, query.by, "query", "by")
    if query.label is not None or query.suggested is not None:
        info = known_dataset_of_job(services, connection, job)
        check_class(info, query.label, "query", "label")
        check_class(info, query.suggested, "query", "suggested")
    for name in signals or ():
        check_signal(job, name, "query", "signals")


@router.get(
    "/jobs/{job_id}/suspects",
    summary="The ranking, most suspicious first",
    response_model=SuspectPage,
    responses=problems(400, 404, 406, 409, 410, 422) | {200: _DESCRIPTION},
)
def list_suspects(
    job_id: str,
    query: Annotated[SuspectQuery, Depends(_query)],
    names: Annotated[ToolNames, Depends(_tool_names)],
    signals: Annotated[tuple[str, ...] | None, Depends(_signals)],
    request: Request,
    services: ServicesDependency,
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
    list, `cursor` on from the page before, also where reviews have changed the list since. A job that trains a network on a table gives a
    first ranking while it computes, which can be asked for afterwards too (`stage=quick`).
    """
    form = negotiation.choose(name, accept, _MEDIA_TYPES, "a ranking")
    asked = _Asked(form, query, names, signals, raw, limit, cursor, offset, ids)
    _PARSED.put(_words(request), asked)
    return _answer(services, job_id, asked, request)


def _answer(services: Services, job_id: str, asked: "_Asked", request: Request) -> Response:
    with services.database.read() as connection:
        job = at_stage(services, known_job(services, connection, job_id), asked.query.stage)
        _checked(services, connection, job, asked.query, asked.signals)
        if asked.form == "json":
            content, following = _kept_page(services, connection, job, asked)
            response = Response(content, media_type=_MEDIA_TYPES["json"], headers={"Vary": "Accept"})
            paging.link_next(request, response, following)
            return response
        # A filter that this job cannot answer is refused here: once the file has begun, it could only be cut off.
        found = select(services, connection, job, asked.query)
    return _file(services, job, found, asked)


@dataclass(frozen=True)
class _Asked:
    """What a request asks for, of whichever job."""

    form: str
    query: SuspectQuery
    names: ToolNames
    signals: tuple[str, ...] | None
    raw: bool
    limit: int
    cursor: str | None
    offset: int | None
    ids: str | None


# To read and check twenty parameters takes longer than to answer: the same words mean the same.
_PARSED: Recent[_Asked] = Recent(1_000)


def _words(request: Request) -> tuple[bytes, str | None]:
    return request.scope["query_string"], request.headers.get("accept")


def _kept_page(services: Services, connection: sa.Connection, job: Job, asked: _Asked) -> tuple[bytes, str | None]:
    """A page, put together again where a review was written since, where its links are those of a labelling tool, and while the job computes."""
    ranking = services.open_rankings.get(connection, services.blobs, job.id)
    if job.state != State.COMPLETED or services.completed_jobs.is_pulled(connection, job):
        return _page(services, connection, job, asked)
    key = (job.id, ranking.columns.folder, asked, ranking.standing.now(connection).moment)
    known = services.pages.get(key)
    return services.pages.put(key, _page(services, connection, job, asked)) if known is None else known


def _page(services: Services, connection: sa.Connection, job: Job, asked: _Asked) -> tuple[bytes, str | None]:
    """A `SuspectPage` as JSON, and the cursor of the next one."""
    query, wanted = asked.query, None if asked.ids is None else _named(asked.ids)
    if asked.cursor is not None and asked.offset is not None:
        raise invalid(["query", "offset"], "goes without a cursor: a cursor says itself where a page begins")
    found = select(services, connection, job, query, wanted)
    start = asked.offset or 0
    marked = ["suspects", job.id, *asdict(query).values(), asked.ids]
    if asked.cursor is not None:
        # The place in the whole ranking: it stays where it is while reviews change what the filters keep.
        start = found.start_after(paging.decode(asked.cursor, marked, tuple[paging.Index])[0])
    part = found.part(start, start + (asked.limit if wanted is None else _NAMED))
    page = RankedPage(found.columns, query.by, part.index, part.ranks.tolist(), start + 1, asked.signals)
    items = ranked_items(services, connection, job, page)
    more = len(part) > 0 and start + len(part) < len(found)
    following = paging.encode(marked, [page.ranks[-1]]) if more else None
    flagged = _flagged(found.columns.counts, query)
    about = {
        "by": query.by,
        "stage": stage_of(job.result),
        "confidence": told_confidence(job.result),
        "flagged": flagged,
    }
    rest = to_json({**about, "next": following, "total": len(found)})
    return b'{"items":' + items + b"," + rest[1:], following


def _named(ids: str) -> list[str]:
    names = list(dict.fromkeys(filter(None, ids.split(","))))
    if len(names) > _NAMED:
        raise invalid(["query", "ids"], f"at most {_NAMED} ids; these are {len(names)}")
    return names


def _flagged(counted: Mapping[str, int], query: SuspectQuery) -> int:
    asked = (query.verdict,) if query.verdict else _VERDICTS.get(query.by, FLAGGED)
    return sum(counted.get(verdict, 0) for verdict in asked)


def _file(services: Services, job: Job, found: Selection, asked: _Asked) -> Response:
    form, by = EXPORT_FORMATS[asked.form], asked.query.by
    stage = "-quick" if asked.query.stage == "quick" else ""
    name = f"{job.id}-{by}{stage}.{form.suffix}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Vary": "Accept"}
    content = export_ranking(services, job, by, found, form, asked.names, asked.signals, raw=asked.raw)
    if not asked.raw and form.media_type.startswith("text/csv"):
        headers |= HEADERS
    return StreamedResponse(content, media_type=form.media_type, headers=headers)
