"""Request ids, the log line of each request, and metrics. No key, query or body is logged or counted."""

import re
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from uuid import uuid4

import sqlalchemy as sa
import structlog
from asgi_correlation_id import CorrelationIdMiddleware, correlation_id
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.http.errors import REQUEST_ID, problem_response
from service.domain.errors import Invalid, NotFound
from service.domain.job import ENDED, State
from service.domain.job_queue import JOB_QUEUES
from service.logs import without_secret
from service.services import Services
from service.store import counters, jobs, turns, workers
from service.store.clock import database_time
from service.store.counters import Count

log = structlog.get_logger()

_JOB = re.compile(r"/jobs/(job_[0-9a-z]{1,40})(?:/|$)")
_CLIENT_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
COLLECTED = ("orphan", "unfinished", "checkpoints", "job", "dataset", "session", "audit_log")
ASKED_METHOD = "suspects_method"  # of the scope of a request that is answered as another one is
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def install(app: FastAPI, registry: CollectorRegistry) -> None:
    """Give every request an id, a log line and metrics."""
    app.add_middleware(Observe, registry=registry)
    # Added last, so that it runs first. A transformer, because a validator logs a warning of each id that it refuses.
    app.add_middleware(CorrelationIdMiddleware, header_name=REQUEST_ID, validator=None, transformer=_accepted)


def _bind_job(path: str) -> None:
    """Log the id of the job that is asked about, or that an answer's Location names because it has just been made."""
    job = _JOB.match(path)
    if job is not None:
        structlog.contextvars.bind_contextvars(job=job.group(1))


def _accepted(given: str) -> str:
    """The id that the client chose, or a new one when that is unfit for a log."""
    return given if _CLIENT_ID.fullmatch(given) else uuid4().hex


class Observe:
    """ASGI middleware: one log line and two metrics for each request.

    Labels are bounded: route templates, known methods and status codes. prometheus-fastapi-instrumentator was measured
    and makes new series of what clients send: 100 ids with a slash after them gave 1,500 lines of /metrics (here 20),
    100 unknown methods 900 (here 20). It takes the same time.
    """

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._requests = Counter(
            "suspects_requests", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "suspects_request_seconds", "Time to the last byte.", ["method", "route"], registry=registry
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started = 500, time.perf_counter()

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _bind_job(b"".join(value for name, value in message["headers"] if name.lower() == b"location").decode())
            await send(message)

        # Bound until the next request of this task, so that the log line of an unforeseen error has the id too.
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=correlation_id.get())
        _bind_job(scope["path"])
        try:
            # No id, no name and no label holds a NUL character, and no database takes one.
            if "\0" in scope["path"]:
                await problem_response(NotFound("no such path: it holds a NUL character"))(
                    scope, receive, send_noting_status
                )
            elif b"%00" in scope["query_string"]:
                await problem_response(Invalid("the query holds a NUL character"))(scope, receive, send_noting_status)
            else:
                await self._app(scope, receive, send_noting_status)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        asked: str = scope.get(ASKED_METHOD, scope["method"])
        method = asked if asked in _METHODS else "OTHER"
        route = getattr(scope.get("route"), "path", "unmatched")
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)
        log.info(
            "request",
            method=method,
            path=without_secret(scope["path"]),
            status=status,
            ms=round(seconds * 1000, 1),
        )


def _of_jobs(happened: Mapping[tuple[str, str], Count]) -> Iterable[Metric]:
    """What happened to jobs, over all processes."""
    nothing = Count(0, 0.0)
    expired = happened.get((counters.EXPIRED, ""), nothing).number
    yield CounterMetricFamily("suspects_leases_expired", "Leases of jobs that ran out.", value=expired)
    restarted = happened.get((counters.RESTARTED, ""), nothing).number
    yield CounterMetricFamily("suspects_job_restarts", "Attempts at a job after its first.", value=restarted)
    recovered = happened.get((counters.RECOVERED, ""), nothing)
    text = "Time from a lease that ran out to the next claim of its job."
    yield SummaryMetricFamily(
        "suspects_recovery_seconds", text, count_value=recovered.number, sum_value=recovered.seconds
    )
    ended = CounterMetricFamily("suspects_jobs_ended", "Jobs that ended, by state.", labels=["state"])
    for state in sorted(ENDED):
        ended.add_metric([state], happened.get((counters.ENDED, state), nothing).number)
    text = "Time of each phase of completed jobs, over all attempts."
    phases = SummaryMetricFamily("suspects_phase_seconds", text, labels=["phase"])
    for (name, phase), found in sorted(happened.items(), key=lambda pair: pair[0]):
        if name == counters.PHASE:
            phases.add_metric([phase], found.number, found.seconds)
    yield from (ended, phases)


class Backlog(Collector):
    """Numbers of jobs by state, of workers, of waiting messages and of what was collected, read at each scrape."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterable[Metric]:
        """Read the numbers."""
        with self._services.database.read() as connection:
            counted = jobs.count_by_state(connection)
            present = self._presence(connection)
            happened = counters.counted(connection)
            waiting, takers = turns.count_by_queue(connection), self._takers(connection)
        by_state = GaugeMetricFamily("suspects_jobs", "Jobs by state.", labels=["state"])
        for state in State:
            by_state.add_metric([state], counted.get(state, 0))
        yield by_state
        yield GaugeMetricFamily("suspects_workers_alive", "Workers that have signed in lately.", value=present.alive)
        yield GaugeMetricFamily(
            "suspects_workers_ready", "Processes of workers that can take a job or compute one.", value=present.ready
        )
        queued = GaugeMetricFamily("suspects_queued_jobs", "Jobs that wait for a worker, by queue.", labels=["queue"])
        taking = GaugeMetricFamily(
            "suspects_queue_workers", "Workers alive that take the jobs of a queue.", labels=["queue"]
        )
        for queue in JOB_QUEUES:
            queued.add_metric([queue], waiting[queue])
            taking.add_metric([queue], takers.by_queue[queue])
        yield from (queued, taking)
        numbers = CounterMetricFamily(
            "suspects_collected", "Files and rows removed, which nothing needed.", labels=["kind"]
        )
        sizes = CounterMetricFamily("suspects_collected_bytes", "Bytes of these files.", labels=["kind"])
        for kind in COLLECTED:
            numbers.add_metric([kind], self._services.collected.numbers[kind])
            sizes.add_metric([kind], self._services.collected.sizes[kind])
        yield from (numbers, sizes)
        yield from _of_jobs(happened)
        size, free = self._services.blobs.disk()
        yield GaugeMetricFamily("suspects_storage_bytes", "Size of the disk of SUSPECTS_HOME.", value=size)
        yield GaugeMetricFamily("suspects_storage_free_bytes", "What is free of it.", value=free)
        text = "The version that answers; always 1."
        build = GaugeMetricFamily("suspects_build_info", text, labels=["version"])
        build.add_metric([version("usual-suspects")], 1)
        yield build
        depth = self._services.queue.depth()
        if depth is not None:
            yield GaugeMetricFamily("suspects_queue_depth", "Messages that no worker has taken yet.", value=depth)

    def _presence(self, connection: sa.Connection) -> workers.PresentWorkers:
        return workers.presence(connection, self._services.settings.heartbeat_seconds, database_time(connection))

    def _takers(self, connection: sa.Connection) -> workers.Takers:
        return workers.takers(connection, self._services.settings.heartbeat_seconds, database_time(connection))
