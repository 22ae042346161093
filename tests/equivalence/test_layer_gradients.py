"""Gradients of any supported layer equal one backward pass a sample; unsupported layers are named."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rtdl_num_embeddings import LinearEmbeddings, PeriodicEmbeddings
from rtdl_revisiting_models import FTTransformer
from tabm import ElementwiseAffine, LinearBatchEnsemble
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from service.domain.models.image import ResNet18Params, ResNetParams, SmallCNNParams
from service.domain.models.tabular import TabMParams, TabularMLPParams, TabularResNetParams
from service.domain.models.text import TextCNNParams, TextTransformerParams
from tests.equivalence.pairs import pair_sums
from worker.data.shape import InputShape
from worker.influence import gradients
from worker.influence.gradient_sources import CheckpointedModel, ChosenLayerGradients
from worker.influence.gradients import class_sums, concatenate, dot_with_sums, dots, materialise, scaled, squared_norms
from worker.influence.layer_gradients import LayerGradients, UnsupportedLayer, layer_names
from worker.influence.pairs import PairwiseInfluence
from worker.influence.projection import Projection
from worker.influence.tracin import checkpoint_influence, class_gradient_sums, gradient_norms
from worker.models.image import resnet20, small_cnn
from worker.models.resnet18 import resnet18
from worker.models.tabm import tabm
from worker.models.tabular import mlp, tabular_resnet
from worker.models.text import text_cnn, text_transformer

CLASSES = 3


class Flat(nn.Module):
    """Everything after the batch dimension in one row."""

    def forward(self, x: Tensor) -> Tensor:
        """Flat rows."""
        return x.flatten(1)


def sequence(*layers: nn.Module, width: int) -> nn.Module:
    return nn.Sequential(*layers, Flat(), nn.Linear(width, CLASSES))


def floats(*shape: int) -> Callable[[int, torch.Generator], Tensor]:
    return lambda rows, generator: torch.randn(rows, *shape, generator=generator)


def ids(length_: int, vocabulary: int) -> Callable[[int, torch.Generator], Tensor]:
    return lambda rows, generator: torch.randint(0, vocabulary, (rows, length_), generator=generator)


# Each: a network, what it takes, and the name of the layer that is looked at.
CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[int, torch.Generator], Tensor], str]] = {
    "linear": (lambda: sequence(nn.Linear(5, 4), nn.ReLU(inplace=True), width=4), floats(5), "0"),
    "linear without bias": (lambda: sequence(nn.Linear(5, 4, bias=False), nn.Tanh(), width=4), floats(5), "0"),
    "linear on a sequence": (lambda: sequence(nn.Linear(5, 4), nn.Tanh(), width=28), floats(7, 5), "0"),
    "linear on a short sequence": (lambda: sequence(nn.Linear(30, 20), nn.Tanh(), width=40), floats(2, 30), "0"),
    "linear on a grid": (lambda: sequence(nn.Linear(5, 4), nn.Tanh(), width=24), floats(3, 2, 5), "0"),
    "conv1d": (lambda: sequence(nn.Conv1d(3, 4, 3, stride=2, padding=1), nn.Tanh(), width=16), floats(3, 8), "0"),
    "conv2d": (lambda: sequence(nn.Conv2d(2, 3, 3, padding=1), nn.Tanh(), width=60), floats(2, 5, 4), "0"),
    "conv2d strided": (
        lambda: sequence(nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0), bias=False), nn.Tanh(), width=36),
        floats(2, 7, 4),
        "0",
    ),
    "conv2d dilated": (lambda: sequence(nn.Conv2d(2, 3, 3, dilation=2), nn.Tanh(), width=18), floats(2, 7, 6), "0"),
    "conv2d in groups": (lambda: sequence(nn.Conv2d(4, 6, 3, groups=2), nn.Tanh(), width=36), floats(4, 5, 4), "0"),
    "conv2d by channel": (lambda: sequence(nn.Conv2d(4, 4, 3, groups=4), nn.Tanh(), width=24), floats(4, 5, 4), "0"),
    "embedding": (lambda: sequence(nn.Embedding(11, 4), nn.Tanh(), width=20), ids(5, 11), "0"),
    "embedding with padding": (
        lambda: sequence(nn.Embedding(11, 4, padding_idx=0), nn.Tanh(), width=20),
        ids(5, 11),
        "0",
    ),
    "large embedding": (lambda: sequence(nn.Embedding(20_000, 4), nn.Tanh(), width=20), ids(5, 20_000), "0"),
    "layer norm": (lambda: sequence(nn.LayerNorm(5), nn.Tanh(), width=35), floats(7, 5), "0"),
    "layer norm of two axes": (lambda: sequence(nn.LayerNorm((7, 5)), nn.Tanh(), width=35), floats(7, 5), "0"),
    "layer norm without bias": (lambda: sequence(nn.LayerNorm(5, bias=False), nn.Tanh(), width=5), floats(5), "0"),
    "group norm": (lambda: sequence(nn.GroupNorm(2, 4), nn.Tanh(), width=24), floats(4, 3, 2), "0"),
    "batch norm": (lambda: sequence(nn.BatchNorm1d(5), nn.Tanh(), width=5), floats(5), "0"),
    "members of an ensemble": (
        lambda: sequence(LinearBatchEnsemble(5, 4, k=3, scaling_init="normal"), nn.Tanh(), width=12),
        floats(3, 5),
        "0",
    ),
    "members without bias": (
        lambda: sequence(LinearBatchEnsemble(5, 4, bias=False, k=2, scaling_init="normal"), nn.Tanh(), width=8),
        floats(2, 5),
        "0",
    ),
    "scale": (
        lambda: sequence(ElementwiseAffine((3, 5), bias=False, scaling_init="normal"), nn.Tanh(), width=15),
        floats(3, 5),
        "0",
    ),
    "scale and shift": (
        lambda: sequence(ElementwiseAffine((3, 5), bias=True, scaling_init="normal"), nn.Tanh(), width=15),
        floats(3, 5),
        "0",
    ),
    "linear embeddings of numbers": (lambda: sequence(LinearEmbeddings(3, 4), nn.Tanh(), width=12), floats(3), "0"),
    "periodic embeddings": (
        lambda: sequence(PeriodicEmbeddings(3, 4, frequency_init_scale=0.5, lite=False), nn.Tanh(), width=12),
        floats(3),
        "0.periodic",
    ),
    "a matrix a column": (
        lambda: sequence(PeriodicEmbeddings(3, 4, lite=False), nn.Tanh(), width=12),
        floats(3),
        "0.linear",
    ),
    "batch norm of images": (lambda: sequence(nn.BatchNorm2d(4), nn.Tanh(), width=24), floats(4, 3, 2), "0"),
}


def slow_gradients(model: nn.Module, names: list[str], inputs: tuple[Tensor, ...], labels: Tensor) -> Tensor:
    """One backward pass a sample, in float64; the gradients of the named modules' parameters side by side."""
    model.double().eval()
    modules = dict(model.named_modules())
    parameters = [p for name in names for p in modules[name].parameters(recurse=False)]
    rows = []
    for i in range(len(labels)):
        one = tuple(x[i : i + 1].double() if x.is_floating_point() else x[i : i + 1] for x in inputs)
        loss = cross_entropy(model(*one), labels[i : i + 1])
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]))
    model.float()
    return torch.stack(rows)


