"""What our processes say: a line an event on stderr, JSON unless somebody looks on; no value of a variable, no secret path."""

import logging
import re
import sys

import structlog

# What labelling tools call, /ls/con_….<secret>/…, is known to nobody else.
_SECRET = re.compile(r"(/ls/+[^/.]*)[^/]*")
_ACCESS = "uvicorn.access"


def log_to_stderr() -> None:
    """Let every logger of this process speak in that form."""
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
        # Asked for at each line: whoever runs the process may have put another stream there.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


def without_secret(path: str) -> str:
    """A path of this service with an ellipsis in place of a secret in it."""
    return _SECRET.sub(r"\1…", path)


class _Discreet(logging.Filter):
    """Takes secrets out of the lines that uvicorn writes of requests, where whoever runs it has not switched them off."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every line pass, changed where it has to be."""
        if isinstance(record.args, tuple):
            record.args = tuple(without_secret(one) if isinstance(one, str) else one for one in record.args)
        return True


def hide_secrets_of_requests() -> None:
    """From now on, in this process."""
    logger = logging.getLogger(_ACCESS)
    if not any(isinstance(one, _Discreet) for one in logger.filters):
        logger.addFilter(_Discreet())
