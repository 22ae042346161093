"""What is recorded is what the last layer gave, in any precision, and what is not the model's output is told."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from usual_suspects.recorder import TraceRecorder

N, WIDTH, CLASSES = 30, 4, 3


def samples() -> tuple[Tensor, Tensor]:
    return torch.randn(N, WIDTH, generator=torch.Generator().manual_seed(1)), torch.arange(N) % CLASSES


class Head(nn.Module):
    """A last layer, of weights that give logits of about 30, and what becomes of its output."""

    def __init__(self, after: Callable[[Tensor], Tensor] = lambda z: z, kind: torch.dtype | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(WIDTH, CLASSES)
        with torch.no_grad():
            self.layer.weight.mul_(30)
        self.after, self.kind = after, kind

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=self.kind, enabled=self.kind is not None):
            z = self.layer(x)
        return self.after(z)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("after", [Tensor.float, Tensor.double, lambda z: z.float().log_softmax(-1), lambda z: z])
def test_mixed_precision_is_recorded_as_the_layer_gave_it(
    tmp_path: Path, kind: torch.dtype, after: Callable[[Tensor], Tensor]
) -> None:
    model, (x, y) = Head(after, kind), samples()
    with TraceRecorder(model, (x, y), tmp_path / "run") as recorder:
        recorder.record(0.1)
    with safe_open(tmp_path / "run", framework="pt") as file:
        found = file.get_tensor("logits_1")
    with torch.autocast("cpu", dtype=kind):
        assert torch.equal(found, model.layer(x).float())


@pytest.mark.parametrize("after", [Tensor.bfloat16, Tensor.half])
def test_an_output_that_is_rounded_is_still_that_of_the_layer(
    tmp_path: Path, after: Callable[[Tensor], Tensor]
) -> None:
    assert TraceRecorder(Head(after), samples(), tmp_path / "run").head.out_features == CLASSES


@pytest.mark.parametrize("kind", [None, torch.bfloat16])
def test_an_output_that_differs_by_more_than_rounding_is_refused(tmp_path: Path, kind: torch.dtype | None) -> None:
    with pytest.raises(ValueError, match=r"is not that of its last Linear layer.*head="):
        TraceRecorder(Head(lambda z: 1.1 * z.float(), kind), samples(), tmp_path / "run")


def test_outputs_of_many_classes_are_compared_although_all_probabilities_are_small(tmp_path: Path) -> None:
    model = Head(lambda z: 1.5 * z)
    model.layer = nn.Linear(WIDTH, 10_000)
    with torch.no_grad():
        model.layer.weight.mul_(0.1)
    with pytest.raises(ValueError, match="is not that of its last Linear layer"):
        TraceRecorder(model, samples(), tmp_path / "run")


@pytest.fixture
def accelerator() -> Iterator[Any]:
    """The Accelerator of a process that had none: another test may have set its precision, which stays otherwise."""
    accelerate = pytest.importorskip("accelerate")
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    yield accelerate.Accelerator(mixed_precision="bf16", cpu=True)
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)


def test_a_model_that_accelerate_prepared_is_recorded(tmp_path: Path, accelerator: Any) -> None:
    model = accelerator.prepare(Head())
    with TraceRecorder(model, samples(), tmp_path / "run") as recorder:
        recorder.record(0.1)


class Scaled(Head):
    """A scale that is 1 before the training."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.scale


class Adapted(Head):
    """An adapter that is 0 before the training."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Parameter(torch.ones(WIDTH, 1)), nn.Parameter(torch.zeros(1, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + x @ self.down @ self.up


@pytest.mark.parametrize("model_type", [Scaled, Adapted])
def test_an_output_that_stops_being_that_of_the_layer_is_told_and_not_recorded(
    tmp_path: Path, model_type: type[Head]
) -> None:
    model = model_type()
    late = TraceRecorder(model, samples(), tmp_path / "late")
    at_once = TraceRecorder(model, samples(), tmp_path / "at once")
    named = TraceRecorder(model, samples(), tmp_path / "named", head=model.layer)
    late.record(0.1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "layer" not in name:
                parameter.add_(torch.arange(parameter.shape[-1]) + 1)
    with pytest.warns(RuntimeWarning, match="epoch 2 is not recorded: the output of the model is no longer that"):
        late.record(0.1)
    with safe_open(late.close(), framework="np") as file:
        assert "logits_2" not in set(file.keys())
    with pytest.raises(ValueError, match="epoch 1: the output of the model is no longer that of its last Linear layer"):
        at_once.record(0.1)
    named.record(0.1)


def test_a_last_layer_that_is_not_trained_is_warned_of(tmp_path: Path) -> None:
    model = Head()
    model.layer.requires_grad_(requires_grad=False)
    with pytest.warns(UserWarning, match="the last layer has requires_grad=False"):
        TraceRecorder(model, samples(), tmp_path / "run")


@pytest.mark.parametrize("named", [False, True])
def test_samples_that_are_not_finite_are_named(tmp_path: Path, named: bool) -> None:
    x, y = samples()
    x[7, 2] = torch.nan
    model = Head()
    with pytest.raises(ValueError, match="train, sample 7: what enters or leaves the last Linear layer is not finite"):
        TraceRecorder(model, (x, y), tmp_path / "run", head=model.layer if named else None)
    recorder = TraceRecorder(model, [(x[:7], y[:7]), (x[7:], y[7:])], tmp_path / "late")
    with pytest.warns(RuntimeWarning, match="not finite, or beyond 1e[+]12, first at train sample 7"):
        recorder.record(0.1)
    with pytest.raises(ValueError, match=r"nothing was recorded: epoch 1 is not recorded: .* train sample 7"):
        recorder.close()


def test_arrays_of_numpy_are_samples(tmp_path: Path) -> None:
    x, y = samples()
    with TraceRecorder(Head(), (x.double().numpy(), y.numpy()), tmp_path / "run") as recorder:
        recorder.record(0.1)
    with safe_open(tmp_path / "run", framework="pt") as file:
        assert torch.equal(file.get_tensor("activations_1"), x)
    names = np.array(["ash", "oak", "elm"])[y.numpy()]
    with pytest.raises(ValueError, match="train: an array of <U3 cannot be a tensor; give numbers"):
        TraceRecorder(Head(), (x.numpy(), names), tmp_path / "run")


@pytest.mark.parametrize("form", ["set", "mapping"])
def test_batches_with_more_than_inputs_and_labels_are_refused_with_how_to_run_them(tmp_path: Path, form: str) -> None:
    x, y = samples()
    data: Any = TensorDataset(x, y, torch.ones(N)) if form == "set" else [{"x": x, "weight": x, "labels": y}]
    with pytest.raises(ValueError, match=r"train: Head.forward does not take .*run=lambda model, batch:"):
        TraceRecorder(Head(), data, tmp_path / "run")

    def run(model: nn.Module, batch: Any) -> tuple[Any, Tensor]:
        return model(batch["x"] if form == "mapping" else batch[0]), batch["labels"] if form == "mapping" else batch[1]

    assert TraceRecorder(Head(), data, tmp_path / "run", run=run).head.out_features == CLASSES