def build(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model = make()
    # Norms that start as the identity would hide a mistake in their gradient.
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean = torch.randn(module.num_features)
            module.running_var = torch.rand(module.num_features) + 0.5
    return model


def close(got: Tensor, expected: Tensor) -> bool:
    return bool((got.double() - expected.double()).abs().max() <= 1e-4 * expected.abs().max().clamp(min=1e-9))


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=6, deadline=None)
@given(rows=st.integers(1, 7), others=st.integers(1, 9), seed=st.integers(0, 99))
def test_products_equal_those_of_per_sample_gradients(case: str, rows: int, others: int, seed: int) -> None:
    make, draw, name = CASES[case]
    model, generator = build(make, seed), torch.Generator().manual_seed(seed)
    x, y = draw(rows, generator), torch.randint(0, CLASSES, (rows,), generator=generator)
    known, known_y = draw(others, generator), torch.randint(0, CLASSES, (others,), generator=generator)
    with LayerGradients(model, [name]) as layer_gradients:
        logits, (train,) = layer_gradients((x,), y)
        _, (reference,) = layer_gradients((known,), known_y)
    assert torch.allclose(logits, model(x), atol=1e-5)
    several = dots(train, reference), dot_with_sums(train, class_sums(reference, known_y, CLASSES))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradients, "_AT_ONCE", 1)
        assert close(dots(train, reference), several[0])
        assert close(dot_with_sums(train, class_sums(reference, known_y, CLASSES)), several[1])
    slow, slow_known = slow_gradients(model, [name], (x,), y), slow_gradients(model, [name], (known,), known_y)
    assert close(dots(train, reference), slow @ slow_known.T)
    assert close(squared_norms(train), slow.square().sum(1))
    expected = torch.stack([slow_known[known_y == k].sum(0) for k in range(CLASSES)])
    assert close(dot_with_sums(train, class_sums(reference, known_y, CLASSES)), slow @ expected.T)
    factor = torch.arange(1.0, rows + 1)
    assert close(dots(scaled(train, factor), reference), factor[:, None] * (slow @ slow_known.T))
    assert close(dots(concatenate([train, train]), reference), torch.cat([dots(train, reference)] * 2))


