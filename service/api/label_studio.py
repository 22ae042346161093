"""What Label Studio calls: a machine learning backend, and events of its projects.

The secret in the path is the key; no other is asked for.
"""

import hmac
from typing import Annotated

import structlog
from fastapi import APIRouter, BackgroundTasks, Depends

from service.api.http.bodies import JsonBody, parsed
from service.api.http.errors import problems
from service.api.http.lookup import ServicesDependency
from service.api.http.openapi import EVENT_BODY, QUESTION_BODY, SETUP_BODY
from service.domain.errors import Conflict, NotFound
from service.domain.label_studio import (
    BackendHealth,
    EventAccepted,
    ModelVersion,
    ModelVersions,
    Predictions,
    PredictRequest,
    SetupRequest,
    ToolEvent,
)
from service.label_studio.backend.answers import predict, train_again, version_of, versions
from service.services import Services
from service.store import connections, pulls

log = structlog.get_logger()

_CHANGES = frozenset(
    {"ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED", "TASKS_DELETED"}
)


def _caller(secret: str, services: ServicesDependency) -> str:
    """Id of the connection with this path. Raises NotFound for any other path, without saying why."""
    connection_id, _, given = secret.partition(".")
    with services.database.read() as connection:
        found = connections.get_encrypted(connection, connection_id)
    known = "" if found is None else _opened(services, found.path_secret)
    # Compared in constant time, and also where there is nothing to compare with.
    if not hmac.compare_digest(given.encode(), known.encode()) or not known:
        raise NotFound("no such path; POST /connections/{id}/backend makes a new one")
    return connection_id


def _opened(services: Services, sealed: str) -> str:
    try:
        return services.vault.open(sealed)
    except Conflict as error:
        log.warning("a labelling tool cannot be let in", error=error.detail)
        return ""


Caller = Annotated[str, Depends(_caller)]

router = APIRouter(prefix="/ls/{secret}", tags=["label studio"], responses=problems(404, 503))


@router.get("/health", summary="Say that the service is there", dependencies=[Depends(_caller)])
def tell_health() -> BackendHealth:
    """Label Studio waits at most 1 s for the answer."""
    return BackendHealth()


@router.post(
    "/setup",
    summary="Say which version a project is at",
    responses=problems(400, 413, 415, 422),
    openapi_extra=SETUP_BODY,
)
def set_up(caller: Caller, body: JsonBody, services: ServicesDependency) -> ModelVersion:
    """Label Studio calls this often. Nothing is stored, and the token in the request is not read."""
    return ModelVersion(
        model_version=version_of(services, caller, parsed(SetupRequest, body.value, by_tool=True).number)
    )


@router.get("/versions", summary="List the versions of all projects")
def list_versions(caller: Caller, services: ServicesDependency) -> ModelVersions:
    """One version for each completed job over this connection, newest first, at most 100."""
    return ModelVersions(versions=versions(services, caller))


@router.post(
    "/predict",
    summary="Say what is known of tasks",
    responses=problems(400, 413, 415, 422),
    openapi_extra=QUESTION_BODY,
)
def predict_tasks(caller: Caller, body: JsonBody, services: ServicesDependency) -> Predictions:
    """Ranked tasks get their score and suggested class, new tasks the prediction of the job's model.

    A worker predicts new tasks within SUSPECTS_ANSWER_SECONDS. When all are busy, new tasks get no prediction, and Label
    Studio asks again when the task is opened the next time.
    """
    return Predictions(results=predict(services, caller, parsed(PredictRequest, body.value, by_tool=True)))


@router.post(
    "/webhook",
    status_code=202,
    summary="Hear of an event",
    responses=problems(400, 413, 415, 422),
    openapi_extra=EVENT_BODY,
)
def hear(caller: Caller, body: JsonBody, services: ServicesDependency, later: BackgroundTasks) -> EventAccepted:
    """The answer comes at once, because the annotator's own request waits for it. Annotations are read later.

    START_TRAINING runs the newest job of the project again over its present tasks, once however often it comes. Events
    that concern no label change nothing.
    """
    event = parsed(ToolEvent, body.value, by_tool=True)
    if event.action in _CHANGES:
        later.add_task(_ask, services, caller, event.project.id)
    elif event.action == "START_TRAINING":
        # Nothing else tells that somebody pressed the button: it is kept before it is answered.
        train_again(services, caller, event.project.id)
    return EventAccepted(action=event.action)


def _ask(services: Services, connection_id: str, project: int) -> None:
    with services.database.write() as connection:
        count = pulls.request_reconcile(connection, connection_id, project, services.now())
    if count:
        log.info("to be reconciled", connection=connection_id, project=project, jobs=count)
