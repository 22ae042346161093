"""Logging to stderr: one line an event, JSON unless stderr is a terminal, without values of variables or secret paths."""

import logging
import os
import re
import sys

import structlog
from opentelemetry.trace import format_trace_id, get_current_span

# The paths of webhooks from labelling tools, /ls/con_….<secret>/…, contain a secret.
_SECRET = re.compile(r"(/ls/+[^/.]*)[^/]*")
_ACCESS = "uvicorn.access"
_SERVER = ("uvicorn", _ACCESS)  # uvicorn gives these handlers of its own


def log_to_stderr() -> None:
    """Configure every structlog logger of this process."""
    structlog.configure(
        processors=[*_facts(), _renderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # stderr is looked up for each line, because tests and servers replace it.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


def log_libraries_to_stderr() -> None:
    """Give the lines of libraries the same form, with the ids of the request and the job that they are about."""
    root = logging.getLogger()
    if not any(isinstance(one, _ToStderr) for one in root.handlers):
        handler = _ToStderr()
        shared = [*_facts(), structlog.stdlib.add_logger_name]
        last = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer()]
        handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last))
        root.addHandler(handler)
    for name in _SERVER:
        logger = logging.getLogger(name)
        if logger.handlers:  # the access log has none where it is switched off
            logger.handlers.clear()
            logger.propagate = True
    logging.captureWarnings(True)


def log_in_signal_handler(event: str, *_: object) -> None:
    """Log one line from within a handler of signals: written at once, as the buffer of stderr may be in use just then."""
    line: structlog.typing.EventDict = {"event": event.strip()}
    for processor in (structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)):
        line = processor(None, "info", line)
    text = str(_renderer()(None, "info", line))
    os.write(sys.__stderr__.fileno(), f"{text}\n".encode())  # type: ignore[union-attr]  # a process has one


class _ToStderr(logging.Handler):
    """Writes each line to what stderr is then."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            print(self.format(record), file=sys.stderr)  # noqa: T201 - as structlog does
        except Exception:  # noqa: BLE001 - as every handler of logging does
            self.handleError(record)


def _name_trace(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Add the trace that the line belongs to, if there is one."""
    span = get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = format_trace_id(span.trace_id)
    return event


def _facts() -> list[structlog.typing.Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        _name_trace,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Tracebacks as Python writes them: structlog's own show the values of all variables.
        structlog.processors.format_exc_info,
    ]


def _renderer() -> structlog.typing.Processor:
    return structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()


def without_secret(path: str) -> str:
    """A path of this service with an ellipsis in place of a secret in it."""
    return _SECRET.sub(r"\1…", path)


class _HidesSecrets(logging.Filter):
    """Removes secrets from the access log of uvicorn."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record, with secrets replaced."""
        if isinstance(record.args, tuple):
            record.args = tuple(without_secret(one) if isinstance(one, str) else one for one in record.args)
        return True


def hide_secrets_of_requests() -> None:
    """Remove secrets from the access log of this process from now on."""
    logger = logging.getLogger(_ACCESS)
    if not any(isinstance(one, _HidesSecrets) for one in logger.filters):
        logger.addFilter(_HidesSecrets())
