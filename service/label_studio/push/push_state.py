"""State of a job's pushes, for the next push, for undo and for reconciling."""

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
    """What a job has written into the tool. `review_project` also has a database column, for look-ups."""

    digest: str | None = None
    view: int | None = None
    review_project: int | None = None
    model_version_before: str | None = None
    events: str | None = None
    # By task: its annotations before they became drafts, and the restored ones as id and time of the last update.
    requeued: dict[int, list[dict[str, Any]]] = Field(default_factory=dict)
    restored: dict[int, list[tuple[int, str]]] = Field(default_factory=dict)

    def saved_with(self, services: Services, job: Job, **changes: Any) -> Self:
        """The state with these changes, saved at once: a change in the tool must not be lost."""
        found = self.model_copy(update=changes)
        if found != self:
            with services.database.write() as connection:
                state = found.model_dump(mode="json", exclude={"review_project"})
                pulls.save_push(connection, job.id, state, found.review_project, services.now())
        return found


def load_state(services: Services, job: Job) -> PushState:
    """State of a job; the empty state for a job that was never pushed."""
    with services.database.read() as connection:
        found = pulls.get_push(connection, job.id)
    return PushState() if found is None else _read(found)


def states_of_project(connection: sa.Connection, pull: Pull) -> dict[str, PushState]:
    """States of all jobs over the same project, by job."""
    same = pulls.jobs_of_project(connection, pull.connection_id, pull.project)
    return {job_id: _read(found) for job_id, found in pulls.get_pushes(connection, same).items()}


def _read(push: Push) -> PushState:
    return PushState.model_validate({**push.state, "review_project": push.review_project})


def pull_of_job(services: Services, job: Job) -> Pull:
    """The pull of a job's tasks. Raises Conflict for a job over an uploaded dataset."""
    with services.database.read() as connection:
        found = pulls.get(connection, job.id)
    if found is None:
        raise Conflict("the job's samples came from no labelling tool", members={"state": "no_connection"})
    return found
