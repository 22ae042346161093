"""The networks: each one of the table, on every shape of data it must take."""

from typing import Any

import pytest
import torch
from torch import Tensor

from service.domain.models import MODELS
from service.domain.specs import ModelRequest
from worker.data.shape import InputShape
from worker.models import BUILDERS, build, head
from worker.models.numeric_columns import NumericColumns

CLASSES = 5
SHAPES = {
    "numbers": InputShape("tabular", numeric=7, bins=((-1.0, 0.0, 0.5, 2.0), (0.0, 1.0)) * 3 + ((-2.0, 0.0, 0.1),)),
    "categories": InputShape("tabular", cardinalities=(3, 5, 2)),
    "both": InputShape("tabular", numeric=4, cardinalities=(3, 6), bins=((-1.0, 0.0, 2.0), (0.0, 1.0)) * 2),
    "grey": InputShape("image", image=(1, 9, 14), pixel_mean=(90.0,), pixel_deviation=(40.0,)),
    "colour": InputShape("image", image=(3, 17, 12), pixel_mean=(90.0, 100.0, 7.0), pixel_deviation=(40.0, 30.0, 1.0)),
    "tiny": InputShape("image", image=(3, 8, 8), pixel_mean=(90.0,) * 3, pixel_deviation=(40.0,) * 3),
    "embedding": InputShape("embedding", embedding=11),
    "text": InputShape("text", text=(40, 12)),
    "words": InputShape("text", text=(40, 1)),
}
CASES = [
    (name, shape)
    for name, model in MODELS.items()
    for shape in SHAPES
    # What is built of a pretrained one is a probe on the rows of numbers that its backbone gives.
    # Trees are no network: tests/unit/worker/test_boosted_trees.py.
    if model.training is not None
    and not model.trees
    and SHAPES[shape].modality == ("embedding" if model.has_front else model.modality)
]


def samples(shape: InputShape, count: int) -> tuple[Tensor, ...]:
    """Inputs as an encoder makes them."""
    generator = torch.Generator().manual_seed(0)
    if shape.modality == "embedding":
        return (torch.randn(count, shape.embedding or 0, generator=generator),)
    if shape.text is not None:
        vocabulary, length = shape.text
        tokens = torch.randint(1, vocabulary, (count, length), generator=generator)
        read = torch.randint(1, length + 1, (count, 1), generator=generator)
        return (tokens.masked_fill(torch.arange(length) >= read, 0),)
    if shape.image is not None:
        return (torch.randint(0, 256, (count, *shape.image), generator=generator, dtype=torch.uint8),)
    numeric = torch.randn(count, shape.numeric, generator=generator)
    codes = [torch.randint(0, size, (count,), generator=generator) for size in shape.cardinalities]
    return numeric, torch.stack(codes, 1) if codes else torch.zeros(count, 0, dtype=torch.int64)


def made(name: str, shape: str, seed: int = 0, **params: Any) -> torch.nn.Module:
    return build(ModelRequest(name=name, params={**needed(name), **params}), SHAPES[shape], CLASSES, seed).eval()


def needed(name: str) -> dict[str, Any]:
    """Parameters that have no default: the probe on an uploaded network does not ask which one it is."""
    return {"network": "net_1"} if "network" in MODELS[name].params.model_fields else {}


EMBEDDED = [
    (name, shape, kind)
    for name, shape in CASES
    for kind in ("piecewise_linear", "periodic")
    if "numeric_embeddings" in MODELS[name].params.model_fields
]


