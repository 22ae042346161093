"""Waiting, and work that would keep an event loop from turning."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")


async def pause(seconds: float) -> None:
    """Wait."""
    await anyio.sleep(seconds)


async def work(function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """The result of a function that reads or writes files, in a thread."""
    return await anyio.to_thread.run_sync(partial(function, *arguments, **options))
