"""Waiting, and work that takes long."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def pause(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)


def work(function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """The result of a function that reads or writes files."""
    return function(*arguments, **options)
