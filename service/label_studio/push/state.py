"""What a job has written into the tool: what a second push, undoing and reconciling need to know."""

from typing import Any, Self

import sqlalchemy as sa
from pydantic import Field

from service.domain.dataset import Frozen
from service.domain.errors import Conflict
from service.services import Services
from service.store import pulls
from service.store.jobs import Job
from service.store.pulls import Pull, Push


class PushState(Frozen):
    """All of it; `review_project` has a column of its own, to be found by."""

    digest: str | None = None
    view: int | None = None
    review_project: int | None = None
    model_version_before: str | None = None
    events: str | None = None
    # By task: its annotations as they were before they became drafts, and those that were put back: number and time.
    requeued: dict[int, list[dict[str, Any]]] = Field(default_factory=dict)
    restored: dict[int, list[tuple[int, str]]] = Field(default_factory=dict)

    def changed(self, services: Services, job: Job, **changes: Any) -> Self:
        """With these values, written down at once: what was done in the tool must not be forgotten."""
        found = self.model_copy(update=changes)
        if found != self:
            with services.database.write() as connection:
                state = found.model_dump(mode="json", exclude={"review_project"})
                pulls.save_push(connection, job.id, state, found.review_project, services.now())
        return found


def of_job(services: Services, job: Job) -> PushState:
    """What a job has written; nothing where it was never pushed."""
    with services.database.read() as connection:
        found = pulls.get_push(connection, job.id)
    return PushState() if found is None else _read(found)


def over(connection: sa.Connection, pull: Pull) -> dict[str, PushState]:
    """What the jobs over the same project have written, by job."""
    same = pulls.jobs_of_project(connection, pull.connection_id, pull.project)
    return {job_id: _read(found) for job_id, found in pulls.get_pushes(connection, same).items()}


def _read(push: Push) -> PushState:
    return PushState.model_validate({**push.state, "review_project": push.review_project})


def pull_of(services: Services, job: Job) -> Pull:
    """Where a job's tasks came from. Raises Conflict for a job of an upload."""
    with services.database.read() as connection:
        found = pulls.get(connection, job.id)
    if found is None:
        raise Conflict("the job's samples came from no labelling tool", members={"state": "no_connection"})
    return found
