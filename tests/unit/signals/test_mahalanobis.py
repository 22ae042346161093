"""Distance from a label in the shape of the data."""

import pytest
import torch
from torch import Tensor

from worker.signals import mahalanobis as module
from worker.signals.anomaly import label_distance
from worker.signals.mahalanobis import mahalanobis


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def flat_data(rows: int = 600) -> tuple[Tensor, Tensor]:
    """Three labels along two wide directions; four others are narrow."""
    labels = torch.arange(rows) % 3
    x = torch.randn(rows, 6, generator=seeded()) * torch.tensor([5.0, 5.0, 0.1, 0.1, 0.1, 0.1])
    x[:, 0] += 8 * labels
    return x, labels


def test_what_leaves_the_directions_of_the_data_is_far_where_plain_distance_does_not_see_it() -> None:
    x, labels = flat_data()
    strange = torch.arange(0, 600, 20)
    x[strange, 2:] = torch.randn(30, 4, generator=seeded(1))
    found = mahalanobis(x, labels)
    assert len(set(found.topk(30).indices.tolist()) & set(strange.tolist())) >= 28
    plain = label_distance(x, labels, 3, seeded())
    assert len(set(plain.topk(30).indices.tolist()) & set(strange.tolist())) < 10


def test_few_anomalies_do_not_shape_what_they_are_measured_by() -> None:
    x, labels = flat_data()
    x[:20, 2] = 100.0
    found = mahalanobis(x, labels)
    # A thousand deviations of the others, of which the logarithm is 7.
    assert float(found[:20].min()) > float(found[20:].max()) + 4


def test_a_sample_does_not_count_for_its_own_label() -> None:
    x = torch.tensor([[0.0], [2.0], [10.0], [12.0], [11.0]] * 4 + [[50.0]])
    labels = torch.tensor([0, 0, 1, 1, 1] * 4 + [2])
    found = mahalanobis(x, labels)
    assert float(found[20]) == float(found.max())
    assert torch.isfinite(found).all()


def test_block_size_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = flat_data(200)
    whole = mahalanobis(x, labels)
    monkeypatch.setattr(module, "_BLOCK", 7)
    torch.testing.assert_close(mahalanobis(x, labels), whole)


@pytest.mark.parametrize("rows", [2, 30])
def test_equal_samples_are_finite(rows: int) -> None:
    assert torch.isfinite(mahalanobis(torch.ones(rows, 4), torch.arange(rows) % 2)).all()