def test_both_forms_of_a_layer_at_many_places_agree() -> None:
    u, v = torch.randn(5, 2, 30), torch.randn(5, 2, 20)
    formed = torch.einsum("nlo,nld->nod", v, u).flatten(1)
    kept, made = materialise(u, v), materialise(torch.randn(5, 9, 2), torch.randn(5, 9, 3))
    assert type(kept).__name__ == "Positions"
    assert type(made).__name__ == "Dense"
    assert close(dots(kept, kept), formed @ formed.T)


BENT = InputShape("tabular", numeric=3, cardinalities=(4,), bins=((-1.0, 0.0, 1.0), (-2.0, 2.0), (-0.5, 0.0, 0.1, 1.0)))
NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[int], tuple[Tensor, ...]]]] = {
    "mlp": (
        lambda: mlp(TabularMLPParams(width=6), InputShape("tabular", numeric=3, cardinalities=(4,)), CLASSES),
        lambda rows: (torch.randn(rows, 3), torch.randint(0, 4, (rows, 1))),
    ),
    "tabular_resnet": (
        lambda: tabular_resnet(TabularResNetParams(width=8), InputShape("tabular", numeric=3, cardinalities=(4,)), 3),
        lambda rows: (torch.randn(rows, 3), torch.randint(0, 4, (rows, 1))),
    ),
    "tabm": (
        lambda: tabm(TabMParams(width=8, members=3), InputShape("tabular", numeric=3, cardinalities=(4,)), CLASSES),
        lambda rows: (torch.randn(rows, 3), torch.randint(0, 4, (rows, 1))),
    ),
    "mlp of bent numbers": (
        lambda: mlp(TabularMLPParams(width=6, numeric_embeddings="piecewise_linear", embedding_width=4), BENT, CLASSES),
        lambda rows: (torch.randn(rows, 3), torch.randint(0, 4, (rows, 1))),
    ),
    "tabm of waves": (
        lambda: tabm(TabMParams(width=8, members=3, numeric_embeddings="periodic", embedding_width=4), BENT, CLASSES),
        lambda rows: (torch.randn(rows, 3), torch.randint(0, 4, (rows, 1))),
    ),
    "tabm that shares all": (
        lambda: tabm(
            TabMParams(width=8, members=3, sharing="mini"),
            InputShape("tabular", numeric=3, cardinalities=(4,)),
            CLASSES,
        ),
        lambda rows: (torch.randn(rows, 3), torch.randint(0, 4, (rows, 1))),
    ),
    "small_cnn": (
        lambda: small_cnn(
            SmallCNNParams(width=4),
            InputShape("image", image=(1, 12, 12), pixel_mean=(99.0,), pixel_deviation=(50.0,)),
            CLASSES,
        ),
        lambda rows: (torch.randint(0, 256, (rows, 1, 12, 12), dtype=torch.uint8),),
    ),
    "resnet20": (
        lambda: resnet20(
            ResNetParams(width=4),
            InputShape("image", image=(3, 8, 8), pixel_mean=(99.0,) * 3, pixel_deviation=(50.0,) * 3),
            CLASSES,
        ),
        lambda rows: (torch.randint(0, 256, (rows, 3, 8, 8), dtype=torch.uint8),),
    ),
    "text_cnn": (
        lambda: text_cnn(TextCNNParams(width=4, channels=4), InputShape("text", text=(20, 7)), CLASSES),
        lambda rows: (_tokens(rows),),
    ),
    "text_transformer": (
        lambda: text_transformer(TextTransformerParams(width=16, blocks=1), InputShape("text", text=(20, 7)), CLASSES),
        lambda rows: (_tokens(rows),),
    ),
    "resnet18 of large images": (
        lambda: resnet18(
            ResNet18Params(width=4),
            InputShape("image", image=(3, 70, 66), pixel_mean=(99.0,) * 3, pixel_deviation=(50.0,) * 3),
            CLASSES,
        ),
        lambda rows: (torch.randint(0, 256, (rows, 3, 70, 66), dtype=torch.uint8),),
    ),
}


