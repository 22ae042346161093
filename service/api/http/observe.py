"""Around every request: its id, its line in the log, its numbers. Never a key, a query or a body."""

import re
import time
import uuid
from collections.abc import Iterable

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.http.errors import told
from service.domain.errors import Invalid, NotFound
from service.domain.job import State
from service.logs import without_secret
from service.services import Services
from service.store import jobs

log = structlog.get_logger()

_ID = re.compile(r"^[A-Za-z0-9_.-]{1,64}$")


class Observe:
    """ASGI middleware: `X-Request-ID` in and out, one log line and two metrics a request."""

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
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _ID.match(given) else uuid.uuid4().hex
        status, began = 500, time.perf_counter()

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                # No id, no name and no label holds a NUL character, and no database takes one.
                if "\0" in scope["path"]:
                    await told(NotFound("no such path: it holds a NUL character"))(scope, receive, answer)
                elif b"%00" in scope["query_string"]:
                    await told(Invalid("the query holds a NUL character"))(scope, receive, answer)
                else:
                    await self._app(scope, receive, answer)
            finally:
                self._note(scope, status, time.perf_counter() - began)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
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


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Backlog(Collector):
    """Jobs by state and messages that wait, counted when asked for."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Count now."""
        with self._services.database.read() as connection:
            counted = jobs.count_by_state(connection)
        by_state = GaugeMetricFamily("suspects_jobs", "Jobs by state.", labels=["state"])
        for state in State:
            by_state.add_metric([state], counted.get(state, 0))
        yield by_state
        depth = self._services.queue.depth()
        if depth is not None:
            yield GaugeMetricFamily("suspects_queue_depth", "Messages that no worker has taken yet.", value=depth)
