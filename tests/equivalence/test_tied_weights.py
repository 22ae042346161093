"""A parameter that two layers share is refused or told, because its gradient is the sum over its uses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear

from service.domain.errors import Invalid
from service.domain.specs import JobSpec
from tests.builders import dataset_info, job_spec
from tests.equivalence.test_layer_gradients import NETWORKS, build, head_of
from tests.unit.worker.canonical import canonical
from tests.unit.worker.test_backbones_jobs import whole_job
from worker.backbones import BackboneContext, FeatureCache
from worker.data.canonical import Canonical
from worker.influence.gradients import squared_norms
from worker.influence.layer_gradients import LayerGradients, UnsupportedLayer, layer_names
from worker.influence.tied_weights import layers_used_elsewhere
from worker.job import preparation
from worker.job.preparation import PreparedJob, prepare

CLASSES, WIDTH = 3, 6


class Tied(nn.Module):
    """Two layers with one weight: the second layer's is the first's."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, CLASSES)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor, *_categories: Tensor) -> Tensor:
        """Logits."""
        result: Tensor = self.head(torch.tanh(self.second(torch.tanh(self.first(x)))))
        return result


class Borrowed(Tied):
    """The head's weight is used by a function that is no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.second.weight = nn.Parameter(self.first.weight.detach().clone())

    def forward(self, x: Tensor, *_categories: Tensor) -> Tensor:
        """Logits."""
        return super().forward(x + linear(linear(x, self.head.weight), self.head.weight.T))


class Again(nn.Module):
    """The head is used twice in one pass."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(CLASSES, CLASSES)

    def forward(self, x: Tensor, *_categories: Tensor) -> Tensor:
        """Logits."""
        result: Tensor = self.head(self.head(x[:, :CLASSES]))
        return result


def seeded(make: Callable[[], nn.Module]) -> Any:
    torch.manual_seed(0)
    return make()


def samples() -> tuple[Tensor, Tensor]:
    return torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(1)), torch.arange(5) % CLASSES


def exact_norms(model: nn.Module, parameters: list[nn.Parameter], x: Tensor, y: Tensor) -> Tensor:
    """Squared norms of per-sample gradients by automatic differentiation, in which uses add up."""
    found = []
    for i in range(len(y)):
        gradients = torch.autograd.grad(cross_entropy(model(x[i : i + 1]), y[i : i + 1]), parameters)
        found.append(sum((gradient.square().sum() for gradient in gradients), start=torch.zeros(())))
    return torch.stack(found)


def test_gradients_of_layers_that_share_a_weight_would_be_wrong_layer_by_layer() -> None:
    model = seeded(Tied)
    x, y = samples()
    apart = torch.zeros(len(y))
    for name in ("first", "second"):
        with LayerGradients(model, [name]) as layer_gradients:
            apart += squared_norms(layer_gradients((x,), y)[1][0]).float()
    exact = exact_norms(model, [model.first.weight, model.first.bias, model.second.bias], x, y)
    assert ((apart - exact).abs() > 0.05 * exact).any()


@pytest.mark.parametrize("layers", ["all", "last-2", ["second", "first"]])
def test_two_chosen_layers_that_share_a_parameter_are_refused_by_name(layers: Any) -> None:
    model = seeded(Tied)
    if layers == "last-2":
        model.head.weight = model.second.weight = model.first.weight
    with pytest.raises(
        UnsupportedLayer, match=r"layer (second|head): its weight is a parameter of layer (first|second)"
    ):
        layer_names(model, model.head, layers)


def test_a_layer_whose_weight_is_also_that_of_a_layer_left_out_is_told() -> None:
    model = seeded(Tied)
    x, _ = samples()
    assert layers_used_elsewhere(model, ["first", "head"], (x,)) == ["first"]
    assert layers_used_elsewhere(model, ["head"], (x,)) == []


def test_a_weight_that_a_function_uses_is_told() -> None:
    model = seeded(Borrowed)
    x, _ = samples()
    assert layers_used_elsewhere(model, ["first", "second", "head"], (x,)) == ["head"]


@pytest.mark.parametrize("name", NETWORKS)
def test_no_layer_of_our_own_networks_is_used_elsewhere(name: str) -> None:
    make, draw = NETWORKS[name]
    model = build(make)
    mode = model.training
    assert layers_used_elsewhere(model, layer_names(model, head_of(model), "all"), tuple(draw(3))) == []
    assert model.training == mode


def job_of(model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layers: Any) -> tuple[JobSpec, Canonical]:
    """A job of a model of somebody's own."""
    monkeypatch.setattr(preparation, "build", lambda *_arguments: model)
    x, _ = samples()
    columns = {f"x{place}": ("numeric", x[:, place].tolist()) for place in range(WIDTH)}
    dataset = canonical(tmp_path / "data.parquet", "tabular", columns)
    info = dataset_info(rows=len(x), splits={"train": len(x)})
    spec = job_spec(info, model={"name": "mlp"}, influence={"layers": layers}, training={"epochs": 2, "batch_size": 5})
    return spec, dataset


def prepared(model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layers: Any) -> PreparedJob:
    """Such a job up to its training."""
    spec, dataset = job_of(model, tmp_path, monkeypatch, layers)
    return prepare(spec, dataset, None)


def test_a_job_tells_before_it_is_trained_that_layers_share_a_weight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Invalid) as refused:
        prepared(seeded(Tied), tmp_path, monkeypatch, "all")
    assert [error.loc for error in refused.value.errors] == [["influence", "layers"]]
    assert prepared(seeded(Tied), tmp_path, monkeypatch, ["second", "head"]).tied == ("second",)
    assert prepared(seeded(Tied), tmp_path, monkeypatch, "last").tied == ()
    assert prepared(seeded(Borrowed), tmp_path, monkeypatch, "last").tied == ("head",)


def test_a_layer_that_is_used_twice_is_refused_before_it_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Invalid, match="layer head: used more than once"):
        prepared(seeded(Again), tmp_path, monkeypatch, "last")


def test_the_ranking_warns_of_a_parameter_that_is_used_outside_the_chosen_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {}
    backbones = BackboneContext(tmp_path, tmp_path, FeatureCache(tmp_path / "features", 10**9), tmp_path / "scratch")
    for layers in (["first", "head"], ["head"]):
        spec, dataset = job_of(seeded(Tied), tmp_path, monkeypatch, layers)
        _, done = whole_job(spec, dataset, backbones, tmp_path / layers[0])
        told[layers[0]] = {one["code"]: one["detail"] for one in done.result["warnings"]}
    assert "parameters of first in other places" in told["first"]["tied_weights"]
    assert "tied_weights" not in told["head"]