def test_every_model_that_may_be_asked_for_can_be_built_and_no_other() -> None:
    assert BUILDERS.keys() == {name for name, model in MODELS.items() if model.training is not None}


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_the_head_yields_the_logits(name: str, shape: str) -> None:
    model = made(name, shape)
    seen: list[Tensor] = []
    handle = head(model).register_forward_pre_hook(lambda _layer, given: seen.append(given[0]))
    logits = model(*samples(SHAPES[shape], 6))
    handle.remove()
    assert logits.shape == (6, CLASSES)
    assert bool(logits.isfinite().all())
    (activations,) = seen
    torch.testing.assert_close(logits, torch.nn.functional.linear(activations, head(model).weight, head(model).bias))


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_every_weight_of_the_network_learns(name: str, shape: str) -> None:
    model = made(name, shape).train()
    logits = model(*samples(SHAPES[shape], 6))
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, -2), torch.arange(len(logits.flatten(0, -2))) % CLASSES)
    torch.autograd.backward(loss)
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_initial_weights_come_from_the_seed_alone(name: str, shape: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = made(name, shape, seed=7)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again, other = made(name, shape, seed=7), made(name, shape, seed=8)
    assert all(map(torch.equal, first.parameters(), again.parameters()))
    assert not torch.equal(head(first).weight, head(other).weight)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_a_sample_scores_the_same_in_any_company(name: str, shape: str) -> None:
    model, inputs = made(name, shape), samples(SHAPES[shape], 6)
    with torch.inference_mode():
        torch.testing.assert_close(model(*(x[2:3] for x in inputs)), model(*inputs)[2:3], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["logistic_regression", "mlp", "tabm", "linear_probe", "mlp_probe", "small_cnn", "ft_transformer"]
)
def test_models_without_batch_normalisation_do_not_mix_samples_in_training(name: str) -> None:
    shape = next(shape for model, shape in CASES if model == name)
    params: dict[str, Any] = {"dropout": 0.0} if "dropout" in MODELS[name].params.model_fields else {}
    model, inputs = made(name, shape, **params).train(), samples(SHAPES[shape], 6)
    torch.testing.assert_close(model(*(x[:3] for x in inputs)), model(*inputs)[:3], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "shape", "kind"), EMBEDDED)
def test_networks_of_embedded_numbers_give_logits_and_learn_every_weight(name: str, shape: str, kind: str) -> None:
    model = made(name, shape, numeric_embeddings=kind, embedding_width=5)
    torch.manual_seed(0)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)  # Piecewise parts start at zero, and nothing would reach what is before.
    inputs = samples(SHAPES[shape], 6)
    seen: list[Tensor] = []
    handle = head(model).register_forward_pre_hook(lambda _layer, given: seen.append(given[0]))
    logits = model(*inputs)
    handle.remove()
    torch.testing.assert_close(logits, head(model)(seen[0]))
    torch.testing.assert_close(model(*(x[2:3] for x in inputs)), logits[2:3], rtol=1e-4, atol=1e-5)
    answers = model.train()(*inputs).flatten(0, -2)
    loss = torch.nn.functional.cross_entropy(answers, torch.arange(len(answers)) % CLASSES)
    torch.autograd.backward(loss)
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize("kind", ["piecewise_linear", "periodic"])
def test_an_embedded_number_bends_where_a_plain_one_cannot(kind: str) -> None:
    shape = InputShape("tabular", numeric=1, bins=((-2.0, -1.0, 0.0, 1.0, 2.0),))
    x = torch.linspace(-2, 2, 200)[:, None]
    inside = ((x[:, 0] > -1) & (x[:, 0] < 1)).long()
    kept = {}
    for name in (kind, "none"):
        numbers = NumericColumns(name, 8, shape)  # type: ignore[arg-type]  # the parameter's words
        torch.manual_seed(0)
        model = torch.nn.Sequential(numbers, torch.nn.Linear(numbers.width, 2))
        optimizer = torch.optim.Adam(model.parameters(), 0.05)
        for _ in range(150):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x), inside)
            torch.autograd.backward(loss)
            optimizer.step()
        kept[name] = float((model(x).argmax(1) == inside).float().mean())
    assert kept["none"] < 0.7
    assert kept[kind] > 0.95


