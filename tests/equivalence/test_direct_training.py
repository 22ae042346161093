"""Training with gradients written by hand is training with autograd, up to the rounding of float32."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from service.domain.specs import ModelRequest, Training
from tests.unit.worker.test_models import SHAPES, samples
from worker.data.shape import InputShape
from worker.models import build
from worker.training.direct_network import DirectNetwork
from worker.training.loop import EpochMetrics, TrainingState, train

ROWS, CLASSES = 133, 3
LABELS = torch.arange(ROWS).square() % 7 % CLASSES
SGD = Training(
    epochs=2,
    batch_size=16,
    learning_rate=0.02,
    optimizer="sgd",
    schedule="cosine",
    momentum=0.9,
    weight_decay=0.0,
    seed=5,
    checkpoints="all",
)
ADAMW = SGD.model_copy(update={"optimizer": "adamw", "learning_rate": 0.003})
# Columns of many bins, of two and of one; numbers lie beyond the outermost edges, too.
UNEVEN = InputShape(
    "tabular", numeric=3, cardinalities=(4, 3), bins=((-1.0, -0.2, 0.1, 0.7), (0.0, 1.0), (-0.5, 0.0, 0.5))
)
ONE_BIN = InputShape("tabular", numeric=2, cardinalities=(), bins=((0.0, 1.0), (-0.5, 0.5)))
BENT = {"numeric_embeddings": "piecewise_linear", "embedding_width": 5}
NETWORKS: dict[str, tuple[str, InputShape, dict[str, Any]]] = {
    "logistic regression": ("logistic_regression", SHAPES["both"], {}),
    "plain numbers and categories": ("mlp", SHAPES["both"], {"width": 24}),
    "categories alone": ("mlp", SHAPES["categories"], {"width": 24}),
    "embedded columns": ("mlp", UNEVEN, {"width": 24, "blocks": 3, **BENT}),
    "columns of one bin": ("mlp", ONE_BIN, {"width": 24, **BENT}),
    "linear probe": ("linear_probe", SHAPES["embedding"], {}),
    "MLP probe": ("mlp_probe", SHAPES["embedding"], {"width": 24, "blocks": 1}),
}
OPTIONS = {
    "SGD": SGD,
    "SGD with decay": SGD.model_copy(update={"weight_decay": 0.01}),
    "AdamW": ADAMW,
    "AdamW with decay": ADAMW.model_copy(update={"weight_decay": 0.05}),
    "weighted classes": SGD.model_copy(update={"class_weights": "balanced"}),
    "a last batch of one": SGD.model_copy(update={"batch_size": 12}),
    "one batch": SGD.model_copy(update={"batch_size": ROWS}),
}


def network(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    model, shape, params = NETWORKS[name]
    return build(ModelRequest(name=model, params=params), shape, CLASSES, 3), samples(shape, ROWS)


def trained(
    model: nn.Module, inputs: tuple[Tensor, ...], training: Training, resume: TrainingState | None = None
) -> tuple[list[TrainingState], list[EpochMetrics]]:
    states: list[TrainingState] = []
    told: list[EpochMetrics] = []

    def keep(state: TrainingState, metrics: EpochMetrics) -> None:
        states.append(state)
        told.append(metrics)

    train(model, inputs, LABELS, training, resume=resume, after_epoch=keep)
    return states, told


def without(patch: pytest.MonkeyPatch) -> None:
    """Train with autograd from here on."""
    patch.setattr(DirectNetwork, "of", lambda _model: None)


def assert_close(found: Any, expected: Any) -> None:
    """The same keys, kinds and shapes, and numbers up to rounding."""
    assert type(found) is type(expected)
    if isinstance(expected, Tensor):
        torch.testing.assert_close(found, expected, rtol=2e-4, atol=2e-6)
        assert not found.is_inference()
        assert found.is_contiguous()
    elif isinstance(expected, dict):
        assert [*found] == [*expected]
        for key in expected:
            assert_close(found[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)
    else:
        assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, "SGD") for name in NETWORKS),
        *(("embedded columns", options) for options in OPTIONS if options != "SGD"),
    ],
)
def test_states_and_metrics_are_those_of_autograd(name: str, options: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = network(name)
    assert DirectNetwork.of(model) is not None
    states, told = trained(model, inputs, OPTIONS[options])
    without(monkeypatch)
    witnesses, expected = trained(*network(name), OPTIONS[options])
    for state, witness in zip(states, witnesses, strict=True):
        assert_close(vars(state), vars(witness))
    for one, other in zip(told, expected, strict=True):
        assert_close(vars(one), vars(other))


@pytest.mark.parametrize("training", [SGD, ADAMW], ids=["sgd", "adamw"])
def test_either_way_goes_on_from_a_state_of_the_other(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    states, _ = trained(*network("embedded columns"), training)
    with monkeypatch.context() as patch:
        without(patch)
        witnesses, _ = trained(*network("embedded columns"), training)
        rest, _ = trained(*network("embedded columns"), training, states[0])
        assert_close(vars(rest[-1]), vars(witnesses[-1]))
    rest, _ = trained(*network("embedded columns"), training, witnesses[0])
    assert_close(vars(rest[-1]), vars(states[-1]))


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("mlp", {"dropout": 0.1}),
        ("mlp", {"numeric_embeddings": "periodic"}),
        ("tabular_resnet", {}),
        ("tabm", {}),
        ("ft_transformer", {"width": 16}),
    ],
)
def test_other_networks_are_left_to_autograd(name: str, params: dict[str, Any]) -> None:
    assert DirectNetwork.of(build(ModelRequest(name=name, params=params), SHAPES["both"], CLASSES, 3)) is None


def test_a_network_with_a_fixed_part_is_left_to_autograd() -> None:
    model, _ = network("MLP probe")
    next(model.parameters()).requires_grad_(False)
    assert DirectNetwork.of(model) is None
