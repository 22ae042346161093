"""The ranking of a job: page by page, or whole in another form."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import FiniteFloat
from starlette.responses import StreamingResponse

from service.actions.find import check_signal, find_dataset_of_job
from service.api.exports.export import Export
from service.api.exports.tables import columns
from service.api.exports.writers import WRITERS
from service.api.http import negotiation as forms
from service.api.http import paging
from service.api.http.authentication import authorize
from service.api.http.errors import problems
from service.api.http.lookup import CompletedJob, ServicesDependency
from service.api.schemas.samples import Suspect, SuspectPage
from service.api.views.samples import computed_signals, planted_view, review_view, sample_cards
from service.domain.dataset import DatasetInfo
from service.domain.errors import Conflict, invalid
from service.domain.exports import EXPORT_FORMATS, ExportFormat
from service.domain.verdict import FLAGGED, Verdict
from service.platforms.exports import ExportContext
from service.services import Services
from service.store import rankings, reviews
from service.store.jobs import Job
from service.store.rankings import PageStart, Row

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


@dataclass(frozen=True)
class ToolNames:
    """What a labelling tool calls things, where it is not what the dataset calls them."""

    field: str | None = None
    about: str | None = None
    root: str = ""

    def context(self, job: Job, info: DatasetInfo) -> ExportContext:
        """Names of a job's dataset in the tool."""
        # What Label Studio calls the text, where the dataset is an export of its own.
        own = info.inferred.format.startswith("label studio") and info.modality == "text" and info.features
        return ExportContext(
            job_id=job.id,
            modality=info.modality,
            classes=tuple(info.classes),
            origin=info.inferred.format,
            field=self.field or info.inferred.label or "label",
            about=self.about or (info.features[0].name if own else None),
            root=self.root,
        )


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
    responses=problems(400, 404, 406, 409, 410, 422) | {200: _DESCRIPTION},
)
def list_suspects(
    job: CompletedJob,
    query: Annotated[rankings.Query, Depends(_query)],
    names: Annotated[ToolNames, Depends(_tool_names)],
    request: Request,
    services: ServicesDependency,
    response: Response,
    limit: paging.Limit = 50,
    cursor: paging.Cursor = None,
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
    """Ties break by index, so pages never overlap. Any form but JSON streams every row that matches."""
    form = forms.choose(name, accept, _MEDIA_TYPES, "a ranking")
    if form != "json":
        return _export(services, job, query, EXPORT_FORMATS[form], names)
    marked = ["suspects", job.id, *asdict(query).values()]
    # The ranking never changes, so the counts travel with the cursor.
    after, total, flagged = None, None, None
    if cursor is not None:
        score, index, rank, total, flagged = paging.decode(
            cursor, marked, tuple[FiniteFloat, paging.Index, int, int, int]
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


def _export(services: Services, job: Job, query: rankings.Query, form: ExportFormat, names: ToolNames) -> Response:
    info = find_dataset_of_job(services, job)
    _check_fits(form, job, info)

    def chunks() -> Iterator[list[dict[str, Any]]]:
        rank = 0
        # The connection is the stream's own, and given back with it, also when the client goes away.
        with services.database.read() as connection:
            for rows in rankings.stream(connection, job.id, query):
                yield [{**row, "rank": place, "score": row[query.by]} for place, row in enumerate(rows, rank + 1)]
                rank += len(rows)

    export = Export(columns((job.result or {})["signals"]), names.context(job, info), services.blobs.canonical(info.id))
    return StreamingResponse(
        WRITERS[form.name](chunks(), export),
        media_type=form.media_type,
        headers={
            "Content-Disposition": f'attachment; filename="{job.id}-{query.by}.{form.suffix}"',
            "Vary": "Accept",
        },
    )


def _check_fits(form: ExportFormat, job: Job, info: DatasetInfo) -> None:
    """Raise Invalid for data that a tool has no place for, and Conflict for planted errors, which are not the tool's."""
    if not form.fits(info.modality):
        fitting = ", ".join(one.name for one in EXPORT_FORMATS.values() if one.fits(info.modality))
        kinds = " and ".join(form.modalities or ())
        msg = f"{form.name} is for {kinds}, and this dataset is {info.modality}; there are {fitting}"
        raise invalid(["query", "format"], msg)
    if form.is_for_tool and job.spec.glitches:
        raise Conflict(
            "this job planted errors itself; its suggestions are not about your labels", members={"state": "planted"}
        )
