"""What `auto` stands for, and when a learning rate is looked for."""

from typing import Any

import pytest

from service.domain.auto import from_scratch, with_images, with_network
from service.domain.dataset import ImageKind
from service.domain.specs import JobSpec
from tests.builders import dataset_info, job_spec


def spec(rows: int = 12, **options: Any) -> JobSpec:
    return job_spec(dataset_info(rows=rows, splits={"train": rows}), **options)


def test_auto_embeds_the_numbers_of_large_tables_alone() -> None:
    assert spec(1_999).model.params["numeric_embeddings"] == "none"
    assert spec(2_000).model.params["numeric_embeddings"] == "piecewise_linear"
    held = job_spec(dataset_info(rows=4_000, splits={"train": 1_000, "test": 3_000}))
    assert held.model.params["numeric_embeddings"] == "none"


def test_auto_lets_trees_answer_beside_the_network_of_tables_with_few_classes() -> None:
    def trees(classes: int, **options: Any) -> bool:
        info = dataset_info(classes=[f"class {number}" for number in range(classes)])
        return bool(job_spec(info, **options).model.params["trees"])

    assert (trees(2), trees(30), trees(31)) == (True, True, False)
    assert not trees(2, model={"name": "auto", "params": {"trees": False}})
    assert not trees(2, model={"name": "mlp"})


def test_a_model_that_is_named_is_as_it_is_however_large_the_table() -> None:
    named = spec(5_000, model={"name": "mlp"})
    assert named.model.params["numeric_embeddings"] == "none"
    assert not named.training.find_learning_rate


def test_what_a_client_says_of_auto_counts() -> None:
    said = spec(5_000, model={"name": "auto", "params": {"numeric_embeddings": "periodic", "width": 32}})
    assert (said.model.params["numeric_embeddings"], said.model.params["width"]) == ("periodic", 32)


@pytest.mark.parametrize(
    ("options", "searched"),
    [
        ({}, True),
        ({"training": {"learning_rate": 0.1}}, False),
        ({"training": {"find_learning_rate": False}}, False),
        ({"model": {"name": "ft_transformer"}}, False),
        ({"model": {"name": "ft_transformer"}, "training": {"find_learning_rate": True}}, True),
        ({"training": {"learning_rate": 0.1, "find_learning_rate": True}}, True),
    ],
)
def test_a_learning_rate_is_looked_for_when_asked_or_when_all_is_left_to_auto(
    options: dict[str, Any], searched: bool
) -> None:
    found = spec(**options)
    assert found.training.find_learning_rate is searched
    if "learning_rate" in str(options.get("training")) and "0.1" in str(options):
        assert found.training.learning_rate == 0.1


@pytest.mark.parametrize("modality", ["image", "embedding", "text"])
def test_where_nobody_measured_that_it_pays_none_is_looked_for(modality: str) -> None:
    assert not job_spec(dataset_info(modality=modality)).training.find_learning_rate


@pytest.mark.parametrize("modality", ["image", "text"])
def test_a_pretrained_network_of_which_a_part_is_trained_takes_smaller_steps(modality: str) -> None:
    def training(trainable: object, **options: Any) -> Any:
        info = dataset_info(modality=modality, splits={"train": 12})
        model = {"name": f"pretrained_{modality}", "params": {"trainable_blocks": trainable}}
        return job_spec(info, model=model, **options).training

    assert (training(0).optimizer, training(0).learning_rate) == ("sgd", 0.02)
    for trainable in (1, "all"):
        assert training(trainable).optimizer == "adamw"
        assert training(trainable).learning_rate < 0.001
        assert training(trainable, training={"learning_rate": 0.5}).learning_rate == 0.5


def images(greyscale: bool, side: int) -> ImageKind:
    return ImageKind(greyscale=greyscale, largest_side=side)


def of(modality: str, images: ImageKind | None = None, **options: Any) -> JobSpec:
    return job_spec(dataset_info(modality=modality, splits={"train": 12}, images=images), **options)


@pytest.mark.parametrize(
    ("modality", "kind", "model", "fallback"),
    [
        ("text", None, "pretrained_text", "text_cnn"),
        ("image", None, "pretrained_image", "small_cnn"),
        ("image", images(False, 28), "pretrained_image", "small_cnn"),
        ("image", images(True, 32), "pretrained_image", "small_cnn"),
        ("image", images(True, 28), "small_cnn", None),
        ("embedding", None, "mlp_probe", None),
        ("tabular", None, "mlp", None),
    ],
)
def test_auto_takes_a_pretrained_network_for_texts_and_images_but_small_greyscale_ones(
    modality: str, kind: ImageKind | None, model: str, fallback: str | None
) -> None:
    found = of(modality, kind)
    assert found.model.name == model
    assert (found.fallback and found.fallback.model.name) == fallback
    assert found.fallback is None or found.fallback.used is None


