"""Whether the process has been asked to stop, so that streams end and do not keep it up."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_asked = threading.Event()


def stopping() -> bool:
    """Whether a signal has asked this process to end."""
    return _asked.is_set()


@contextmanager
def noticing_signals() -> Iterator[None]:
    """In the block, signals to end are noticed first, and then handled as before.

    The server waits for open responses to end before it ends the application, so that the application would learn too late.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}

    def notice(number: int, frame: FrameType | None) -> None:
        _asked.set()
        if callable(before[number]):
            before[number](number, frame)

    for one, handler in before.items():
        if callable(handler):
            signal.signal(one, notice)
    try:
        yield
    finally:
        for one, handler in before.items():
            if callable(handler):
                signal.signal(one, handler)
