"""Runs background work in threads."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa
import structlog

log = structlog.get_logger()


@contextmanager
def repeating(name: str, seconds: float, work: Callable[[], object]) -> Iterator[None]:
    """Call `work` every so many seconds, in a thread of its own, as long as the block runs.

    An exception is logged and does not end the thread: the next call may succeed.
    """
    stopped = threading.Event()

    def run() -> None:
        while not stopped.wait(seconds):
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
        thread.join()
