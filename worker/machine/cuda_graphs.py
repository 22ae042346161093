"""CUDA graphs: kernels that are recorded once and launched together, which costs the processor one call."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Protocol, runtime_checkable

import torch

_WARM_UPS = 3  # runs in which libraries choose their algorithms and allocate what they keep
_failed = set[torch.device]()  # devices on which a recording has failed in this process


@runtime_checkable
class Graphs(Protocol):
    """Records the operations that a function without arguments starts."""

    def warm_up(self, work: Callable[[], None]) -> None:
        """Run the function a few times, with all its effects. Raises RuntimeError where it cannot be recorded."""
        ...

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """A function that does the same operations on the same memory. Raises RuntimeError where there is none."""
        ...


class CudaGraphs:
    """The graphs of a GPU. Draws from its default generator go on in a graph from where the generator is.

    Not yet run on a real card.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # in builds for CPUs

    def warm_up(self, work: Callable[[], None]) -> None:
        """Run the function on the stream that it is recorded on; the last time it may not wait for the GPU."""
        with torch.cuda.device(self._device):
            before = torch.cuda.current_stream()
            self._stream.wait_stream(before)
            try:
                with torch.cuda.stream(self._stream):
                    for _ in range(_WARM_UPS - 1):
                        work()
                    # Found here rather than while recording, after which a GPU needs mending.
                    with _waiting_is_an_error():
                        work()
            finally:
                before.wait_stream(self._stream)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record the function, which computes nothing meanwhile."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self._device):
            before = torch.cuda.current_stream()
            try:
                with torch.cuda.graph(graph, stream=self._stream):
                    work()
            except RuntimeError:
                # Where a recording fails, torch leaves its stream the current one and its generator in the middle of it.
                torch.cuda.set_stream(before)
                _renew_generator(self._device)
                _failed.add(self._device)
                raise
        replay: Callable[[], None] = graph.replay
        return replay


def graphs_of(device: torch.device) -> Graphs | None:
    """The graphs of a device, the same each time; None where it has none, or a recording has failed."""
    return None if device.type != "cuda" or has_failed(device) else _graphs(device)


def has_failed(device: torch.device) -> bool:
    """Whether a recording has failed on a device in this process, which is then to end after its task.

    Where CUDA cannot end a recording, torch's allocator believes for ever that it goes on: it gives back no memory, and what is
    recorded next fails. Only calls that differ from version to version of torch could mend that; another process has none of it.
    """
    return device in _failed


@cache
def _graphs(device: torch.device) -> Graphs:
    # For each stream that products were computed on, libraries keep memory until the process ends.
    return CudaGraphs(device)


@contextmanager
def _waiting_is_an_error() -> Iterator[None]:
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that it does not know all waiting yet
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def _renew_generator(device: torch.device) -> None:
    """Give the default generator another state, which no recording has; its seed is for the caller to set."""
    fresh = torch.Generator(device)
    torch.cuda.default_generators[device.index].graphsafe_set_state(fresh.graphsafe_get_state())
