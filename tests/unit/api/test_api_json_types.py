"""In bodies a boolean is no number, a number no boolean, and a text neither."""

from typing import Any

import httpx
import pytest

from service.services import Services
from tests.builders import add_dataset, form

LAX = [
    ({"training": {"epochs": True}}, ["training", "epochs"]),
    ({"training": {"epochs": "3"}}, ["training", "epochs"]),
    ({"training": {"epochs": 2.5}}, ["training", "epochs"]),
    ({"training": {"learning_rate": "0.1"}}, ["training", "learning_rate"]),
    ({"training": {"checkpoints": "3"}}, ["training", "checkpoints"]),
    ({"training": {"find_learning_rate": 1}}, ["training", "find_learning_rate"]),
    ({"training": {"early_stopping": {"patience": False}}}, ["training", "early_stopping", "patience"]),
    ({"reference": {"holdout": "0.2"}}, ["reference", "holdout"]),
    ({"reference": {"holdout": 0.2, "trusted": "no"}}, ["reference", "trusted"]),
    ({"glitches": [{"kind": "duplicate", "rate": 0.1, "seed": True}]}, ["glitches", 0, "seed"]),
    ({"priority": "1"}, ["priority"]),
    ({"loop": {"after": True}}, ["loop", "after"]),
    ({"model": {"name": "mlp", "params": {"width": "64"}}}, ["model", "params", "width"]),
    ({"model": {"name": "mlp", "params": {"trees": 1}}}, ["model", "params", "trees"]),
]


@pytest.mark.parametrize(("wrong", "loc"), LAX, ids=lambda one: str(one)[:60])
def test_a_value_of_another_type_is_refused_by_its_field(
    client: httpx.Client, services: Services, wrong: dict[str, Any], loc: list[str | int]
) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    answer = client.post("/jobs", json={"dataset": info.id, **wrong})
    assert answer.status_code == 422
    assert loc in [fault["loc"] for fault in answer.json()["errors"]]
    assert client.get("/jobs").json()["total"] == 0


def test_it_is_so_in_the_description_of_a_file_too(client: httpx.Client) -> None:
    answer = client.post("/datasets", **form(spec={"day_first": "yes", "header": 1}))
    assert [fault["loc"] for fault in answer.json()["errors"]] == [["spec", "header"], ["spec", "day_first"]]


def test_a_whole_number_may_be_written_with_a_point_and_any_number_without(
    client: httpx.Client, services: Services
) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    training = {"epochs": 3.0, "learning_rate": 1, "checkpoints": 2.0}
    answer = client.post("/jobs", json={"dataset": info.id, "training": training, "priority": 4.0})
    assert answer.status_code == 202, answer.text
    spec = answer.json()["spec"]
    assert (spec["training"]["epochs"], spec["training"]["learning_rate"], spec["priority"]) == (3, 1.0, 4)


def test_a_number_beyond_all_bounds_is_no_missing_value(client: httpx.Client, services: Services) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    body = f'{{"dataset": "{info.id}", "training": {{"learning_rate": 1e999}}}}'
    answer = client.post("/jobs", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["training", "learning_rate"])


def test_what_a_job_was_is_asked_for_again_as_it_is_shown(client: httpx.Client, services: Services) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    options = {"reference": {"holdout": 0.2}, "loop": {"after": 3}, "glitches": [{"kind": "duplicate"}]}
    spec = client.post("/jobs", json={"dataset": info.id, **options}).json()["spec"]
    spec = {name: value for name, value in spec.items() if name not in ("source", "fallback", "webhook")}
    again = client.post("/jobs", json=spec)
    assert again.status_code == 202, again.text
