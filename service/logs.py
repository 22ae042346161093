"""Logging to stderr: one line an event, JSON unless stderr is a terminal, without values of variables or secret paths."""

import logging
import re
import sys

import structlog

# The paths of webhooks from labelling tools, /ls/con_….<secret>/…, contain a secret.
_SECRET = re.compile(r"(/ls/+[^/.]*)[^/]*")
_ACCESS = "uvicorn.access"


def log_to_stderr() -> None:
    """Configure every structlog logger of this process."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Tracebacks as Python writes them: structlog's own show the values of all variables.
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # stderr is looked up for each line, because tests and servers replace it.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


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
