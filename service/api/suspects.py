"""The ranking of a job: page by page, or whole in another form."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import FiniteFloat
from starlette.responses import StreamingResponse

from service.api.datasets import media_link
from service.api.exports import ranking_files as exports
from service.api.exports.tool_files import Words, to_tool, tool_form, words
from service.api.http import negotiation as forms
from service.api.http import paging
from service.api.http.dependencies import ServicesDependency, authorize
from service.api.http.errors import problems
from service.api.jobs import find_job
from service.api.schemas.samples import ReviewView, SampleCard, Suspect, SuspectPage, Verdict
from service.domain.dataset import DatasetInfo
from service.domain.errors import Conflict, FieldError, Gone, NotFound, invalid_fields
from service.domain.job import ACTIVE, State
from service.domain.review import Review, review_outcome
from service.domain.signal import SIGNALS
from service.ingest.rows import previews
from service.label_studio.push.tab import task_links
from service.platforms.exports import FORMS
from service.services import Services
from service.store import datasets, rankings, reviews
from service.store.jobs import Job
from service.store.rankings import PageStart, Row

router = APIRouter(tags=["rankings"], dependencies=[Depends(authorize)], responses=problems(401, 403, 503))

_RETRY_S = 2
_VERDICTS: dict[str, tuple[str, ...]] = {"mislabeled": ("mislabeled",), "anomalous": ("anomalous",)}
_FLAGGED = ("mislabeled", "anomalous")


def completed(job_id: str, services: ServicesDependency) -> Job:
    """A job whose results are there. Raises NotFound, Conflict (not yet) and Gone (never)."""
    job = find_job(services, job_id)
    if job.state in ACTIVE:
        raise Conflict(
            f"the job is {job.state}; its results come when it is completed",
            retry_after=_RETRY_S,
            members={"state": job.state},
        )
    if job.state != State.COMPLETED:
        why = f": {job.error.detail}" if job.error else ""
        raise Gone(f"the job {job.state}{why}; POST /jobs/{job_id}/retry runs it again", members={"state": job.state})
    return job


Completed = Annotated[Job, Depends(completed)]


def dataset_of(services: Services, job: Job) -> DatasetInfo:
    """The dataset that a job ranked."""
    with services.database.read() as connection:
        info = datasets.get(connection, job.dataset_id)
    if info is None:
        raise NotFound(f"the job {job.id} was deleted in the meantime")
    return info


def _query(
    job: Completed,
    by: Annotated[str, Query(description="mislabeled, anomalous, or any signal that the job computed.")] = "mislabeled",
    label: Annotated[str | None, Query(description="Only rows with this given label.")] = None,
    suggested: Annotated[str | None, Query(description="Only rows with this suggested label.")] = None,
    verdict: Annotated[Verdict | None, Query(description="Only rows with this verdict.")] = None,
    min_score: Annotated[FiniteFloat | None, Query(description="Only rows that score at least this.")] = None,
) -> rankings.Query:
    check_signal(job, by)
    return rankings.Query(by, label, suggested, verdict, min_score)


def check_signal(job: Job, name: str, parameter: str = "by") -> None:
    """Raise Invalid for a signal that does not exist, or that the job has not computed, with the reason."""
    computed: list[str] = (job.result or {})["signals"]
    if name in computed:
        return
    if name not in SIGNALS:
        msg = f"no such signal; one of {', '.join(computed)}"
    elif SIGNALS[name].trusted_reference and not (job.spec.reference and job.spec.reference.is_trusted):
        msg = "not computed for this job: it needs a trusted reference"
    elif job.spec.model.name == "predictions" and (why := SIGNALS[name].unsuited(features="anomalous" in computed)):
        msg = f"not computed for this job: {why}"
    else:
        msg = f"not among the signals of this job: {', '.join(computed)}"
    raise invalid_fields([FieldError(loc=["query", parameter], msg=msg)])


@router.get(
    "/jobs/{job_id}/suspects",
    summary="The ranking, most suspicious first",
    response_model=SuspectPage,
    responses=problems(400, 404, 406, 409, 410, 422) | {200: exports.DESCRIPTION},
)
def list_suspects(
    job: Completed,
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
    asked = (query.verdict,) if query.verdict else _VERDICTS.get(query.by, _FLAGGED)
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
            planted=planted(row),
            review=review_view(held.get(row["sample_id"]), row["given_label"], row["suggested_label"]),
            signals=signals_of(row),
        )
        for rank, (row, card) in enumerate(zip(rows, cards, strict=True), first)
    ]


def review_view(review: Review | None, given: str, suggested: str) -> ReviewView | None:
    """The decision that holds, whichever job of the chain it was given to, and what it says of the suspicion."""
    if review is None:
        return None
    word = review.about(given)
    return ReviewView.model_validate({**word.model_dump(), "outcome": review_outcome(word, given, suggested)})


def planted(row: Row) -> Any:
    """The known error of a row, or None."""
    if row["planted_kind"] is None:
        return None
    return {"kind": row["planted_kind"], "original_label": row["planted_label"]}


def signals_of(row: Row) -> dict[str, float]:
    """The signals of a row that were computed."""
    return {name: row[name] for name in SIGNALS if row[name] is not None}


def sample_cards(services: Services, job: Job, rows: Sequence[Row]) -> list[SampleCard]:
    """Ranked rows in short."""
    info = dataset_of(services, job)
    shown = previews(services.blobs.canonical(info.id), [row["position"] for row in rows])
    tool = task_links(services, job)
    return [
        SampleCard.model_validate(
            {
                "id": row["sample_id"],
                "index": row["index"],
                "preview": preview,
                "links": {
                    "self": job_sample_link(job.id, row["sample_id"]),
                    "media": media_link(info, row["sample_id"]),
                    "tool": tool(row["sample_id"]),
                },
            }
        )
        for row, preview in zip(rows, shown, strict=True)
    ]


def job_sample_link(job_id: str, sample_id: str) -> str:
    """Path of everything that a job knows of one sample."""
    return f"/jobs/{job_id}/samples/{quote(sample_id, safe='')}"


def _export(services: Services, job: Job, query: rankings.Query, form: exports.Format, said: Words) -> Response:
    def chunks() -> Iterator[Sequence[Row]]:
        # The connection is the stream's own, and given back with it, also when the client goes away.
        with services.database.read() as connection:
            yield from rankings.stream(connection, job.id, query)

    rows = exports.ranked(chunks(), query.by)
    if form in FORMS:
        info = dataset_of(services, job)
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
