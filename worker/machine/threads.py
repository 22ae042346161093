"""Threads of a computation: many short steps are as fast on one thread, and far faster where other processes keep a core busy."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread(*, wanted: bool = True) -> Iterator[None]:
    """Let torch, and what asks it for the number, compute on one thread in the block, if `wanted`."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if wanted else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
