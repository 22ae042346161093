"""Tables to tensors: statistics of the training rows alone, and nothing that is not a number."""

from datetime import datetime, time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from service.domain.errors import Invalid
from tests.unit.worker.canonical import canonical
from worker.data.canonical import Canonical, align_reference
from worker.data.encoding import Encoder, Inputs


def rows(*numbers: int) -> Tensor:
    return torch.tensor(numbers, dtype=torch.int64)


def fitted(dataset: Canonical, train: Tensor | None = None) -> tuple[Encoder, Inputs]:
    everything = torch.arange(len(dataset.labels))
    encoder = Encoder.fit(dataset, everything if train is None else train, {})
    return encoder, encoder.encode(dataset, everything)


def numbers(path: Path, values: Any, kind: str = "numeric", train: Tensor | None = None) -> Tensor:
    """One column as the network sees it."""
    return fitted(canonical(path / "data.parquet", "tabular", {"x": (kind, values)}), train)[1][0]


def test_small_columns_are_read_at_once(tmp_path: Path) -> None:
    dataset = canonical(tmp_path / "data.parquet", "tabular", {"x": ("numeric", [1.0, 2.0, 3.0, 4.0])}, [2, 0, 1, 1])
    assert dataset.ids == ["row-0", "row-1", "row-2", "row-3"]
    assert dataset.splits == ["train"] * 4
    assert dataset.index.tolist() == [0, 1, 2, 3]
    assert dataset.labels.tolist() == [2, 0, 1, 1]
    assert dataset.labels.dtype == torch.int64


def test_numbers_are_standardised_on_the_training_rows_alone(tmp_path: Path) -> None:
    values = [float(v) for v in [*range(10), *range(900, 905)]]
    x = numbers(tmp_path, values, train=torch.arange(10))[:, 0]
    inner = torch.arange(1.0, 9.0)
    torch.testing.assert_close(x[:10], (torch.arange(10.0) - inner.mean()) / inner.std(correction=0))
    assert x[10:].tolist() == [10.0] * 5


def test_times_of_day_are_numbers_in_their_order_and_missing_ones_are_marked(tmp_path: Path) -> None:
    x = numbers(tmp_path, [time(0), time(6), None, time(12), time(18)], kind="time")
    assert x[[0, 1, 3, 4], 0].diff().allclose(x[[0, 1, 3, 4], 0].diff()[:1])
    assert x[:, 0].diff()[0] > 0
    assert x[:, 1].tolist() == [0, 0, 1, 0, 0]


def test_only_the_asked_rows_come_in_their_order_across_row_groups(tmp_path: Path) -> None:
    dataset = canonical(
        tmp_path / "data.parquet",
        "tabular",
        {"x": ("numeric", np.arange(23.0)), "c": ("categorical", [f"value {i:02}" for i in range(23)])},
    )
    encoder, (numeric, categorical) = fitted(dataset)
    chosen = rows(0, 4, 5, 6, 19, 22)
    some = encoder.encode(dataset, chosen)
    assert torch.equal(some[0], numeric[chosen])
    assert torch.equal(some[1], categorical[chosen])
    assert categorical[:, 0].tolist() == list(range(2, 25))


@pytest.mark.parametrize("wrong", [(3, 1), (2, 2), (1, 99), (-1, 2)])
def test_rows_that_would_give_other_rows_are_refused(tmp_path: Path, wrong: tuple[int, int]) -> None:
    dataset = canonical(tmp_path / "data.parquet", "tabular", {"x": ("numeric", np.arange(9.0))})
    encoder, _ = fitted(dataset)
    with pytest.raises(ValueError, match="ascend"):
        encoder.encode(dataset, rows(*wrong))


def test_no_rows_are_no_rows(tmp_path: Path) -> None:
    dataset = canonical(
        tmp_path / "data.parquet", "tabular", {"x": ("numeric", [1.0, None]), "c": ("categorical", ["a", "b"])}
    )
    encoder, _ = fitted(dataset)
    numeric, categorical = encoder.encode(dataset, rows())
    assert numeric.shape == (0, 2)
    assert categorical.shape == (0, 1)


