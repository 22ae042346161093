"""Server-sent events of a job."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent

from service.api.http.authentication import PermissionDependency, authorize
from service.api.http.errors import problems
from service.api.http.lookup import ExistingJob, ServicesDependency
from service.api.http.stopping import stopping
from service.domain.errors import FieldError, Malformed
from service.domain.job import ENDED, Progress
from service.services import Services
from service.store import job_events, jobs
from service.store.job_events import JobEvent
from service.store.jobs import Job

router = APIRouter(tags=["jobs"], dependencies=[Depends(authorize)], responses=problems(401, 403, 422, 503))

_LOOK_S = 0.5
_LAST = 2**31 - 1  # events of one job that any database can count


async def _resume_after(
    last: Annotated[
        str | None, Header(alias="Last-Event-ID", description="Number of the last event seen; 0 is before the first.")
    ] = None,
) -> int:
    if last is None or last == "":
        return 0
    if not (last.isascii() and last.isdigit()):
        msg = "must be the id of an event"
        raise Malformed(f"Last-Event-ID: {msg}", errors=[FieldError(loc=["header", "Last-Event-ID"], msg=msg)])
    return min(int(last[:10]), _LAST)


@router.get(
    "/jobs/{job_id}/events",
    response_class=EventSourceResponse,
    summary="Follow a job",
    responses=problems(400, 404),
)
async def follow_job(
    job: ExistingJob,
    after: Annotated[int, Depends(_resume_after)],
    services: ServicesDependency,
    permission: PermissionDependency,
) -> AsyncIterator[ServerSentEvent]:
    """Events are `state` at each change, `metrics` after each epoch, `ranking` when there is a first one, and `progress` whenever it changes.

    All but `progress` have an id; a stream with `Last-Event-ID` continues after it. The final state ends the stream.
    """
    told: Progress | None = None
    said: object = None
    while not stopping() and await permission.holds():
        now, events = await run_in_threadpool(_look, services, job.id, after)
        if now is None:
            return
        for event in events:
            after, said = event.seq, event.data.get("state")
            yield ServerSentEvent(event=event.kind, id=str(event.seq), data=event.data)
        if now.state in ENDED:
            if said != now.state:
                # Whoever resumes after the end still learns how it ended.
                yield ServerSentEvent(event="state", id=str(after), data={"state": now.state})
            return
        if now.progress != told:
            told = now.progress
            yield ServerSentEvent(event="progress", data=told.model_dump())
        await asyncio.sleep(_LOOK_S)


def _look(services: Services, job_id: str, after: int) -> tuple[Job | None, list[JobEvent]]:
    # The job first: once it has ended, its last event is there to be read.
    with services.database.read() as connection:
        job = jobs.get(connection, job_id)
        return job, list(job_events.after_number(connection, job_id, after))
