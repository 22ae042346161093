"""Pytest plugin that keeps the log lines of background threads out of the terminal.

Between the phases of a test pytest gives stderr back to the terminal, while a service in a thread goes on logging.
"""

import os
import sys
import threading
from collections.abc import Generator
from typing import Any, TextIO

import pytest


class _Stderr:
    """The terminal for the main thread, and for all others the file that pytest captures into, once that is known."""

    def __init__(self, terminal: TextIO) -> None:
        self.terminal = terminal
        self.captured: TextIO | None = None

    def write(self, text: str) -> int:
        """Write to one of the two."""
        if self.captured is None or threading.current_thread() is threading.main_thread():
            return self.terminal.write(text)
        return self.captured.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.terminal, name)


_stderr = _Stderr(sys.stderr)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests() -> Generator[None]:
    """Take the place of stderr before pytest captures it: what it finds here it gives back between the phases."""
    sys.stderr = _stderr
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Learn the file that pytest captures into. It is one for the whole run, and stderr leads there during a phase."""
    if _stderr.captured is None:
        _stderr.captured = os.fdopen(os.dup(2), "w", buffering=1)


def pytest_unconfigure() -> None:
    """Close that file."""
    captured, _stderr.captured = _stderr.captured, None
    if captured is not None:
        captured.close()