def test_members_of_an_ensemble_answer_apart_in_training_and_together_otherwise() -> None:
    model, inputs = made("tabm", "both", members=5, dropout=0.0), samples(SHAPES["both"], 6)
    together, apart = model.eval()(*inputs), model.train()(*inputs)
    assert apart.shape == (6, 5, CLASSES)
    assert bool((apart[:, 0] - apart[:, 1]).abs().max() > 1e-3)
    torch.testing.assert_close(apart.mean(1), together, rtol=1e-4, atol=1e-5)


def test_every_category_reaches_the_network_as_its_own_number() -> None:
    model: Any = made("logistic_regression", "both")
    numeric = torch.tensor([[1.0, 2.0, 3.0, 4.0]] * 2)
    flat = model.encoder(numeric, torch.tensor([[2, 0], [0, 5]]))
    assert flat[:, 4:].tolist() == [[0, 0, 1, 1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0, 1]]
    assert torch.equal(flat[:, :4], numeric)


def test_image_models_see_standardised_pixels() -> None:
    model: Any = made("small_cnn", "colour")
    pixels = torch.zeros(2, 3, 17, 12, dtype=torch.uint8)
    pixels[:, 0], pixels[:, 1] = 130, 100
    seen = model.body[0](pixels)
    assert seen.amin((0, 2, 3)).tolist() == seen.amax((0, 2, 3)).tolist() == [1.0, 0.0, -7.0]


def test_the_parameters_shape_the_network() -> None:
    mlp: Any = made("mlp", "numbers", width=24, blocks=3, dropout=0.5)
    assert [block.linear.out_features for block in mlp.network.blocks] == [24] * 3
    assert mlp.network.blocks[0].dropout.p == 0.5
    assert head(made("small_cnn", "grey", width=6)).in_features == 128
    assert head(made("resnet20", "grey", width=5)).in_features == 20
    tokens: Any = made("ft_transformer", "both", width=16, blocks=7, dropout=0.25)
    assert head(tokens).in_features == 16
    assert len(tokens.network.backbone.blocks) == 7
    assert tokens.network.backbone.blocks[6].ffn.dropout.p == 0.25
    assert tokens.network.backbone.blocks[6].attention.dropout.p == 0.25
    residual: Any = made("tabular_resnet", "both", width=9, hidden_multiplier=1.5, dropout=0.4)
    assert residual.network.blocks[0].linear1.out_features == 13
    assert residual.network.blocks[0].dropout1.p == 0.4


@pytest.mark.parametrize("name", BUILDERS)
def test_parameters_that_the_model_does_not_have_are_refused(name: str) -> None:
    shape = next((shape for model, shape in CASES if model == name), "both")
    with pytest.raises(ValueError, match="depth"):
        made(name, shape, depth=3)


def test_resnet20_has_the_size_of_the_paper() -> None:
    shape = InputShape("image", image=(3, 32, 32), pixel_mean=(1.0,) * 3, pixel_deviation=(1.0,) * 3)
    model = build(ModelRequest(name="resnet20"), shape, 10, 0)
    assert sum(weight.numel() for weight in model.parameters()) == 269_722


@pytest.mark.parametrize(("side", "classes", "weights"), [(32, 10, 11_173_962), (224, 1000, 11_689_512)])
def test_resnet18_has_the_size_of_the_paper_and_the_stem_that_suits_the_images(
    side: int, classes: int, weights: int
) -> None:
    shape = InputShape("image", image=(3, side, side), pixel_mean=(1.0,) * 3, pixel_deviation=(1.0,) * 3)
    model: Any = build(ModelRequest(name="resnet18"), shape, classes, 0)
    assert sum(weight.numel() for weight in model.parameters()) == weights
    seen: list[torch.Size] = []
    model.stages[-1].register_forward_hook(lambda _layer, _given, output: seen.append(output.shape))
    with torch.inference_mode():
        model.eval()(torch.zeros(1, 3, side, side, dtype=torch.uint8))
    assert seen == [(1, 512, 4, 4) if side == 32 else (1, 512, 7, 7)]