def test_missing_numbers_are_the_mean_and_say_so(tmp_path: Path) -> None:
    values = [0.0, None, 2.0, float("nan"), 4.0, float("inf"), 6.0]
    x = numbers(tmp_path, values)
    assert x.shape == (7, 2)
    assert x[[1, 3, 5], 0].tolist() == [0.0] * 3
    assert x[:, 1].tolist() == [0, 1, 0, 1, 0, 1, 0]
    assert x[0, 0] < x[2, 0] < 0 < x[4, 0] < x[6, 0]


def test_a_column_that_misses_nothing_in_training_has_no_indicator(tmp_path: Path) -> None:
    x = numbers(tmp_path, [1.0, 2.0, 3.0, 4.0, None], train=torch.arange(4))
    assert x.shape == (5, 1)
    assert x[4, 0] == 0


def test_a_constant_column_is_zero_and_others_of_its_values_stay_small(tmp_path: Path) -> None:
    x = numbers(tmp_path, [0.1 + 0.2, 0.3, 0.3, 0.3, 0.6], train=torch.arange(4))
    torch.testing.assert_close(x[:4, 0], torch.zeros(4))
    assert 0 < x[4, 0] < 1


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e300])
def test_the_unit_of_a_column_does_not_matter(tmp_path: Path, unit: float) -> None:
    values = np.random.default_rng(0).normal(size=40)
    torch.testing.assert_close(numbers(tmp_path, values * unit), numbers(tmp_path, values))


@pytest.mark.parametrize("absurd", [1e6, 1e30, -1e308])
def test_one_absurd_value_neither_dominates_nor_flattens_its_column(tmp_path: Path, absurd: float) -> None:
    values = np.random.default_rng(0).normal(size=200)
    values[17] = absurd
    x = numbers(tmp_path, values)[:, 0]
    assert abs(x[17]) == 10
    rest = torch.cat([x[:17], x[18:]])
    assert 0.8 < rest.std() < 1.25


def test_bins_part_the_training_rows_evenly_and_know_nothing_of_others(tmp_path: Path) -> None:
    values = [float(value) for value in range(97)] + [1e6] * 5
    dataset = canonical(tmp_path / "data.parquet", "tabular", {"x": ("numeric", values)})
    encoder, (x, _) = fitted(dataset, torch.arange(97))
    (bins,) = encoder.shape.bins
    assert len(bins) == 49
    assert (bins[0], bins[-1]) == (float(x[:97].min()), float(x[:97].max()))
    counts = torch.histogram(x[:96, 0].double(), torch.tensor(bins).double()).hist
    assert bool((counts == 2).all())


@pytest.mark.parametrize(
    ("values", "count"),
    [([7.0] * 9, [2]), ([0.0, 1.0, 1.0, 0.0], [2]), ([None, 3.0, 5.0, 4.0], [3, 2]), ([None] * 3, [2, 2])],
)
def test_every_number_that_a_network_sees_has_ascending_bins(tmp_path: Path, values: Any, count: list[int]) -> None:
    dataset = canonical(tmp_path / "data.parquet", "tabular", {"x": ("numeric", values)})
    encoder, (x, _) = fitted(dataset)
    assert [len(bins) for bins in encoder.shape.bins] == count
    assert len(encoder.shape.bins) == encoder.shape.numeric == x.shape[1]
    assert all(bool((torch.tensor(bins).diff() > 0).all()) for bins in encoder.shape.bins)


def test_a_rare_truth_is_not_lost(tmp_path: Path) -> None:
    x = numbers(tmp_path, [row == 5 for row in range(30)], "boolean")[:, 0]
    assert x[5] > 1
    assert len(set(x.tolist())) == 2


def test_truths_with_gaps_have_three_states(tmp_path: Path) -> None:
    x = numbers(tmp_path, [True, False, None, True, False, None], "boolean")
    assert x[:, 0].sign().tolist() == [1, -1, 0, 1, -1, 0]
    assert x[:, 1].tolist() == [0, 0, 1, 0, 0, 1]


def test_moments_are_numbers_even_far_in_the_future(tmp_path: Path) -> None:
    days = [datetime(2024, 1, day) for day in range(1, 29)]
    x = numbers(tmp_path, [*days, None, datetime(9999, 12, 31, 23, 59, 59, 999999)], "datetime")
    steps = x[:28, 0].diff()
    torch.testing.assert_close(steps, steps[:1].expand(27))
    assert x[28].tolist() == [0, 1]
    assert x[29, 0] == 10


