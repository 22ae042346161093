"""An epoch is weighed by the rates that its steps had for the last layer, and no schedule loses a recording."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR

from usual_suspects.recorder import TraceRecorder

N, WIDTH, CLASSES, STEPS = 12, 4, 3, 3  # three steps at 0.1 have a mean of other bits if they are added


def samples() -> tuple[Tensor, Tensor]:
    return torch.randn(N, WIDTH, generator=torch.Generator().manual_seed(1)), torch.arange(N) % CLASSES


def network() -> Any:
    return nn.Sequential(nn.Linear(WIDTH, 5), nn.ReLU(), nn.Linear(5, CLASSES))


def epoch(model: nn.Module, *optimizers: torch.optim.Optimizer, scheduler: Any = None) -> list[float]:
    """Steps of one epoch; the rates of the last group of the last optimizer at each."""
    rates = []
    x, y = samples()
    for _ in range(STEPS):
        torch.autograd.backward(nn.functional.cross_entropy(model(x), y))
        rates.append(float(optimizers[-1].param_groups[-1]["lr"]))
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        if scheduler is not None:
            scheduler.step()
    return rates


def rates_in(path: Path) -> list[float]:
    with safe_open(path, framework="np") as file:
        found: list[float] = file.get_tensor("learning_rates").tolist()
    return found


@pytest.mark.parametrize("schedule", ["cosine", "lambda"])
@pytest.mark.parametrize("given", ["optimizer", "nothing", "rate"])
def test_a_schedule_that_ends_at_0_is_recorded_by_the_mean_rate_of_its_steps(
    tmp_path: Path, schedule: str, given: str
) -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.5)
    total = 3 * STEPS
    scheduler: Any = CosineAnnealingLR(optimizer, total)
    if schedule == "lambda":
        scheduler = LambdaLR(optimizer, lambda step: 1 - step / total)
    recorder = TraceRecorder(model, samples(), tmp_path / "run")
    expected = []
    for number in range(3):
        rates = epoch(model, optimizer, scheduler=scheduler)
        expected.append(sum(rates) / STEPS)
        now = optimizer.param_groups[0]["lr"]
        if given == "rate" and number == 2:
            with pytest.warns(RuntimeWarning, match="rate of 0 was given for epoch 3; its steps had"):
                recorder.record(now)
        elif given == "rate":
            recorder.record(expected[-1])
        elif given == "nothing":
            recorder.record()
        else:
            recorder.record(optimizer)
    assert now == 0
    assert rates_in(recorder.close()) == pytest.approx(expected)


def test_equal_rates_are_recorded_to_the_bit(tmp_path: Path) -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.1)
    with TraceRecorder(model, samples(), tmp_path / "run") as recorder:
        for _ in range(2):
            epoch(model, optimizer)
            epoch(model, SGD(network().parameters(), lr=9.0))  # of another training
            recorder.record(optimizer)
    assert rates_in(tmp_path / "run") == [0.1, 0.1]


def test_rates_are_those_of_the_last_layer_among_groups_and_optimizers(tmp_path: Path) -> None:
    model = network()
    body, head = SGD(model[0].parameters(), lr=0.0), SGD(model[2].parameters(), lr=0.25)
    both = SGD([{"params": model[0].parameters(), "lr": 0.0}, {"params": model[2].parameters(), "lr": 0.75}], lr=1.0)
    with TraceRecorder(model, samples(), tmp_path / "run") as recorder:
        epoch(model, body, head)
        recorder.record()
        epoch(model, both)
        recorder.record(both)
    assert rates_in(tmp_path / "run") == [0.25, 0.75]


def test_an_epoch_whose_steps_had_the_rate_0_is_left_out_with_a_warning(tmp_path: Path) -> None:
    model = network()
    still, moving = SGD(model.parameters(), lr=0.0), SGD(model.parameters(), lr=0.5)
    with TraceRecorder(model, samples(), tmp_path / "run") as recorder:
        epoch(model, still)
        with pytest.warns(RuntimeWarning, match="epoch 1 is not recorded: its learning rate is 0"):
            recorder.record(still, 1)
        with pytest.warns(RuntimeWarning, match="epoch 1 is not recorded: no step of an optimizer was seen"):
            recorder.record()
        with pytest.warns(RuntimeWarning, match="epoch 1 is not recorded: its learning rate is 0"):
            recorder.record(0.0)
        epoch(model, moving)
        recorder.record(moving, 2)
    assert rates_in(tmp_path / "run") == [0.5]


def test_an_optimizer_that_does_not_hold_the_last_layer_is_refused(tmp_path: Path) -> None:
    model = network()
    body, other = SGD(model[0].parameters(), lr=0.5), SGD(network().parameters(), lr=0.5)
    recorder = TraceRecorder(model, samples(), tmp_path / "run")
    for optimizer in (body, other):
        with pytest.raises(ValueError, match="the optimizer does not hold the parameters of the last layer"):
            recorder.record(optimizer)
        epoch(model, optimizer)
        with pytest.raises(ValueError, match="made by optimizers that do not hold the last layer"):
            recorder.record()


def test_a_frozen_last_layer_has_the_rate_of_what_is_trained(tmp_path: Path) -> None:
    model = network()
    model[2].requires_grad_(requires_grad=False)
    optimizer = SGD(model[0].parameters(), lr=0.5)
    with pytest.warns(UserWarning, match="requires_grad=False"):
        recorder = TraceRecorder(model, samples(), tmp_path / "run")
    epoch(model, optimizer)
    recorder.record(optimizer)
    assert rates_in(recorder.close()) == [0.5]


def test_nothing_of_a_recorder_that_is_gone_watches_optimizers(tmp_path: Path) -> None:
    from torch.optim.optimizer import _global_optimizer_pre_hooks as hooks

    before = len(hooks)
    recorder = TraceRecorder(network(), samples(), tmp_path / "run")
    assert len(hooks) == before + 1
    del recorder
    assert len(hooks) == before
    recorder = TraceRecorder(network(), samples(), tmp_path / "run")
    recorder.record(0.1)
    recorder.close()
    assert len(hooks) == before
