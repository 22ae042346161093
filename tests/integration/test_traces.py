"""One trace from a request through the queue to the phases of its job, at a real collector's door."""

import gzip
import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.integration.installation import QUICK, eager, installed

_PHASES = {"preparing", "first_ranking", "training", "scoring", "ranking"}


class _Collector(http.server.BaseHTTPRequestHandler):
    """Takes spans as OTLP over HTTP does, and keeps them."""

    spans: ClassVar[list[tuple[str, Span]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            (service,) = (
                pair.value.string_value for pair in resource.resource.attributes if pair.key == "service.name"
            )
            _Collector.spans += [(service, span) for scope in resource.scope_spans for span in scope.spans]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, Span]]]:
    """Spans of this test's processes, as they come."""
    _Collector.spans.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield _Collector.spans
        server.shutdown()


def _tasks(spans: list[tuple[str, Span]], wanted: int) -> list[Span]:
    for _ in range(1200):
        found = [span for _, span in spans if span.name == "job"]
        if len(found) == wanted:
            return found
        time.sleep(0.05)
    raise AssertionError([(service, span.name) for service, span in spans])


@pytest.mark.slow
def test_a_job_belongs_to_the_trace_of_the_request_that_asked_for_it(
    tmp_path: Path, empty_sqlite: str, redis_url: str, collector: list[tuple[str, Span]]
) -> None:
    settings = eager(tmp_path, empty_sqlite, redis_url)
    with installed(settings) as installation, installation.worker():
        caller = "4bf92f3577b34da6a3ce929d0e0e4736"
        installation.client.headers["traceparent"] = f"00-{caller}-00f067aa0ba902b7-01"
        good = installation.submit(QUICK)
        installation.wait(good, "completed")
        installation.client.headers.pop("traceparent")
        bad = installation.submit({**QUICK, "optimizer": "sgd", "learning_rate": 10.0})
        installation.wait(bad, "failed")
        first, second = _tasks(collector, 2)
        assert installation.client.get("/healthz").is_success
    by_id = {span.span_id: (service, span) for service, span in collector}

    service, request = by_id[first.parent_span_id]
    assert (service, request.name) == ("usual-suspects-api", "POST /jobs")
    assert first.trace_id.hex() == request.trace_id.hex() == caller
    assert {span.name for _, span in collector if span.parent_span_id == first.span_id} == _PHASES
    assert {pair.key: pair.value.string_value for pair in first.attributes} == {"suspects.job": good}
    assert first.status.code == Status.STATUS_CODE_UNSET

    assert second.trace_id.hex() != caller
    assert (second.status.code, second.status.message) == (Status.STATUS_CODE_ERROR, "diverged")
    assert not [span for _, span in collector if "/healthz" in span.name]
