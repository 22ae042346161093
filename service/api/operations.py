"""Health, readiness, metrics, and the lists of models and signals."""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, Literal

import sqlalchemy as sa
import structlog
from fastapi import APIRouter, Depends, Query, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.api.http.authentication import authorize, let_in
from service.api.http.errors import problem, problems
from service.api.http.lookup import ServicesDependency
from service.api.schemas.operations import Check, Health, ModelList, ModelView, Readiness, SignalKindList, WorkerCounts
from service.domain.errors import ArtefactsUnavailable
from service.domain.models import AUTO, FROM_SCRATCH, MODELS
from service.domain.signal import SIGNALS
from service.services import Services
from service.store import turns, workers
from service.store.clock import database_time

router = APIRouter(tags=["operations"])
log = structlog.get_logger()

Name = Literal["database", "broker", "storage", "worker"]


def product_version() -> str:
    """Installed version of the package; "0" where it is not installed."""
    try:
        return version("usual-suspects")
    except PackageNotFoundError:
        return "0"


@router.get("/healthz", summary="Whether the process answers")
async def get_health() -> Health:
    """It checks nothing but the process itself."""
    return Health(version=product_version())


@router.get(
    "/readyz",
    summary="Whether jobs can be taken in and computed",
    responses=problems(422)
    | {503: {"description": "Not ready; `checks` says why.", "content": problems(503)[503]["content"]}},
    response_model=Readiness,
)
def get_readiness(
    services: ServicesDependency,
    exclude: Annotated[
        list[Name],
        Query(
            default_factory=list,
            description="Checks that do not count; `worker`: whether the API alone is ready, as a load balancer asks.",
        ),
    ],
) -> Any:
    """It checks database, broker, storage, and that a worker can take a job."""
    checks: dict[Name, Check] = {name: _checked(name, probe, services) for name, probe in _PROBES.items()}
    failed = [name for name, check in checks.items() if not check.ok and name not in exclude]
    counts = _count_workers(services)
    if not failed:
        return Readiness(status="ready", checks=checks, workers=counts)
    members = {
        "checks": {name: check.model_dump() for name, check in checks.items()},
        "workers": None if counts is None else counts.model_dump(),
    }
    return problem(503, "not_ready", f"not ready: {', '.join(failed)}", members=members)


def _database(services: Services) -> Check:
    with services.database.read() as connection:
        connection.execute(sa.text("SELECT 1"))
    return Check(ok=True, detail="answers")


def _broker(services: Services) -> Check:
    waiting = services.queue.depth()
    return Check(ok=waiting is not None, detail="cannot be reached" if waiting is None else f"{waiting} messages wait")


def _storage(services: Services) -> Check:
    if not services.blobs.writable():
        return Check(ok=False, detail="cannot be written: full, or not ours")
    try:
        services.blobs.probe()
    except ArtefactsUnavailable as error:
        log.warning("not ready", check="storage", error=error.detail)
        return Check(ok=False, detail="the artefact store cannot be written; see the log of the API")
    free = f"{services.blobs.disk()[1] / 2**30:.1f} GiB free"
    store = "" if services.blobs.cache is None else ", and the artefact store"
    return Check(ok=True, detail=f"can be written{store}; {free}")


def _worker(services: Services) -> Check:
    found = _presence(services)
    if not found.alive:
        return Check(ok=False, detail="none has signed in lately; start one")
    if not found.ready:
        return Check(ok=False, detail=f"{found.alive} alive, no process can take a job yet; see the worker's log")
    with services.database.read() as connection:
        takers = workers.takers(connection, services.settings.heartbeat_seconds, database_time(connection))
        waiting = turns.count_by_queue(connection)
    for queue in takers.missing:
        if waiting[queue]:
            detail = f"jobs wait for a worker of the queue {queue}, and none is alive; others do not take them"
            return Check(ok=False, detail=detail)
    return Check(ok=True, detail=f"{found.alive} alive, {found.ready} processes can take a job")


def _count_workers(services: Services) -> WorkerCounts | None:
    try:
        return WorkerCounts(**vars(_presence(services)))
    except sa.exc.SQLAlchemyError:
        return None


def _presence(services: Services) -> workers.PresentWorkers:
    with services.database.read() as connection:
        return workers.presence(connection, services.settings.heartbeat_seconds, database_time(connection))


_PROBES: dict[Name, Callable[[Services], Check]] = {
    "database": _database,
    "broker": _broker,
    "storage": _storage,
    "worker": _worker,
}


def _checked(name: Name, probe: Callable[[Services], Check], services: Services) -> Check:
    try:
        return probe(services)
    except sa.exc.SQLAlchemyError as error:
        log.warning("not ready", check=name, error=str(error))
        return Check(ok=False, detail="the database cannot be reached")


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    # As /healthz and /readyz: probes add parameters of their own.
    dependencies=[Depends(let_in)],
    response_class=Response,
    responses=problems(401, 403) | {200: {"description": "Text exposition.", "content": {"text/plain": {}}}},
)
def get_metrics(request: Request) -> Response:
    """Requests by route, jobs by state, and messages in the queue."""
    return Response(generate_latest(request.app.state.metrics), media_type=CONTENT_TYPE_LATEST)


@router.get("/models", summary="The models", dependencies=[Depends(authorize)], responses=problems(401, 403, 422))
async def list_models() -> ModelList:
    """Each has the JSON schema of its parameters, and its training defaults."""
    items = [
        ModelView.model_validate(
            {
                **model.model_dump(exclude={"training", "fine_tuning"}),
                "default": model.name in (*AUTO.values(), *FROM_SCRATCH.values()),
                "params": model.params.model_json_schema(),
                "training": {} if model.training is None else model.training.model_dump(),
                "fine_tuning": {} if model.fine_tuning is None else model.fine_tuning.model_dump(),
            }
        )
        for model in MODELS.values()
    ]
    return ModelList(items=items, total=len(items))


@router.get("/signals", summary="The signals", dependencies=[Depends(authorize)], responses=problems(401, 403, 422))
async def list_signals() -> SignalKindList:
    """Each has its meaning, formula, source and cost."""
    items = list(SIGNALS.values())
    return SignalKindList(items=items, total=len(items))
