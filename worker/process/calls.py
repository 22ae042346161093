"""Calls for help beside the computation that they are for."""

from collections.abc import Callable
from contextvars import copy_context
from threading import Thread


class CallsBeside:
    """Sends calls in a thread, one after the other; called while one is still under way, it does nothing.

    A broker that cannot be reached takes up to ten seconds to say so, again and again, and the worker of a job can do without
    helpers.
    """

    def __init__(self, send: Callable[[str, int], None]) -> None:
        self._send = send
        self._sending: Thread | None = None

    def __call__(self, job_id: str, count: int) -> None:
        """Call so many workers to help with a job."""
        if count < 1 or (self._sending is not None and self._sending.is_alive()):
            return
        # With the ids of the request and of the trace.
        self._sending = Thread(target=copy_context().run, args=(self._send, job_id, count), daemon=True)
        self._sending.start()
