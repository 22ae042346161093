"""The order of an upload: what is sorted or drifts is found, what is shuffled is not."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from worker.issues.data_issue import DataIssue, NotChecked
from worker.issues.order import order


class _Largest(TorchFunctionMode):
    """Keeps the number of values of the largest tensor that is made."""

    numel = 0

    def __torch_function__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Make the call as it is."""
        made = call(*args, **(kwargs or {}))
        if isinstance(made, Tensor):
            self.numel = max(self.numel, made.numel())
        return made


def drawn(seed: int, n: int = 600, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Labels of unequal classes and features, of which one follows the label."""
    draws = torch.Generator().manual_seed(seed)
    shares = torch.arange(1, classes + 1).double()
    labels = torch.multinomial(shares, n, replacement=True, generator=draws)
    features = torch.randn(n, 3, generator=draws)
    features[:, 0] += labels
    return labels, features


def checked(labels: Tensor, features: Tensor | None, classes: int = 4) -> DataIssue:
    answer = order(labels, classes, features)
    assert isinstance(answer, DataIssue)
    assert 0 <= answer.score <= 1
    assert (answer.flagged, len(answer.samples)) == (0, 0)
    return answer


@pytest.mark.parametrize("classes", [2, 4, 40])
@pytest.mark.parametrize("n", [100, 600, 5_000])
def test_shuffled_samples_have_no_order(n: int, classes: int) -> None:
    for seed in range(20):
        labels, features = drawn(seed, n, classes)
        answer = checked(labels, features, classes)
        assert (answer.found, answer.score) == (False, 0)


def test_samples_that_are_sorted_by_label_have_an_order() -> None:
    labels, _ = drawn(0)
    answer = checked(labels.sort().values, None)
    assert answer.found
    assert answer.score > 0.98


def test_labels_in_short_runs_have_an_order() -> None:
    labels, _ = drawn(0, 200)
    answer = checked(labels.repeat_interleave(3), None)
    assert answer.found
    assert answer.score == pytest.approx(2 / 3, abs=0.1)


def test_labels_whose_shares_drift_have_an_order() -> None:
    draws = torch.Generator().manual_seed(0)
    likely = torch.linspace(0.2, 0.8, 3_000)
    labels = (torch.rand(3_000, generator=draws) < likely).long()
    answer = checked(labels, None, 2)
    assert answer.found
    assert "shares of the labels" in answer.detail


def test_features_that_drift_have_an_order_though_labels_do_not() -> None:
    labels, features = drawn(0)
    features[:, 2] += torch.linspace(0, 2, 600)
    answer = checked(labels, features)
    assert answer.found
    assert "look like" in answer.detail
    assert answer.score == pytest.approx(0.5, abs=0.15)


def test_many_classes_need_no_more_memory_than_labels_do() -> None:
    labels = torch.arange(6_000) % 60
    with _Largest() as largest:
        checked(labels.sort().values, None, 60)
    assert largest.numel <= len(labels)


@pytest.mark.parametrize("features", [None, torch.ones(600, 2), torch.empty(600, 0)])
def test_one_class_and_features_that_never_change_have_no_order(features: Tensor | None) -> None:
    assert not checked(torch.zeros(600, dtype=torch.int64), features).found


def test_files_of_an_archive_and_few_samples_are_not_looked_at() -> None:
    labels, _ = drawn(0)
    assert isinstance(order(labels.sort().values, 4, None, by_name=True), NotChecked)
    assert isinstance(order(labels[:99].sort().values, 4, None), NotChecked)
