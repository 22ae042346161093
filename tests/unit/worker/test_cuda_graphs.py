"""Order of calls around a CUDA graph, with stand-ins for torch's: what goes wrong leaves the GPU as it was."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch

from worker.machine import cuda_graphs
from worker.machine.cuda_graphs import CudaGraphs, graphs_of, has_failed
from worker.machine.devices import CPU

GPU = torch.device("cuda:0")


class Stream:
    def __init__(self, name: str, calls: list[str]) -> None:
        self.name, self.calls = name, calls

    def wait_stream(self, other: "Stream") -> None:
        self.calls.append(f"{self.name} waits for {other.name}")


class Generator:
    def __init__(self, calls: list[str]) -> None:
        self.calls = calls

    def graphsafe_get_state(self) -> str:
        return "a new state"

    def graphsafe_set_state(self, state: str) -> None:
        self.calls.append(f"generator: {state}")


class Graph:
    def replay(self) -> None: ...


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was called; a recording that fails leaves its stream the current one, as torch's does."""
    calls = list[str]()
    streams = {"main": Stream("main", calls), "side": Stream("side", calls)}
    current, mode = ["main"], [0]

    @contextmanager
    def on(stream: Stream) -> Iterator[None]:
        before = current[0]
        current[0] = stream.name
        try:
            yield
        finally:
            current[0] = before

    @contextmanager
    def recording(_graph: Graph, stream: Stream) -> Iterator[None]:
        current[0] = stream.name
        calls.append("recording")
        yield
        current[0] = "main"

    def set_stream(stream: Stream) -> None:
        current[0] = stream.name
        calls.append(f"current: {stream.name}")

    def set_mode(wanted: Any) -> None:
        mode[0] = wanted
        calls.append(f"waiting: {wanted}")

    stand_ins: dict[str, Any] = {
        "Stream": lambda _device: streams["side"],
        "current_stream": lambda: streams[current[0]],
        "stream": on,
        "device": lambda _device: nullcontext(),
        "graph": recording,
        "CUDAGraph": Graph,
        "set_stream": set_stream,
        "get_sync_debug_mode": lambda: mode[0],
        "set_sync_debug_mode": set_mode,
        "default_generators": [Generator(calls)],
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(torch, "Generator", lambda _device: Generator(calls))
    monkeypatch.setattr(cuda_graphs, "_failed", set())
    return calls


def test_a_warm_up_runs_beside_and_may_not_wait_the_last_time(calls: list[str]) -> None:
    CudaGraphs(GPU).warm_up(lambda: calls.append("work"))
    assert calls == [
        "side waits for main",
        "work",
        "work",
        "waiting: error",
        "work",
        "waiting: 0",
        "main waits for side",
    ]


def test_a_warm_up_that_fails_leaves_waiting_allowed(calls: list[str]) -> None:
    def work() -> None:
        if calls[-1] == "waiting: error":
            raise RuntimeError("called a synchronizing CUDA operation")

    with pytest.raises(RuntimeError, match="synchronizing"):
        CudaGraphs(GPU).warm_up(work)
    assert calls[-2:] == ["waiting: 0", "main waits for side"]


def test_a_recording_is_made_once_and_gives_its_replay(calls: list[str]) -> None:
    replay = CudaGraphs(GPU).record(lambda: calls.append("work"))
    assert calls == ["recording", "work"]
    replay()
    assert calls == ["recording", "work"]


def test_a_recording_that_fails_leaves_the_stream_and_a_generator_that_draws(calls: list[str]) -> None:
    def work() -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError, match="not permitted"):
        CudaGraphs(GPU).record(work)
    assert calls == ["recording", "current: main", "generator: a new state"]


def test_nothing_is_recorded_on_a_gpu_where_a_recording_failed(calls: list[str]) -> None:
    def work() -> None:
        raise RuntimeError("operation failed due to a previous error during capture")

    assert graphs_of(GPU) is not None
    assert not has_failed(GPU)
    with pytest.raises(RuntimeError, match="previous error"):
        CudaGraphs(GPU).record(work)
    assert has_failed(GPU)
    assert graphs_of(GPU) is None
    other = torch.device("cuda:1")
    assert not has_failed(other)
    assert graphs_of(other) is not None
    cuda_graphs._graphs.cache_clear()


def test_the_trainings_of_a_process_share_a_stream_and_a_processor_has_none(
    monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    cuda_graphs._graphs.cache_clear()
    monkeypatch.setattr(torch.cuda, "Stream", lambda _device: calls.append("another stream"))
    assert graphs_of(GPU) is graphs_of(GPU)
    assert calls == ["another stream"]
    assert graphs_of(CPU) is None
    cuda_graphs._graphs.cache_clear()
