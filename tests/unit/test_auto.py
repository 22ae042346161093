"""What `auto` stands for, and when a learning rate is looked for."""

from typing import Any

import pytest

from service.domain.specs import JobSpec
from tests.builders import dataset_info, job_spec


def spec(rows: int = 12, **options: Any) -> JobSpec:
    return job_spec(dataset_info(rows=rows, splits={"train": rows}), **options)


def test_auto_embeds_the_numbers_of_large_tables_alone() -> None:
    assert spec(1_999).model.params["numeric_embeddings"] == "none"
    assert spec(2_000).model.params["numeric_embeddings"] == "piecewise_linear"
    held = job_spec(dataset_info(rows=4_000, splits={"train": 1_000, "test": 3_000}))
    assert held.model.params["numeric_embeddings"] == "none"


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
