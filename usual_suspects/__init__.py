"""Usual Suspects from Python: a client of the service, and a recorder of trainings that it ranks.

    from usual_suspects import Client, TraceRecorder

`usual_suspects.transformers` and `usual_suspects.lightning` have callbacks that record. Importing this package loads no
other: the client's packages (httpx) are loaded with Client, torch with TraceRecorder.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from usual_suspects.client import ApiError, Client, Update
    from usual_suspects.recorder import TraceRecorder

__all__ = ["ApiError", "Client", "TraceRecorder", "Update"]

_MODULES = {
    "ApiError": "usual_suspects.client",
    "Client": "usual_suspects.client",
    "TraceRecorder": "usual_suspects.recorder",
    "Update": "usual_suspects.client",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
