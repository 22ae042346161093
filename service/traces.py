"""Traces of OpenTelemetry, from a request through the queue to the phases of its job.

Its standard variables say where they go: OTEL_EXPORTER_OTLP_ENDPOINT names a collector, and without it there are none.
"""

import os
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

TRACE_HEADERS = ("traceparent", "tracestate")  # of requests and of messages: W3C Trace Context
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
# Asked for every few seconds, or with a secret in the address.
_UNTRACED = ("/healthz", "/readyz", "/metrics", "/ls/", "/sign-in")
_form = TraceContextTextMapPropagator()


class CannotTrace(Exception):
    """Traces are asked for, and what sends them is not installed."""


def tracer_provider(name: str) -> "TracerProvider | None":
    """What sends the spans of this process to the collector, as the service `name`; None where no collector is named.

    It sends from a thread, so a process that forks makes it in its children. OTEL_SERVICE_NAME goes before `name`. Raises
    CannotTrace.
    """
    if not any(map(os.environ.get, _ENDPOINTS)) or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise CannotTrace(
            f"OTEL_EXPORTER_OTLP_ENDPOINT asks for traces, and {error.name} is not installed: pip install 'usual-suspects[traces]'"
        ) from error
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME", name)}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def is_untraced(scope: MutableMapping[str, Any]) -> bool:
    """Whether a request has no span."""
    return str(scope["path"]).startswith(_UNTRACED)


def with_trace(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers of a message, and the span that sends it, if there is one."""
    carrier = dict(headers)
    _form.inject(carrier)
    return carrier


def trace_of(headers: Mapping[str, str]) -> Context:
    """The span that sent a message, as the context of those that follow it."""
    return _form.extract(headers)
