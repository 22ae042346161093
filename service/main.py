"""The service: settings -> store -> queue -> routes. The only place where they meet."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from service.api import (
    connections,
    datasets,
    deliveries,
    diff,
    documentation,
    errors,
    events,
    integrations,
    jobs,
    label_studio,
    networks,
    openapi,
    operations,
    page,
    report,
    reviews,
    samples,
    signals,
    suspects,
    versions,
    weights,
)
from service.api.deps import Services
from service.api.observe import Backlog, Observe
from service.courier import deliver
from service.domain.ids import new_id
from service.label_studio.pull import pull_due
from service.label_studio.reconcile import reconcile_due
from service.logs import hide_secrets_of_requests, log_to_stderr
from service.loop import run_again
from service.queue import CeleryQueue
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.engine import migrate, open_database
from service.sweep import repeating, sweeping
from service.vault import Vault

_STALE_UPLOAD_S = 24 * 3600
_DESCRIPTION = """Tells which samples of a labelled training set are wrong, by the influence that each has on the
model (TracIn). Upload a dataset, submit a job, read the ranking: higher scores are more suspicious.

Errors are `application/problem+json`. Lists come in pages with a `next` cursor. Creating requests take an
`Idempotency-Key`. With keys configured every request but health, readiness and the page needs one."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application, for `uvicorn --factory service.main:create_app`. It connects to nothing before it starts."""
    settings = settings or Settings()
    log_to_stderr()
    hide_secrets_of_requests()
    services = Services(
        settings=settings,
        database=open_database(settings.database),
        blobs=Blobs(settings.home),
        queue=CeleryQueue(settings),
        vault=Vault(settings),
        now=lambda: datetime.now(UTC),
    )
    registry = CollectorRegistry()
    app = FastAPI(
        title="Usual Suspects",
        version=operations.product_version(),
        summary="Which samples of a training set are wrong.",
        description=_DESCRIPTION,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.services, app.state.metrics = services, registry
    registry.register(Backlog(services))
    app.add_middleware(Observe, registry=registry)
    errors.install(app)
    for part in (
        datasets,
        networks,
        jobs,
        events,
        suspects,
        samples,
        signals,
        report,
        reviews,
        versions,
        weights,
        diff,
        connections,
        integrations,
        label_studio,
        deliveries,
        operations,
        page,
        documentation,
    ):
        app.include_router(part.router)
    openapi.install(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    here: Services = app.state.services
    migrate(here.settings.database)
    _clear_uploads(here.blobs)
    every = here.settings.sweep_seconds
    with (
        sweeping(here.database, here.queue, here.settings, here.now),
        repeating("loop", every, lambda: _loop(here)),
        repeating("reconcile", every, lambda: reconcile_due(here)),
        repeating("pull", every, lambda: _pull(here)),
        repeating("courier", every, lambda: deliver(here.database, here.vault, here.settings, here.now())),
    ):
        yield
    here.queue.close()
    here.database.close()


def _loop(here: Services) -> None:
    run_again(here.database, here.blobs, here.queue, here.settings, new_id, here.now())


def _pull(here: Services) -> None:
    pull_due(here.database, here.blobs, here.queue, here.settings, here.vault, here.now)


def _clear_uploads(blobs: Blobs) -> None:
    """Remove what a process that was killed left behind; another one's upload may still run, so only what is old."""
    for left in blobs.uploads.iterdir():
        if left.stat().st_mtime < time.time() - _STALE_UPLOAD_S:
            left.unlink(missing_ok=True)
