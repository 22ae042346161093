"""Slices of a table: where the model is planted to be worse is found with its samples, and chance finds nothing."""

import tracemalloc
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import torch

from tests.unit.worker.canonical import canonical
from worker.data.glitches import PlantedData, plant
from worker.issues.find import find_issues
from worker.issues.inputs import TrainingSamples
from worker.issues.slices import slices

ROWS = 1_200


def columns(seed: int) -> dict[str, tuple[str, list[Any]]]:
    """Columns that have nothing to do with the labels: numbers, words, dates and truth values, some of them missing."""
    draws = np.random.default_rng(seed)
    return {
        "age": ("numeric", [None if draws.random() < 0.1 else float(draws.normal(40, 10)) for _ in range(ROWS)]),
        "state": ("categorical", [f"s{number}" for number in draws.integers(0, 8, ROWS)]),
        "begun": (
            "datetime",
            [datetime(1970, 1, 1) + timedelta(days=int(day)) for day in draws.integers(0, 9_000, ROWS)],
        ),
        "paid": ("boolean", (draws.random(ROWS) < 0.5).tolist()),
    }


def found(
    path: Path, of: dict[str, tuple[str, list[Any]]], wrong: npt.NDArray[np.bool_], planted: PlantedData | None = None
) -> dict[str, Any]:
    dataset = canonical(path / "d", "tabular", of)
    rows = torch.arange(ROWS)
    guess = (dataset.labels + torch.from_numpy(wrong).long()) % 3
    planted = planted or plant((), dataset.labels, 3, [])
    answer = find_issues(dataset, rows, planted, reference_rows=rows[:0], guess=guess, seed=0)
    return next(one for one in answer["items"] if one["type"] == "slices")


@pytest.mark.parametrize("seed", range(10))
def test_chance_makes_no_slice(tmp_path: Path, seed: int) -> None:
    wrong = np.random.default_rng(seed + 100).random(ROWS) < 0.2
    answer = found(tmp_path, columns(seed), wrong)
    assert (answer["found"], answer["score"], answer["flagged"]) == (False, 0, 0)


@pytest.mark.parametrize(
    ("column", "inside", "name"),
    [
        ("state", lambda value: value == "s3", "state is s3"),
        ("age", lambda value: value is None, "age is missing"),
        ("age", lambda value: value is not None and value > 48.5, "age is 4"),
        ("begun", lambda value: value.year < 1975, "begun is 1970-01-0"),
    ],
)
def test_a_slice_that_is_worse_is_found_alone(tmp_path: Path, column: str, inside: Any, name: str) -> None:
    of = columns(0)
    members = np.array([inside(value) for value in of[column][1]])
    wrong = np.random.default_rng(1).random(ROWS) < np.where(members, 0.5, 0.1)
    answer = found(tmp_path, of, wrong)
    assert {one["group"] for one in answer["samples"]} == {0}
    assert all(one["detail"].startswith(name) for one in answer["samples"])
    assert answer["score"] == pytest.approx(0.4, abs=0.12)
    assert answer["flagged"] == pytest.approx(members.sum(), rel=0.15)
    assert all(wrong[one["index"]] for one in answer["samples"])


def test_all_slices_that_are_worse_are_counted_and_the_worst_ten_listed(tmp_path: Path) -> None:
    values = np.arange(ROWS) % 20
    wrong = values < 11
    answer = found(tmp_path, {"state": ("categorical", [f"s{value}" for value in values])}, wrong)
    assert answer["detail"].endswith("Slices in which it is worse: 11.")
    assert answer["flagged"] == wrong.sum()
    assert {one["group"] for one in answer["samples"]} == set(range(10))
    assert len(answer["samples"]) == 10 * 25


def test_members_of_slices_that_are_not_worse_are_not_held(tmp_path: Path) -> None:
    rows = 10 * ROWS
    of = {name: ("categorical", [f"s{row % 50}" for row in range(rows)]) for name in ("first", "second")}
    dataset = canonical(tmp_path / "d", "tabular", of)
    pq.write_table(pq.read_table(dataset.path), dataset.path)  # as one group of rows, which is read faster
    samples = TrainingSamples(dataset, torch.arange(rows), dataset.labels.numpy(), np.zeros(rows, np.uint64))
    wrong = np.random.default_rng(0).random(rows) < 0.2
    tracemalloc.start()
    answer = slices(samples, wrong, np.arange(rows))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not answer.found
    assert peak < 50 * rows  # half of what the members of 100 slices need


@pytest.mark.parametrize("low", [1_600_000_000.0, 0.1234567])
def test_parts_of_numbers_that_are_close_have_different_names(tmp_path: Path, low: float) -> None:
    values = low * (1 + np.random.default_rng(0).random(ROWS) * 1e-6)
    wrong = values >= np.quantile(values, 0.8)
    answer = found(tmp_path, {"made": ("numeric", values.tolist())}, wrong)
    (name,) = {one["detail"] for one in answer["samples"]}
    first, last = map(float, name.removeprefix("made is ").split(" to "))
    assert first == pytest.approx(np.quantile(values, 0.8), rel=2e-7)
    assert last == pytest.approx(values.max(), rel=2e-7)
    assert first < last


def test_a_difference_that_is_sure_and_small_is_none(tmp_path: Path) -> None:
    of = columns(0)
    members = np.array(of["paid"][1])
    wrong = np.zeros(ROWS, bool)
    wrong[np.flatnonzero(members)[:25]] = True  # 4 % of one half, nothing in the other
    assert not found(tmp_path, of, wrong)["found"]


def test_samples_whose_values_were_planted_are_in_no_slice(tmp_path: Path) -> None:
    of = columns(0)
    wrong = np.array([value == "s3" for value in of["state"][1]])
    kinds = tuple("anomalous_extreme" if one else None for one in wrong)
    planted = PlantedData((torch.arange(ROWS)[:, None],), torch.arange(ROWS) % 3, torch.from_numpy(wrong), kinds)
    assert found(tmp_path, of, wrong)["found"]
    assert not found(tmp_path, of, wrong, planted)["found"]
