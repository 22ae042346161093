"""Traces where nobody wants them, and where what sends them is not installed."""

import sys

import pytest
from opentelemetry.trace import get_current_span

from service.traces import CannotTrace, is_untraced, trace_of, tracer_provider, with_trace

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    "variables", [{}, {_ENDPOINT: ""}, {_ENDPOINT: "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}]
)
def test_nothing_is_traced_unless_a_collector_is_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert tracer_provider("usual-suspects-api") is None
    assert with_trace({"one": "1"}) == {"one": "1"}


def test_a_collector_without_what_sends_to_it_is_told_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_ENDPOINT, "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(CannotTrace, match=r"pip install 'usual-suspects\[traces\]'"):
        tracer_provider("usual-suspects-api")


def test_what_a_message_says_of_its_sender_is_read_and_nonsense_passed_over() -> None:
    sender = get_current_span(trace_of({"traceparent": _PARENT})).get_span_context()
    assert f"{sender.trace_id:032x}-{sender.span_id:016x}" in _PARENT
    assert not get_current_span(trace_of({"traceparent": "nonsense"})).get_span_context().is_valid


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/ls/con_1.a-secret/setup", "/sign-in"])
def test_what_is_asked_all_the_time_or_has_a_secret_in_its_address_has_no_span(path: str) -> None:
    assert is_untraced({"path": path})
    assert not is_untraced({"path": "/jobs"})
