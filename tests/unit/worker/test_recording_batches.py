"""How many samples a network takes at a time while its outputs are recorded: many on a GPU, and no more than it has room for."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.unit.worker.test_devices import on_gpu
from worker.influence.activations import ActivationRecorder, record_outputs
from worker.machine.placed_samples import PlacedSamples

ROWS = 40_000


class Flat(nn.Module):
    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.head = nn.Linear(numbers, 3)
        self.taken: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.taken.append(len(x))
        found: Tensor = self.head(x.flatten(1).float())
        return found


def taken(model: Flat, inputs: Tensor, *, gpu: bool) -> list[int]:
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        if gpu:
            on_gpu(model, mode)
        record_outputs(model, model.head, (inputs,), None, torch.empty(len(inputs), 3))
    return model.taken


@pytest.fixture(autouse=True)
def _no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: tensor)


def test_a_gpu_takes_many_samples_at_a_time_and_a_processor_few() -> None:
    assert taken(Flat(5), torch.zeros(ROWS, 5), gpu=True) == [16_384, 16_384, ROWS - 2 * 16_384]
    assert set(taken(Flat(5), torch.zeros(ROWS, 5), gpu=False)[:-1]) == {2048}


def test_what_a_gpu_takes_at_a_time_is_bounded_by_bytes_and_by_the_network() -> None:
    images = torch.zeros(1, 3, 96, 96, dtype=torch.uint8).expand(5_000, -1, -1, -1)
    most = 2**28 // (4 * 3 * 96 * 96)
    assert taken(Flat(3 * 96 * 96), images, gpu=True) == [most, most, 5_000 - 2 * most]
    large = Flat(5)
    large.at_once = 64  # type: ignore[assignment]  # a number
    assert max(taken(large, torch.zeros(500, 5), gpu=True)) == 64


class Narrow(Flat):
    """Has no room for more than some samples at a time."""

    room = 300

    def forward(self, x: Tensor) -> Tensor:
        found = super().forward(x)
        if len(x) > self.room:
            raise torch.OutOfMemoryError
        return found


def test_a_pass_without_room_takes_half_of_the_samples_and_loses_none() -> None:
    model, x = Narrow(5), torch.rand(5_000, 5)
    activations, logits = torch.empty(5_000, 5), torch.empty(5_000, 3)
    record_outputs(model, model.head, (x,), activations, logits)
    assert torch.equal(activations, x)
    torch.testing.assert_close(logits, model.head(x).detach())
    assert model.taken[:4] == [2048, 1024, 512, 256]
    assert set(model.taken[4:-1]) == {256}


def test_a_pass_without_room_for_one_sample_is_an_error() -> None:
    model = Narrow(5)
    model.room = 0
    with pytest.raises(torch.OutOfMemoryError):
        record_outputs(model, model.head, (torch.rand(9, 5),), None, torch.empty(9, 3))


def test_samples_are_placed_once_for_all_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placed = list[PlacedSamples]()

    def on(device: torch.device, parts: tuple[Tensor, ...]) -> PlacedSamples:
        placed.append(PlacedSamples(tuple(parts), device))
        return placed[-1]

    monkeypatch.setattr(PlacedSamples, "on", on)
    model = Flat(5)
    recorder = ActivationRecorder(model, model.head, (torch.rand(9, 5),), (0.1, 0.2), tmp_path)
    for t in range(2):
        recorder.read_checkpoint(t)
    assert len(placed) == 1
