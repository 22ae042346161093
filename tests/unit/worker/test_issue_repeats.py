"""Copies, contradictions and leakage: what is the same is found once, and what differs is not."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.worker.canonical import canonical, checker, encoded
from worker.data.canonical import Canonical
from worker.data.glitches import PlantedData, plant
from worker.issues.find import find_issues


def table(
    path: Path, values: Sequence[float | None], labels: Sequence[int], splits: Sequence[str] | None = None
) -> Canonical:
    """A table of a number and a word that follows from it."""
    words = [None if value is None else f"w{value}" for value in values]
    columns = {"a": ("numeric", list(values)), "b": ("categorical", words)}
    return canonical(path, "tabular", columns, labels=labels, splits=splits)


def found(
    dataset: Canonical,
    reference: Canonical | None = None,
    rows: Sequence[int] | None = None,
    reference_rows: Sequence[int] = (),
    planted: PlantedData | None = None,
) -> dict[str, Any]:
    """The findings by type, with the places of the samples of each set in the upload."""
    train = torch.arange(len(dataset.ids)) if rows is None else torch.tensor(rows)
    if planted is None:
        planted = plant((), dataset.labels[train], 3, [])
    answer = find_issues(
        dataset,
        train,
        planted,
        reference_rows=torch.tensor(reference_rows, dtype=torch.int64),
        reference=reference,
        seed=0,
    )
    items = {one["type"]: one for one in answer["items"]} | {
        one["type"]: one["reason"] for one in answer["not_checked"]
    }
    for one in answer["items"]:
        sets: dict[int, list[tuple[str, int]]] = {}
        for sample in one["samples"]:
            sets.setdefault(sample["group"], []).append((sample["part"], sample["index"]))
        one["sets"] = [sets[number] for number in sorted(sets)]
    return items


def test_each_sample_is_in_one_set_of_copies_or_in_one_contradiction(tmp_path: Path) -> None:
    values = [1, 2, 1, 3, 2, 1, 4, None, None]
    labels = [0, 1, 0, 2, 0, 0, 1, 2, 2]
    answer = found(table(tmp_path / "d", values, labels))
    copies, contradictions = answer["exact_duplicates"], answer["contradicting_duplicates"]
    assert copies["sets"] == [[("training", 0), ("training", 2), ("training", 5)], [("training", 7), ("training", 8)]]
    assert (copies["flagged"], copies["score"], copies["found"]) == (5, 3 / 9, True)
    assert contradictions["sets"] == [[("training", 1), ("training", 4)]]
    assert (contradictions["flagged"], contradictions["score"]) == (2, 2 / 9)
    assert [one["label"] for one in contradictions["samples"]] == ["dog", "cat"]


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_found_where_every_sample_differs(tmp_path: Path, seed: int) -> None:
    draws = np.random.default_rng(seed)
    dataset = table(tmp_path / "d", draws.permutation(300).tolist(), draws.integers(0, 3, 300).tolist())
    answer = found(dataset, rows=range(200), reference_rows=range(200, 300))
    for name in ("exact_duplicates", "contradicting_duplicates", "leakage", "order"):
        assert (answer[name]["found"], answer[name]["score"], answer[name]["flagged"]) == (False, 0, 0)


def test_inputs_are_the_same_only_where_all_of_them_are(tmp_path: Path) -> None:
    columns: dict[str, tuple[str, Any]] = {
        "a": ("numeric", [1.0, 1.0, None, 0.0]),
        "b": ("categorical", ["x", "y", "x", "x"]),
    }
    assert not found(canonical(tmp_path / "d", "tabular", columns, labels=[0, 0, 0, 0]))["exact_duplicates"]["found"]


@pytest.mark.parametrize(
    ("modality", "kind", "values"),
    [
        ("text", "text", ["a b", "a  b", "a b", "A b"]),
        ("embedding", "embedding", [[1.0, 2.0], [1.0, 2.5], [1.0, 2.0], [2.0, 1.0]]),
        ("image", "image", [encoded(checker(8, 8, value=value)) for value in (90, 120, 90, 150)]),
    ],
)
def test_copies_are_found_in_data_of_every_kind(tmp_path: Path, modality: str, kind: str, values: list[Any]) -> None:
    answer = found(canonical(tmp_path / "d", modality, {"x": (kind, values)}, labels=[0, 1, 0, 1]))
    assert answer["exact_duplicates"]["sets"] == [[("training", 0), ("training", 2)]]


def test_what_is_held_out_is_compared_with_what_is_trained_on(tmp_path: Path) -> None:
    dataset = table(
        tmp_path / "d", [1, 2, 3, 4, 2, 9, 3, 3], [0, 1, 2, 0, 0, 1, 2, 2], ["train"] * 6 + ["test", "validation"]
    )
    answer = found(dataset, rows=[0, 1, 2, 3], reference_rows=[4, 5])["leakage"]
    assert answer["sets"] == [
        [("reference", 4), ("training", 1)],
        [("test", 6), ("validation", 7), ("training", 2)],
    ]
    assert (answer["flagged"], answer["score"]) == (3, 3 / 4)


def test_a_reference_dataset_is_compared_by_its_classes_and_columns_by_name(tmp_path: Path) -> None:
    dataset = table(tmp_path / "d", [1, 2, 3], [0, 1, 2])
    other = canonical(
        tmp_path / "r",
        "tabular",
        {"b": ("categorical", ["w3", "w7"]), "a": ("numeric", [3, 7])},
        labels=[0, 1],
        classes=("eel", "cat"),
    )
    answer = found(dataset, other)["leakage"]
    assert answer["sets"] == [[("reference", 0), ("training", 2)]]
    assert [one["label"] for one in answer["samples"]] == ["eel", "eel"]
    assert answer["score"] == 1 / 2


def test_copies_that_a_job_plants_are_copies_of_their_samples(tmp_path: Path) -> None:
    dataset = table(tmp_path / "d", [1, 2, 3, 4, 2], [0, 1, 2, 0, 1])
    inputs = (torch.tensor([[1.0], [2], [3], [3], [5]]), torch.zeros(5, 1, dtype=torch.int64))
    kinds = (None, None, None, "duplicate", "anomalous_extreme")
    planted = PlantedData(inputs, torch.tensor([0, 1, 2, 2, 1]), torch.tensor([False] * 3 + [True] * 2), kinds)
    answer = found(dataset, planted=planted)["exact_duplicates"]
    assert answer["sets"] == [[("training", 2), ("training", 3)]]


def test_labels_that_a_job_plants_contradict(tmp_path: Path) -> None:
    dataset = table(tmp_path / "d", [1, 1, 3, 4], [0, 0, 1, 2])
    planted = PlantedData(
        (),
        torch.tensor([0, 1, 1, 2]),
        torch.tensor([False, True, False, False]),
        (None, "mislabeled_uniform", None, None),
    )
    answer = found(dataset, planted=planted)
    assert [one["label"] for one in answer["contradicting_duplicates"]["samples"]] == ["cat", "dog"]
    assert not answer["exact_duplicates"]["found"]


def test_the_first_500_samples_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    values = [number // 3 for number in range(1_500)]
    labels = [number // 3 % 3 for number in range(1_500)]
    dataset = table(tmp_path / "d", values, labels, ["train", "train", "test"] * 500)
    answer = found(dataset, rows=[row for row in range(1_500) if row % 3 < 2])
    copies, leaks = answer["exact_duplicates"], answer["leakage"]
    assert (len(copies["samples"]), copies["flagged"], copies["score"]) == (500, 1_000, 1 / 2)
    assert [one["index"] for one in copies["samples"][:3]] == [0, 1, 3]
    assert (len(leaks["samples"]), leaks["flagged"], leaks["score"]) == (500, 500, 1)


def test_one_input_that_is_held_out_often_keeps_its_training_sample(tmp_path: Path) -> None:
    dataset = table(tmp_path / "d", [1, 2, *[1] * 40, *[2] * 600], [0] * 642, ["train"] * 2 + ["test"] * 640)
    answer = found(dataset, rows=[0, 1])["leakage"]
    assert answer["sets"] == [
        [*(("test", row) for row in range(2, 42)), ("training", 0)],
        [*(("test", row) for row in range(42, 500)), ("training", 1)],
    ]
    assert (answer["flagged"], answer["score"]) == (640, 1)


def test_a_table_of_few_values_says_that_its_rows_may_be_different_things(tmp_path: Path) -> None:
    few = found(table(tmp_path / "few", [row % 2 for row in range(40)], [0] * 40))
    many = found(table(tmp_path / "many", [row % 39 for row in range(40)], [0] * 40))
    assert "few values" in few["exact_duplicates"]["detail"]
    assert many["exact_duplicates"]["found"]
    assert "few values" not in many["exact_duplicates"]["detail"]


def test_what_has_no_inputs_is_not_compared(tmp_path: Path) -> None:
    columns = {"logits_1": ("embedding", [[1.0, 2.0]] * 4)}
    recorded = canonical(tmp_path / "d", "tabular", columns, labels=[0, 1, 0, 1])
    header = recorded.header.model_copy(update={"modality": "trace"})
    answer = found(Canonical(recorded.path, header, recorded.ids, recorded.splits, recorded.index, recorded.labels))
    for name in ("exact_duplicates", "contradicting_duplicates", "leakage"):
        assert "no inputs" in answer[name]


def test_without_held_out_samples_leakage_is_not_looked_for(tmp_path: Path) -> None:
    assert "no sample out" in found(table(tmp_path / "d", [1, 2], [0, 1]))["leakage"]