def test_categories_have_codes_by_frequency_then_name(tmp_path: Path) -> None:
    values = ["b", "a", "c", "c", None, "new"]
    dataset = canonical(tmp_path / "data.parquet", "tabular", {"c": ("categorical", values)})
    encoder, (numeric, categorical) = fitted(dataset, torch.arange(5))
    assert numeric.shape == (6, 0)
    assert categorical[:, 0].tolist() == [4, 3, 2, 2, 0, 1]
    assert encoder.shape.cardinalities == (5,)


def test_rare_categories_share_the_code_of_unseen_ones(tmp_path: Path) -> None:
    values = [f"word {i:03}" for i in range(300)] + ["word 299"]
    dataset = canonical(tmp_path / "data.parquet", "tabular", {"c": ("categorical", values)})
    encoder, (_, categorical) = fitted(dataset)
    assert encoder.shape.cardinalities == (256,)
    assert categorical[[299, 300], 0].tolist() == [2, 2]
    assert categorical[:253, 0].tolist() == list(range(3, 256))
    assert set(categorical[253:299, 0].tolist()) == {1}


def test_a_column_with_no_value_at_all_is_harmless(tmp_path: Path) -> None:
    dataset = canonical(
        tmp_path / "data.parquet",
        "tabular",
        {"x": ("numeric", [None] * 6), "c": ("categorical", [None] * 6), "y": ("numeric", np.arange(6.0))},
    )
    encoder, (numeric, categorical) = fitted(dataset)
    assert numeric[:, :2].tolist() == [[0, 1]] * 6
    assert categorical.tolist() == [[0]] * 6
    assert encoder.shape.cardinalities == (2,)


TRAIN = {"x": ("numeric", [1.0, 2.0, 3.0, 4.0]), "c": ("categorical", ["a", "b", "b", "a"])}


def test_a_reference_is_read_by_names_of_columns_and_classes(tmp_path: Path) -> None:
    train = canonical(tmp_path / "train.parquet", "tabular", TRAIN, [0, 1, 2, 0])
    swapped = {
        "extra": ("numeric", [9.0] * 3),
        "c": ("categorical", ["b", "a", "z"]),
        "x": ("numeric", [3.0, 1.0, None]),
    }
    reference = canonical(tmp_path / "reference.parquet", "tabular", swapped, [0, 1, 1], ["eel", "cat"])
    aligned = align_reference(reference, train)
    assert aligned.labels.tolist() == [2, 0, 0]
    assert aligned.header.classes == ["cat", "dog", "eel"]
    encoder, (numeric, categorical) = fitted(train)
    theirs = encoder.encode(aligned, torch.arange(3))
    assert torch.equal(theirs[0][:2], numeric[[2, 0]])
    assert theirs[0][2, 0] == 0
    assert theirs[1][:, 0].tolist() == [*categorical[[1, 0], 0].tolist(), 1]


def test_a_reference_that_does_not_fit_is_told_everything_that_misses(tmp_path: Path) -> None:
    train = canonical(tmp_path / "train.parquet", "tabular", {**TRAIN, "gone": ("boolean", [True] * 4)})
    other = {"x": ("categorical", ["1"] * 4), "c": ("categorical", ["a"] * 4)}
    reference = canonical(tmp_path / "reference.parquet", "tabular", other, None, ["cat", "dog", "emu"])
    with pytest.raises(Invalid) as caught:
        align_reference(reference, train)
    assert [error.msg for error in caught.value.errors] == [
        "its column x is categorical, the dataset's is numeric",
        "it has no column gone",
        "it has classes that the dataset lacks: emu",
    ]
    assert all(error.loc == ["reference", "dataset"] for error in caught.value.errors)


def test_a_reference_of_another_kind_or_width_does_not_fit(tmp_path: Path) -> None:
    train = canonical(tmp_path / "train.parquet", "embedding", {"e": ("embedding", np.ones((4, 3)))})
    wide = canonical(tmp_path / "wide.parquet", "embedding", {"e": ("embedding", np.ones((4, 5)))})
    table = canonical(tmp_path / "table.parquet", "tabular", TRAIN)
    with pytest.raises(Invalid, match="embeddings have 5 numbers, the dataset's 3"):
        align_reference(wide, train)
    with pytest.raises(Invalid, match="holds tabular data, the dataset embedding"):
        align_reference(table, train)
