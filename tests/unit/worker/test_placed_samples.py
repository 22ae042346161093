"""Samples on a GPU: moved once where they fit, else copied batch by batch. Stand-ins for the GPU have no values."""

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from worker.machine.devices import CPU
from worker.machine.placed_samples import PlacedSamples
from worker.training.augmentation import flip_crop

GPU = torch.device("cuda:0")
PARTS = (torch.arange(60, dtype=torch.float32).view(12, 5), torch.arange(12))
BYTES = 12 * 5 * 4 + 12 * 8
ROWS = torch.tensor([7, 2, 11])


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """Shapes of what is copied from pinned memory; without a driver there is none."""
    shapes = list[torch.Size]()

    def pin(tensor: Tensor) -> Tensor:
        shapes.append(tensor.shape)
        return tensor

    monkeypatch.setattr(Tensor, "pin_memory", pin)
    return shapes


def there(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr("worker.machine.placed_samples.free_memory", lambda _device: free)


def test_what_fits_into_a_third_of_the_memory_is_moved_once(
    monkeypatch: pytest.MonkeyPatch, pinned: list[torch.Size]
) -> None:
    there(monkeypatch, 3 * BYTES)
    with FakeTensorMode(allow_non_fake_inputs=True):
        samples = PlacedSamples.on(GPU, PARTS)
        assert samples.resident
        (rows,) = samples.place([ROWS])
        taken = samples.take(rows)
        samples.fill(rows, taken)
        assert [one.device for one in (rows, *taken)] == [GPU] * 3
        assert [one.shape for one in taken] == [(3, 5), (3,)]
    assert pinned == []


def test_what_does_not_fit_is_copied_batch_by_batch_from_pinned_memory(
    monkeypatch: pytest.MonkeyPatch, pinned: list[torch.Size]
) -> None:
    there(monkeypatch, 3 * BYTES - 1)
    with FakeTensorMode(allow_non_fake_inputs=True):
        samples = PlacedSamples.on(GPU, PARTS)
        assert not samples.resident
        (rows,) = samples.place([ROWS])
        assert rows.device == CPU
        assert [one.device for one in samples.take(rows)] == [GPU] * 2
    assert pinned == [(3, 5), (3,)]


def test_samples_that_another_process_left_no_room_for_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    there(monkeypatch, 3 * BYTES)

    def full(*_arguments: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Tensor, "to", full)
    assert not PlacedSamples.on(GPU, PARTS).resident


@pytest.mark.parametrize("rows", [ROWS, slice(4, 9)])
def test_batches_are_the_rows_asked_for(rows: Tensor | slice) -> None:
    samples = PlacedSamples.on(CPU, PARTS)
    taken = samples.take(rows)
    assert all(torch.equal(one, part[rows]) for one, part in zip(taken, PARTS, strict=True))
    if isinstance(rows, Tensor):
        samples.fill(rows.flip(0), taken)
        assert all(torch.equal(one, part[rows.flip(0)]) for one, part in zip(taken, PARTS, strict=True))


def test_batches_are_written_where_they_are_wanted() -> None:
    samples = PlacedSamples.on(torch.device("meta"), PARTS)
    taken = samples.take(ROWS)
    samples.fill(ROWS, taken)  # raises where a part is somewhere else
    assert all(one.is_meta for one in taken)


def test_images_are_augmented_where_they_are_by_draws_of_the_cpu() -> None:
    images = torch.randint(0, 255, (6, 3, 16, 9), dtype=torch.uint8)
    before = torch.get_rng_state()
    flip_crop(images)
    after = torch.get_rng_state()
    torch.set_rng_state(before)
    found = flip_crop(images.to("meta"))
    assert found.is_meta
    assert found.shape == images.shape
    assert torch.equal(torch.get_rng_state(), after)