def _tokens(rows: int) -> Tensor:
    """Texts of 2 to 7 tokens, some of them twice in a text."""
    return torch.randint(1, 20, (rows, 7)) * (torch.arange(7) < torch.randint(2, 8, (rows, 1)))


@pytest.mark.parametrize("name", NETWORKS)
def test_all_layers_together_give_the_whole_gradient(name: str) -> None:
    make, draw = NETWORKS[name]
    model = build(make)
    names = layer_names(model, head_of(model), "all")
    x, y = draw(5), torch.tensor([0, 1, 2, 1, 0])
    with LayerGradients(model, names) as layer_gradients:
        _, found = layer_gradients(x, y)
    parameters = sum(p.numel() for p in model.parameters())
    slow = slow_gradients(model, names, tuple(x), y)
    assert slow.shape[1] == parameters
    total = torch.stack([dots(gradient, gradient) for gradient in found]).sum(0)
    assert close(total, slow @ slow.T)
    assert close(gradient_norms(found), slow.norm(dim=1))


def head_of(model: nn.Module) -> nn.Linear:
    return [module for module in model.modules() if isinstance(module, nn.Linear)][-1]


def test_influence_of_chosen_layers_is_that_of_the_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    make, draw = NETWORKS["mlp"]
    model = build(make)
    names = layer_names(model, head_of(model), "last-2")
    assert len(names) == 2
    network, states, rates = CheckpointedModel(model, names, None), [], (0.1, 0.02)
    for seed in range(2):
        state = build(make, seed).state_dict()
        model.load_state_dict(state)
        network.add_checkpoint(model.state_dict())
        states.append(state)
    x, known, y, known_y = draw(11), draw(7), torch.arange(11) % CLASSES, torch.arange(7) % CLASSES
    train, reference = ChosenLayerGradients(network, x), ChosenLayerGradients(network, known)
    monkeypatch.setattr(train, "block", 4)
    expected, last = torch.zeros(11, 7).double(), torch.zeros(11, 7).double()
    other = (y + 1) % CLASSES
    for rate, state in zip(rates, states, strict=True):
        model.load_state_dict(state)
        far = slow_gradients(model, names, known, known_y)
        expected += rate * slow_gradients(model, names, x, y) @ far.T
        last = rate * slow_gradients(model, names, x, other) @ far.T
    network = CheckpointedModel(model, names, None)
    for state in states:
        model.load_state_dict(state)
        network.add_checkpoint(model.state_dict())
    train, reference = ChosenLayerGradients(network, x), ChosenLayerGradients(network, known)
    pairs = PairwiseInfluence(train, y, reference, known_y, rates)
    found, moved = [], []
    blocks = list(pairs.blocks())
    for block in blocks:
        found.append(block.influence)
        moved.append(pairs.relabelled(block, other[block.rows]))
    assert close(torch.cat(found), expected)
    assert close(torch.cat(moved), last)
    sums, by_checkpoint = pair_sums(train, y, reference, known_y, rates, CLASSES, by_checkpoint=True)
    for t, (rate, done) in enumerate(zip(rates, by_checkpoint, strict=True)):
        same = checkpoint_influence(train, t, y, class_gradient_sums(reference, t, known_y, CLASSES), rate)
        assert close(done.self_influence, same.self_influence)
        assert close(done.class_influence, same.class_influence)
        assert close(done.class_cosines, same.class_cosines)
    by_class = torch.stack([expected[:, known_y == k].sum(1) for k in range(CLASSES)], 1)
    assert close(sums.positive.amount - sums.negative.amount, by_class)
    total = sum(
        (
            checkpoint_influence(train, t, y, class_gradient_sums(reference, t, known_y, CLASSES), rate).class_influence
            for t, rate in enumerate(rates)
        ),
        torch.zeros(11, CLASSES),
    )
    assert close(total, by_class)


