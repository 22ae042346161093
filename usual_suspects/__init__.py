"""Usual Suspects from Python: a client of the service, and a recorder of trainings that it ranks.

    from usual_suspects import Client, TraceRecorder

`usual_suspects.transformers` and `usual_suspects.lightning` have callbacks that record. Importing this package loads no
other: the client's packages (httpx) are loaded with Client, torch with TraceRecorder.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from usual_suspects.client import (
        ApiError,
        AsyncClient,
        Client,
        Conflict,
        Invalid,
        Job,
        JobCancelled,
        JobFailed,
        NotFound,
        Update,
        WaitedTooLong,
    )
    from usual_suspects.recorder import TraceRecorder

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "Conflict",
    "Invalid",
    "Job",
    "JobCancelled",
    "JobFailed",
    "NotFound",
    "TraceRecorder",
    "Update",
    "WaitedTooLong",
]

_MODULES = dict.fromkeys(__all__, "usual_suspects.client") | {"TraceRecorder": "usual_suspects.recorder"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
