"""Runs background work in threads."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa
import structlog

log = structlog.get_logger()


@contextmanager
def repeating(
    name: str, seconds: float, work: Callable[[], object], wanted: threading.Event | None = None
) -> Iterator[None]:
    """Call `work` every so many seconds, and at once when `wanted` is set, in a thread of its own, as long as the block runs.

    An exception is logged and does not end the thread: the next call may succeed.
    """
    stopped, awake = threading.Event(), wanted or threading.Event()

    def run() -> None:
        while True:
            awake.wait(seconds)
            if stopped.is_set():
                return
            # Before the work, so that what is asked for meanwhile is done in another round.
            awake.clear()
            try:
                work()
            except sa.exc.SQLAlchemyError as error:
                log.warning("background work failed, it is tried again", work=name, error=str(error))
            except Exception as error:  # the next round may succeed; the thread must live
                log.exception("background work failed", work=name, error=str(error))

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        awake.set()
        thread.join()
