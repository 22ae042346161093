"""The processor stays near the GPU. Stand-ins for the GPU; not run on a card."""

from typing import Any

import pytest
import torch
from torch import nn

from tests.unit.worker.test_training import SGD
from worker.machine.devices import CPU
from worker.machine.pace import Pace
from worker.training import autograd_epoch, loop
from worker.training.direct_network import DirectNetwork
from worker.training.loop import train

GPU = torch.device("cuda:1")


def test_the_processor_is_never_more_than_32_batches_ahead_and_seldom_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    launched, computed, waits = 0, 0, 0

    class Mark:
        def __init__(self, *, blocking: bool) -> None:
            assert blocking, "else a core is busy with waiting"
            self.after = 0

        def record(self, stream: str) -> None:
            assert stream == f"the stream of {GPU}"
            self.after = launched

        def synchronize(self) -> None:
            nonlocal computed, waits
            computed, waits = max(computed, self.after), waits + 1

    monkeypatch.setattr(torch.cuda, "Event", Mark)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"the stream of {device}")
    keep_pace, ahead = Pace(GPU), list[int]()
    for _ in range(1000):
        launched += 1
        ahead.append(launched - computed)
        keep_pace()
        # A wait leaves the GPU work to do meanwhile.
        assert launched - computed >= min(launched, 16)
    assert max(ahead) == 32
    assert waits == 1000 // 16 - 1


def test_a_processor_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Event", None)
    keep_pace = Pace(CPU)
    for _ in range(99):
        keep_pace()


def test_every_batch_keeps_pace_before_it_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = list[Any]()

    class Counted:
        def __init__(self, device: torch.device) -> None:
            calls.append(device)

        def __call__(self) -> None:
            calls.append("paced")

    monkeypatch.setattr(autograd_epoch, "Pace", Counted)
    monkeypatch.setattr(DirectNetwork, "of", lambda _model: None)
    monkeypatch.setattr(loop, "_FEWEST_RECORDED", 10**9)
    training = SGD.model_copy(update={"epochs": 1, "batch_size": 4})
    train(
        nn.Linear(3, 2),
        (torch.rand(10, 3),),
        torch.arange(10) % 2,
        training,
        resume=None,
        after_epoch=lambda _state, _metrics: None,
        after_batch=calls.append,
    )
    assert calls == [CPU, "paced", 1 / 3, "paced", 2 / 3, "paced", 1.0]