@pytest.mark.parametrize("name", ["pretrained_image", "small_cnn"])
def test_a_model_that_is_named_has_no_fallback(name: str) -> None:
    found = of("image", model={"name": name})
    assert (found.model.name, found.fallback) == (name, None)


@pytest.mark.parametrize(
    ("kind", "options", "model", "fallback"),
    [
        (None, {"model": {"params": {"channels": 8}}}, "text_cnn", None),
        (None, {"model": {"params": {"head": "mlp"}}}, "pretrained_text", None),
        (None, {"model": {"params": {"length": 32}}}, "pretrained_text", "text_cnn"),
        (images(True, 28), {"model": {"params": {"backbone": "mine"}}}, "pretrained_image", None),
        (images(False, 99), {"training": {"augmentation": "flip_crop"}}, "small_cnn", None),
        (
            images(False, 99),
            {"training": {"augmentation": "flip_crop"}, "model": {"params": {"trainable_blocks": "all"}}},
            "pretrained_image",
            None,
        ),
    ],
)
def test_auto_is_the_model_that_can_do_what_a_client_asks_of_it(
    kind: ImageKind | None, options: dict[str, Any], model: str, fallback: str | None
) -> None:
    found = of("text" if kind is None else "image", kind, **options)
    assert (found.model.name, found.fallback and found.fallback.model.name) == (model, fallback)


@pytest.mark.parametrize(("side", "seen"), [(32, 160), (64, 160), (65, None)])
def test_small_images_are_enlarged_for_the_pretrained_network_and_no_further_than_pays(
    side: int, seen: int | None
) -> None:
    assert of("image", images(False, side)).model.params["image_size"] == seen
    said = of("image", images(False, side), model={"params": {"image_size": 96}})
    assert said.model.params["image_size"] == 96


def test_each_model_of_a_choice_has_its_own_training_and_what_the_client_says_of_it() -> None:
    found = of("text", training={"seed": 3, "batch_size": 8, "checkpoints": 15})
    named = of("text", model={"name": "text_cnn"}, training={"seed": 3, "batch_size": 8, "checkpoints": 15})
    assert found.fallback is not None
    assert (found.fallback.model, found.fallback.training) == (named.model, named.training)
    assert (found.training.optimizer, found.fallback.training.optimizer) == ("sgd", "adamw")
    fewer = of("image", training={"checkpoints": 12})  # of 15 epochs; the small network has 10
    assert fewer.fallback is not None
    assert (fewer.training.checkpoints, fewer.fallback.training.checkpoints) == (12, 10)


def test_a_network_at_hand_is_used_and_the_decision_is_kept() -> None:
    asked = of("image", images(False, 32))
    default = with_network(asked, "efficientnet_lite0")
    assert default.fallback is not None
    assert (default.model, default.training, default.fallback.used) == (asked.model, asked.training, False)
    other = with_network(asked, "facebook/dinov2-small")
    assert other.model.params["backbone"] == "facebook/dinov2-small"
    assert other.model.params["image_size"] is None  # a size that suits another network
    said = with_network(of("image", images(False, 32), model={"params": {"image_size": 96}}), "facebook/dinov2-small")
    assert said.model.params["image_size"] == 96


def test_without_a_network_the_fallback_is_trained_and_the_reason_is_kept() -> None:
    asked = of("text")
    found = from_scratch(asked, "nothing is installed")
    assert asked.fallback is not None
    assert found.fallback is not None
    assert (found.model, found.training) == (asked.fallback.model, asked.fallback.training)
    assert (found.fallback.used, found.fallback.reason) == (True, "nothing is installed")


def test_images_that_are_pulled_later_are_chosen_for_as_images_of_an_upload() -> None:
    def pulled(kind: ImageKind) -> JobSpec:
        return with_images(of("image"), dataset_info(modality="image", images=kind))

    for kind in (images(True, 28), images(False, 32), images(False, 500)):
        assert pulled(kind) == of("image", kind)
    decided = from_scratch(of("image"), "nothing")
    assert with_images(decided, dataset_info(modality="image", images=images(True, 28))) == decided