def test_taking_gradients_leaves_the_model_as_it_was() -> None:
    make, draw = NETWORKS["mlp"]
    model = build(make)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with LayerGradients(model, layer_names(model, head_of(model), "all")) as layer_gradients:
        layer_gradients(draw(4), torch.tensor([0, 1, 2, 0]))
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


class Twice(nn.Module):
    """Uses a layer two times."""

    def __init__(self) -> None:
        super().__init__()
        self.same, self.head = nn.Linear(4, 4), nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        result: Tensor = self.head(self.same(self.same(x)))
        return result


def test_an_unsupported_layer_is_named() -> None:
    transformer = FTTransformer(n_cont_features=3, cat_cardinalities=[], d_out=CLASSES, **_small_transformer())
    head = transformer.backbone.output.linear
    with pytest.raises(UnsupportedLayer, match=r"cls_embedding.*_CLSEmbedding is not supported"):
        layer_names(transformer, head, "all")
    frozen = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    frozen[0].requires_grad_(False)
    assert layer_names(frozen, frozen[1], "all") == ["1"]  # type: ignore[arg-type]
    with pytest.raises(UnsupportedLayer, match="layer 0: not all of it is trained"):
        layer_names(frozen, frozen[1], ["0"])  # type: ignore[arg-type]
    with pytest.raises(UnsupportedLayer, match="layer nowhere: no such module; there are 1"):
        layer_names(frozen, frozen[1], ["nowhere"])  # type: ignore[arg-type]
    twice = Twice()
    with (
        pytest.raises(UnsupportedLayer, match="layer same: used more than once"),
        LayerGradients(twice, ["same"]) as layer_gradients,
    ):
        layer_gradients((torch.randn(2, 4),), torch.tensor([0, 1]))


def test_linear_layers_of_a_transformer_are_supported() -> None:
    model = build(
        lambda: FTTransformer(n_cont_features=3, cat_cardinalities=[4], d_out=CLASSES, **_small_transformer())
    )
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.LayerNorm)]
    x, y = (torch.randn(4, 3), torch.randint(0, 4, (4, 1))), torch.tensor([0, 1, 2, 0])
    with LayerGradients(model, names) as layer_gradients:
        _, found = layer_gradients(x, y)
    slow = slow_gradients(model, names, x, y)
    assert close(torch.stack([dots(gradient, gradient) for gradient in found]).sum(0), slow @ slow.T)


