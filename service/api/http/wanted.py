"""Whether the client of a long request still waits for its answer."""

from anyio import from_thread
from fastapi import Request
from starlette.requests import ClientDisconnect


def check_wanted(request: Request) -> None:
    """Raise ClientDisconnect once the client has gone away."""
    if from_thread.run(request.is_disconnected):
        raise ClientDisconnect
