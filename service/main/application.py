"""Application factory of the service."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import cache, partial

import sqlalchemy as sa
import structlog
from anyio import to_thread
from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry
from starlette.routing import BaseRoute

from service.actions.rerun import run_again
from service.actions.rescore import rescore_due
from service.api import (
    audits,
    confusion,
    connections,
    datasets,
    deliveries,
    diff,
    documentation,
    downloads,
    events,
    integrations,
    issues,
    jobs,
    keys,
    label_studio,
    networks,
    operations,
    overviews,
    page,
    report,
    reviews,
    samples,
    sign_in,
    signals,
    streams,
    suspects,
    versions,
    weights,
)
from service.api.http import errors, observe, openapi
from service.api.http.audit_trail import AuditTrail
from service.api.http.compression import CompressJson
from service.api.http.head import AnswerHead
from service.api.http.safe_headers import SafeHeaders
from service.api.http.slow_bodies import CutOffSlowBodies
from service.api.http.stopping import noticing_signals, stopping
from service.api.http.unchanged import AnswerUnchanged
from service.background.collect import collect
from service.background.pulls import pull_due
from service.background.reconcile import reconcile_due
from service.background.repeat import repeating
from service.background.wake import wake_due
from service.background.webhooks import deliver_due
from service.environment import read_settings
from service.ingest.confined import IngestProcesses
from service.ingest.confinement import Confinement
from service.logs import hide_secrets_of_requests, log_libraries_to_stderr, log_to_stderr
from service.outbound.provider import Provider
from service.outbound.quotas import Quotas
from service.outbound.secrets import Vault
from service.queue import CeleryQueue
from service.services import Services
from service.settings import Settings
from service.store.blobs import open_blobs
from service.store.engine import migrate, open_database
from service.traces import is_untraced, tracer_provider

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 8.0  # between two tries to reach the database
log = structlog.get_logger()
_DESCRIPTION = """Finds wrong samples in a labelled training set, by the influence that each has on the model (TracIn).
Upload a dataset, submit a job, read the ranking: higher scores are more suspicious.

Errors are `application/problem+json`. Unknown query parameters and unknown fields of a body are refused. Lists have pages
with a `next` cursor. Requests that create a resource take an `Idempotency-Key`. Where API keys are configured, every request
needs one, except health, readiness and the page."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application. It connects to nothing before it starts."""
    settings = settings or read_settings()
    log_to_stderr()
    log_libraries_to_stderr()
    hide_secrets_of_requests()
    services = Services(
        settings=settings,
        database=open_database(settings.database),
        blobs=open_blobs(settings),
        queue=CeleryQueue(settings),
        vault=Vault(settings),
        quotas=Quotas(settings),
        provider=Provider(settings),
        now=lambda: datetime.now(UTC),
        ingests=_ingests(settings),
    )
    registry = CollectorRegistry()
    traces = tracer_provider("usual-suspects-api")
    app = FastAPI(
        title="Usual Suspects",
        version=operations.product_version(),
        summary="Which samples of a training set are wrong.",
        description=_DESCRIPTION,
        lifespan=_lifespan,
        routes=_routes(),
        docs_url=None,
        redoc_url=None,
        telemetry={
            "tracing": traces is not None,
            "tracer_provider": traces,
            "operation_spans": False,
            "metrics": False,
            "logs": False,
            "auto_configure": False,
            "exclude": is_untraced,
        },
    )
    app.state.services, app.state.metrics, app.state.traces = services, registry, traces
    registry.register(observe.Backlog(services))
    app.add_middleware(AnswerUnchanged)
    observe.install(app, registry)
    errors.install(app)
    app.add_middleware(AuditTrail, services=services)
    app.add_middleware(CompressJson)
    app.add_middleware(AnswerHead)
    app.add_middleware(SafeHeaders)
    app.add_middleware(CutOffSlowBodies, pause_s=settings.body_seconds)
    openapi.install(app)
    return app


def prepare_routes() -> None:
    """Prepare every route for all applications of this process. FastAPI does it at the first request, which takes a tenth of a second."""
    nowhere = {"type": "http", "method": "GET", "path": "/-", "path_params": {}, "headers": []}
    for route in _routes():
        route.matches(nowhere)


@cache
def _routes() -> list[BaseRoute]:
    """Every route, made once a process."""
    router = APIRouter()
    for part in (
        # First, because it is asked for most, and routes are tried one by one.
        suspects,
        datasets,
        downloads,
        networks,
        jobs,
        events,
        streams,
        confusion,
        samples,
        signals,
        issues,
        report,
        reviews,
        audits,
        versions,
        weights,
        diff,
        connections,
        integrations,
        label_studio,
        deliveries,
        keys,
        sign_in,
        operations,
        overviews,
        page,
        documentation,
    ):
        router.include_router(part.router)
    return router.routes


def _ingests(settings: Settings) -> IngestProcesses:
    confinement = Confinement(
        memory_bytes=settings.ingest_memory_bytes,
        seconds=settings.ingest_seconds,
        file_bytes=2 * settings.max_expanded_bytes,
    )
    return IngestProcesses(confinement, settings.ingest_processes)


# Runs every SUSPECTS_SWEEP_SECONDS, each in a thread of its own.
_BACKGROUND: dict[str, Callable[[Services], object]] = {
    "wake": wake_due,
    "rerun": run_again,
    "rescore": rescore_due,
    "reconcile": reconcile_due,
    "pull": pull_due,
    "webhooks": deliver_due,
}


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    with ExitStack() as running:
        running.enter_context(noticing_signals())
        await _migrate_once_reachable(services.settings.database)
        services.ingests.start()
        for name, work in _BACKGROUND.items():
            wanted = services.rerun_wanted if work is run_again else None
            running.enter_context(repeating(name, services.settings.sweep_seconds, partial(work, services), wanted))
        if services.settings.collect_seconds:
            at_once = threading.Event()
            at_once.set()
            work = partial(collect, services)
            running.enter_context(repeating("collect", services.settings.collect_seconds, work, at_once))
        yield
    services.queue.close()
    services.watch.close()
    services.database.close()
    if app.state.traces is not None:
        await to_thread.run_sync(app.state.traces.shutdown)  # it sends what it holds


async def _migrate_once_reachable(url: str) -> None:
    """Migrate the database, and wait for a server that is not up yet. Raises OperationalError when told to stop meanwhile."""
    pause = _FIRST_PAUSE_S
    while True:
        try:
            migrate(url)
        except sa.exc.OperationalError as error:
            if sa.make_url(url).get_backend_name() == "sqlite" or stopping():
                raise
            log.warning("waiting for the database", error=str(error.orig), seconds=pause)
        else:
            return
        for _ in range(round(pause / _FIRST_PAUSE_S)):
            await asyncio.sleep(_FIRST_PAUSE_S)
            if stopping():
                break
        pause = min(2 * pause, _LONGEST_PAUSE_S)