def _small_transformer() -> dict[str, Any]:
    options: dict[str, Any] = FTTransformer.get_default_kwargs(n_blocks=1)
    options.pop("_is_default")
    return {**options, "n_blocks": 1, "d_block": 8, "attention_n_heads": 2}


def test_the_last_layers_are_the_head_and_the_product_layer_before_it() -> None:
    make, _ = NETWORKS["small_cnn"]
    model = build(make)
    assert layer_names(model, head_of(model), "last") == ["head"]
    assert layer_names(model, head_of(model), "last-2") == ["hidden", "head"]


@pytest.mark.parametrize(
    "case", ["linear", "linear on a sequence", "linear on a short sequence", "conv2d", "layer norm"]
)
def test_projections_keep_products_on_average(case: str) -> None:
    make, draw, name = CASES[case]
    model, generator = build(make), torch.Generator().manual_seed(0)
    x, y = draw(6, generator), torch.arange(6) % CLASSES
    exact = slow_gradients(model, [name], (x,), y)
    total, repeats = torch.zeros(6, 6), 400
    for seed in range(repeats):
        with LayerGradients(model, [name], Projection(4, seed)) as layer_gradients:
            _, (found,) = layer_gradients((x,), y)
        total += dots(found, found)
    scale = exact.square().sum(1).max()
    assert (total / repeats - exact @ exact.T).abs().max() < 0.35 * scale


def test_a_projection_is_the_same_for_every_batch_and_wide_enough_ones_are_exact() -> None:
    make, draw, name = CASES["linear on a sequence"]
    model, generator = build(make), torch.Generator().manual_seed(0)
    x, y = draw(6, generator), torch.arange(6) % CLASSES
    with LayerGradients(model, [name], Projection(9, 5)) as layer_gradients:
        _, (whole,) = layer_gradients((x,), y)
        halves = [layer_gradients((x[rows],), y[rows])[1][0] for rows in (slice(0, 2), slice(2, 6))]
    assert torch.allclose(dots(concatenate(halves), whole), dots(whole, whole), rtol=1e-5, atol=1e-6)
    exact = slow_gradients(model, [name], (x,), y)
    with LayerGradients(model, [name], Projection(10_000, 5)) as layer_gradients:
        _, (found,) = layer_gradients((x,), y)
    assert close(dots(found, found), exact @ exact.T)


def test_rows_are_run_once_for_all_labels_and_again_at_another_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    make, draw = NETWORKS["mlp"]
    model = build(make)
    network = CheckpointedModel(model, layer_names(model, head_of(model), "all"), None)
    for seed in range(2):
        model.load_state_dict(build(make, seed).state_dict())
        network.add_checkpoint(model.state_dict())
    x, y = draw(11), torch.arange(11) % CLASSES
    source = ChosenLayerGradients(network, x)
    every_labels = (y, (y + 1) % CLASSES)
    asked = [(t, rows, labels) for rows in (slice(0, 6), slice(6, 11)) for t in (0, 1, 0) for labels in every_labels]
    fresh = [ChosenLayerGradients(network, x).gradients(t, rows, labels[rows]) for t, rows, labels in asked]
    runs: list[int] = []
    model.register_forward_pre_hook(lambda _model, inputs: runs.append(len(inputs[0])))
    found = [source.gradients(t, rows, labels[rows]) for t, rows, labels in asked]
    assert runs == [6, 6, 6, 5, 5, 5]
    for layers, expected in zip(found, fresh, strict=True):
        for layer, one in zip(layers, expected, strict=True):
            assert all(torch.equal(getattr(layer, name), part) for name, part in vars(one).items())
