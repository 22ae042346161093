"""Push of suspects to a labelling tool, and reconciliation of what people decided there."""

from fastapi import APIRouter, Depends

from service.api.http.authentication import authorize
from service.api.http.bodies import JsonBody, parsed
from service.api.http.errors import problems
from service.api.http.lookup import CompletedJob, ServicesDependency
from service.api.http.openapi import PUSH_BODY
from service.domain.connection import PushRequest, PushResult, ReconcileResult, UndoResult
from service.label_studio.push.push import push, undo
from service.label_studio.reconcile.reconcile import reconcile

router = APIRouter(tags=["connections"], dependencies=[Depends(authorize)], responses=problems(401, 403, 422, 503))


@router.post(
    "/jobs/{job_id}/push",
    summary="Write suspects back into the labelling tool",
    responses=problems(400, 404, 409, 410, 413, 415, 422, 502),
    openapi_extra=PUSH_BODY,
)
def push_job(job: CompletedJob, body: JsonBody, services: ServicesDependency) -> PushResult:
    """The answer comes when the push is complete. Only predictions of the same job are deleted. A second push changes nothing."""
    return push(services, job, parsed(PushRequest, body.value))


@router.post(
    "/jobs/{job_id}/push/undo",
    summary="Take tasks out of the queue again",
    responses=problems(404, 409, 410, 502),
)
def undo_push(job: CompletedJob, services: ServicesDependency) -> UndoResult:
    """Annotations that `requeue` turned into drafts are submitted again, where nobody has annotated the task since."""
    return undo(services, job)


@router.post(
    "/jobs/{job_id}/reconcile",
    summary="Read what people have decided in the labelling tool",
    responses=problems(404, 409, 410, 502),
)
def reconcile_job(job: CompletedJob, services: ServicesDependency) -> ReconcileResult:
    """The answer comes when every decision since the pull is a review of the job. A second call changes nothing.

    The service also does this by itself, a few seconds after an event and every SUSPECTS_RECONCILE_SECONDS.
    """
    return reconcile(services, job)
