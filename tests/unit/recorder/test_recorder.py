"""The recorder notes what the model's last layer does, and leaves everything as it was."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from usual_suspects.recorder import TraceRecorder

N, WIDTH, HIDDEN, CLASSES = 70, 5, 7, 3


class Net(nn.Module):
    """Everything whose state a careless pass would change. Its layers are not declared in the order of their use."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(HIDDEN, CLASSES)
        self.first = nn.Linear(WIDTH, 9)
        self.norm = nn.BatchNorm1d(9)
        self.second = nn.Linear(9, HIDDEN)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.drop(self.second(self.norm(self.first(x)).relu()).relu()))
        return logits


def data(rows: int = N, seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(rows, WIDTH, generator=draw), torch.arange(rows) % CLASSES


def net(seed: int = 0) -> Net:
    torch.manual_seed(seed)
    return Net()


def opened(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118  no mapping


@pytest.mark.parametrize("form", ["tensors", "set", "loader", "batches", "mappings"])
def test_what_enters_and_leaves_the_last_layer_is_recorded_in_the_order_of_the_samples(
    tmp_path: Path, form: str
) -> None:
    x, y = data()
    forms: dict[str, Callable[[], Any]] = {
        "tensors": lambda: (x, y),
        "set": lambda: TensorDataset(x, y),
        "loader": lambda: DataLoader(TensorDataset(x, y), batch_size=16),
        "batches": lambda: [(x[:30], y[:30]), (x[30:], y[30:])],
        "mappings": lambda: [{"x": x[:30], "labels": y[:30]}, {"x": x[30:], "labels": y[30:]}],
    }
    model = net()
    known = data(11, seed=1)
    with TraceRecorder(model, forms[form](), tmp_path / "run", reference=known, classes=["a", "b", "c"]) as recorder:
        recorder.record(0.1)
        with torch.no_grad():
            model.last.weight.mul_(2)
            model.first.weight.add_(0.1)
        recorder.record(0.05, epoch=4)
    arrays, metadata = opened(tmp_path / "run")
    assert json.loads(metadata["classes"]) == ["a", "b", "c"]
    assert arrays["learning_rates"].tolist() == [0.1, 0.05]
    model.eval()
    for prefix, (inputs, labels) in {"": (x, y), "reference_": known}.items():
        entered = model.norm(model.first(inputs)).relu()
        assert torch.equal(arrays[f"{prefix}labels"], labels)
        torch.testing.assert_close(arrays[f"{prefix}inner_4"], entered.detach())
        torch.testing.assert_close(arrays[f"{prefix}activations_4"], model.second(entered).relu().detach())
        torch.testing.assert_close(arrays[f"{prefix}logits_4"], model(inputs).detach())
    assert {name for name in arrays if name.startswith("logits")} == {"logits_1", "logits_4"}
    assert not list(tmp_path.glob("run.*"))


def test_the_model_its_gradients_and_all_randomness_stay_as_they_were(tmp_path: Path) -> None:
    model, (x, y) = net(), data()
    model.train()
    model.norm.eval()  # frozen by its owner
    torch.autograd.backward(nn.functional.cross_entropy(model(x), y))
    loader_draw = torch.Generator().manual_seed(5)
    loader = DataLoader(TensorDataset(x, y), batch_size=16, generator=loader_draw)

    def state() -> list[Any]:
        found: list[Any] = [value.clone() for value in model.state_dict().values()]
        found += [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
        found += [torch.get_rng_state(), loader_draw.get_state(), repr(np.random.get_state())]  # noqa: NPY002 - users draw there
        return [*found, [module.training for module in model.modules()], torch.is_grad_enabled()]

    before = state()
    recorder = TraceRecorder(model, loader, tmp_path / "run")
    recorder.record(0.1)
    recorder.record(0.1)
    recorder.close()
    for one, other in zip(before, state(), strict=True):
        assert torch.equal(one, other) if isinstance(one, Tensor) else one == other
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_training_goes_on_the_same_bits_with_a_recorder_as_without(tmp_path: Path) -> None:
    x, y = data()

    def trained(record: bool) -> list[Tensor]:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        recorder = TraceRecorder(model, TensorDataset(x, y), tmp_path / "run") if record else None
        for _ in range(3):
            model.train()
            for rows in torch.split(torch.randperm(N), 16):
                optimizer.zero_grad()
                torch.autograd.backward(nn.functional.cross_entropy(model(x[rows]), y[rows]))
                optimizer.step()
            if recorder is not None:
                recorder.record(optimizer)
        return list(model.state_dict().values())

    assert all(map(torch.equal, trained(record=True), trained(record=False)))


def test_the_rate_is_that_of_the_last_layer(tmp_path: Path) -> None:
    model = net()
    groups = [{"params": model.first.parameters(), "lr": 0.5}, {"params": model.last.parameters(), "lr": 0.25}]
    with TraceRecorder(model, data(), tmp_path / "run") as recorder:
        recorder.record(torch.optim.SGD(groups, lr=1.0))
    assert opened(tmp_path / "run")[0]["learning_rates"].tolist() == [0.25]


def test_layers_that_are_frozen_cost_the_room_of_one_checkpoint(tmp_path: Path) -> None:
    model = net()
    with TraceRecorder(model, data(), tmp_path / "run", reference=data(9, 1)) as recorder:
        for _ in range(3):
            recorder.record(0.1)
            with torch.no_grad():
                model.last.bias.add_(1)
    arrays, _ = opened(tmp_path / "run")
    kept = {name for name in arrays if "activations" in name}
    assert kept == {"activations", "reference_activations"}
    assert tuple(arrays["activations"].shape) == (N, HIDDEN)
    assert not torch.equal(arrays["logits_1"], arrays["logits_3"])


def test_samples_that_are_shuffled_are_refused(tmp_path: Path) -> None:
    x, y = data()
    with pytest.raises(ValueError, match="shuffle=False"):
        TraceRecorder(net(), DataLoader(TensorDataset(x, y), shuffle=True), tmp_path / "run")
    batches = [(x, y)]
    recorder = TraceRecorder(net(), batches, tmp_path / "run")
    recorder.record(0.1)
    batches[0] = (x.flip(0), y.flip(0))
    with pytest.raises(ValueError, match="the labels are in another order"):
        recorder.record(0.1)


def test_a_model_that_diverged_is_not_recorded_and_training_is_not_stopped(tmp_path: Path) -> None:
    model = net()
    recorder = TraceRecorder(model, data(), tmp_path / "run")
    recorder.record(0.1)
    with torch.no_grad():
        model.last.bias[0] = torch.nan
    with pytest.warns(RuntimeWarning, match="epoch 2 is not recorded: the model's outputs are not finite"):
        recorder.record(0.1)
    assert "logits_2" not in opened(recorder.close())[0]


class Scaled(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / 4


class PerToken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x[:, None].expand(-1, 4, -1))
        return logits


def test_a_last_layer_that_does_not_answer_for_the_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not that of its last Linear layer"):
        TraceRecorder(Scaled(), data(), tmp_path / "run")
    with pytest.raises(ValueError, match="no Linear layer"):
        TraceRecorder(nn.Conv1d(1, 1, 1), [(torch.ones(2, 1, 1), torch.zeros(2))], tmp_path / "run")
    with pytest.raises(ValueError, match=r"one row of logits per sample, once; for 70 labels it gave \[\(70, 4, 3\)\]"):
        TraceRecorder(PerToken(), data(), tmp_path / "run")
    with pytest.raises(ValueError, match="head= is a ReLU; the Linear layer that gives the logits is expected"):
        TraceRecorder(net(), data(), tmp_path / "run", head=nn.ReLU())  # type: ignore[arg-type]  # what users may give


def test_a_layer_may_be_named_and_a_logarithm_of_probabilities_is_as_good(tmp_path: Path) -> None:
    scaled = Scaled()
    assert TraceRecorder(scaled, data(), tmp_path / "run", head=scaled.last).head is scaled.last
    model = nn.Sequential(nn.Linear(WIDTH, CLASSES), nn.LogSoftmax(1))
    assert TraceRecorder(model, data(), tmp_path / "run").head is model[0]


@pytest.mark.parametrize("arguments", [(float("nan"),), (-0.1,), (0.1, 1)])
def test_rates_must_be_positive_and_epochs_rise(tmp_path: Path, arguments: tuple[Any, ...]) -> None:
    recorder = TraceRecorder(net(), data(), tmp_path / "run")
    recorder.record(0.1)
    with pytest.raises(ValueError, match=r"above 0|must rise"):
        recorder.record(*arguments)


@pytest.mark.slow
def test_it_needs_torch_and_numpy_and_nothing_else_of_ours(tmp_path: Path) -> None:
    script = f"""
import random, sys
class Blocked:
    def find_spec(self, name, *_):
        if name.split(".")[0] in {{"service", "jaxtyping", "pydantic", "pyarrow", "sqlalchemy", "beartype", "transformers"}}:
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
import torch
from usual_suspects.recorder import TraceRecorder
class Noisy(torch.utils.data.Dataset):
    def __len__(self): return 2
    def __getitem__(self, row): return torch.eye(2)[row] + random.random(), row
before = random.getstate()
with TraceRecorder(torch.nn.Linear(2, 2), Noisy(), {str(tmp_path / "run")!r}) as recorder:
    recorder.record(0.1)
assert random.getstate() == before  # here, since the checker of types under pytest draws from it
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[3])
    assert opened(tmp_path / "run")[0]["logits_1"].shape == (2, 2)
