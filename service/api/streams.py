"""Server-sent events of what people and workers do: reviews of a job's chain, and jobs and datasets as a whole."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent

from service.api.http.authentication import PermissionDependency, authorize
from service.api.http.errors import problems
from service.api.http.lookup import CompletedJob, ServicesDependency
from service.api.http.stopping import stopping
from service.api.views.samples import review_views
from service.domain.errors import FieldError, Malformed
from service.services import Services
from service.store import news, rescorings
from service.store.jobs import Job

router = APIRouter(tags=["jobs"], dependencies=[Depends(authorize)], responses=problems(401, 403, 422, 503))

_LOOK_S = 0.5
_MOST = 200  # samples that are named; after more, a page is better read again
Numbers = dict[str, int]
Reviewed = tuple[Numbers, list[str], int]  # marks of what was seen, samples reviewed since, version of the ranking


async def _seen(
    last: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            description="Id of the last event seen; 0 is before the first. Without it, only what comes from now on.",
        ),
    ] = None,
) -> Numbers | None:
    if last is None or last == "":
        return None
    try:
        return {} if last == "0" else {name: int(number) for name, number in _pairs(last)}
    except ValueError as error:
        msg = "must be the id of an event of this stream"
        raise Malformed(
            f"Last-Event-ID: {msg}", errors=[FieldError(loc=["header", "Last-Event-ID"], msg=msg)]
        ) from error


def _pairs(text: str) -> list[tuple[str, str]]:
    pairs = [one.split(":") for one in text.split(",")]
    if any(len(pair) != 2 or not (pair[1].isascii() and pair[1].isdigit()) or len(pair[1]) > 9 for pair in pairs):
        raise ValueError(text)
    return [(pair[0], pair[1]) for pair in pairs]


def _first_reviewed(
    job: CompletedJob, seen: Annotated[Numbers | None, Depends(_seen)], services: ServicesDependency
) -> Reviewed:
    # Before the answer begins, so that whoever has it hears of all that comes.
    return _reviewed(services, job, seen)


@router.get(
    "/jobs/{job_id}/reviews/events",
    response_class=EventSourceResponse,
    summary="Follow the reviews of a job",
    responses=problems(400, 404, 409, 410),
)
async def follow_reviews(
    job: CompletedJob,
    seen: Annotated[Numbers | None, Depends(_seen)],
    services: ServicesDependency,
    first: Annotated[Reviewed, Depends(_first_reviewed)],
    permission: PermissionDependency,
) -> AsyncIterator[ServerSentEvent]:
    """Events are `review`, with `sample_id` and the `review` that holds now (null: none), whoever wrote it and where.

    `ranking` with `version` says that the samples were scored again. Reviews of the whole chain come within a second. When more than 200 samples were reviewed at once, one event `reviews` says
    `count: null`: read the page again. A stream with `Last-Event-ID` continues after it.
    """
    numbers, samples, ranked = first
    version = ranked
    while not stopping() and await permission.holds():
        if ranked != version:
            yield ServerSentEvent(event="ranking", data={"version": ranked})
        version = ranked
        if numbers != seen:
            mark = ",".join(f"{name}:{number}" for name, number in numbers.items())
            if len(samples) > _MOST:
                yield ServerSentEvent(event="reviews", id=mark, data={"count": None})
            else:
                for view in await run_in_threadpool(review_views, services, job, samples):
                    yield ServerSentEvent(event="review", id=mark, data=view)
            seen = numbers
        await asyncio.sleep(_LOOK_S)
        numbers, samples, ranked = await run_in_threadpool(_reviewed, services, job, seen)


def _reviewed(services: Services, job: Job, seen: Numbers | None) -> Reviewed:
    with services.database.read() as connection:
        numbers, ranked = news.review_numbers(connection, job.id), rescorings.version(connection, job.id)
        if seen is None or numbers == seen:
            return numbers, [], ranked
        return numbers, news.reviewed_since(connection, numbers, seen, _MOST + 1), ranked


def _first_look(services: ServicesDependency) -> news.Overview:
    # Before the answer begins, so that a database that is away is said.
    return services.watch.look(services.database)


@router.get("/events", response_class=EventSourceResponse, summary="Follow every job and dataset", responses=problems())
async def follow_all(
    services: ServicesDependency,
    before: Annotated[news.Overview, Depends(_first_look)],
    permission: PermissionDependency,
) -> AsyncIterator[ServerSentEvent]:
    """An event `change` for each job and dataset that appears, changes or goes: `kind`, `id`, `changed`, of a job `state`.

    `changed` lists `appeared`, `state`, `progress`, `reviews` or `gone`. Changes come from now on; what there is, the lists say.
    """
    yield ServerSentEvent(comment="connected")
    while not stopping() and await permission.holds():
        await asyncio.sleep(_LOOK_S)
        recent = services.watch.recent()
        now = await run_in_threadpool(services.watch.look, services.database) if recent is None else recent
        for change in services.watch.changes(before, now):
            if services.database.project in (None, change["project"]):
                shown = {name: value for name, value in change.items() if name != "project"}
                yield ServerSentEvent(event="change", data=shown)
        before = now
