"""Suspects go back to the labelling tool that the tasks came from."""

from fastapi import APIRouter, Depends

from service.api.bodies import JsonBody, parsed
from service.api.deps import Here, authorize
from service.api.errors import problems
from service.api.openapi import PUSH_BODY
from service.api.suspects import Completed
from service.domain.connection import Pushed, PushRequest, Undone
from service.label_studio.push import push, undo

router = APIRouter(tags=["connections"], dependencies=[Depends(authorize)], responses=problems(401, 403, 503))


@router.post(
    "/jobs/{job_id}/push",
    summary="Write suspects back into the labelling tool",
    responses=problems(400, 404, 409, 410, 413, 415, 422, 502),
    openapi_extra=PUSH_BODY,
)
def push_job(job: Completed, body: JsonBody, here: Here) -> Pushed:
    """Answers when it is done. Nothing is deleted but predictions of the same job, and doing it twice changes nothing."""
    return push(here, job, parsed(PushRequest, body.value))


@router.post(
    "/jobs/{job_id}/push/undo",
    summary="Take tasks out of the queue again",
    responses=problems(404, 409, 410, 502),
)
def undo_push(job: Completed, here: Here) -> Undone:
    """What `requeue` turned into drafts is submitted again as it was, where nobody has annotated the task since."""
    return undo(here, job)
