"""Maps of the samples: deterministic, whatever the order of the rows, and bounded."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from worker.signals.sample_map import principal_map, rows_of_umap, umap_is_installed, umap_map


def clouds(rows: int, width: int, seed: int = 0) -> Tensor:
    """Rows of three clouds, whose directions have different variances."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(rows, width, generator=generator) * torch.linspace(3, 0.5, width)
    return noise + 4 * torch.eye(3, width)[torch.arange(rows) % 3]


@pytest.mark.parametrize("width", [1, 2, 5, 32])
def test_a_map_does_not_depend_on_the_order_of_the_rows(width: int) -> None:
    features = clouds(501, width)
    order = torch.randperm(501, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(principal_map(features)[order], principal_map(features[order]), atol=1e-4)


def test_the_map_keeps_as_much_of_the_variance_as_two_directions_can() -> None:
    features = clouds(400, 9)
    found = principal_map(features).double()
    values = torch.linalg.svdvals(features.double() - features.double().mean(0))
    assert torch.allclose(found.std(0, correction=0), values[:2] / values[0], atol=1e-5)
    assert abs(float((found[:, 0] * found[:, 1]).mean())) < 1e-5


@given(rows=st.integers(0, 5), width=st.integers(1, 4))
def test_equal_samples_have_one_place(rows: int, width: int) -> None:
    found = principal_map(torch.full((rows, width), 3.0))
    assert found.shape == (rows, 2)
    assert not found.any()


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = principal_map(clouds(300, 6))
    monkeypatch.setattr("worker.signals.sample_map._BLOCK", 7)
    assert torch.allclose(whole, principal_map(clouds(300, 6)), atol=1e-5)


def test_rows_of_umap_are_bounded_and_have_every_class_and_the_first_suspects() -> None:
    labels = torch.where(torch.arange(5_000) % 500 == 0, 2, torch.arange(5_000) % 2)
    suspects = torch.arange(0, 5_000, 7)
    rows = rows_of_umap(torch.arange(5_000), labels, suspects, most=300)
    assert len(rows) == 300
    assert set(suspects[:150].tolist()) <= set(rows.tolist())
    assert int((labels[rows] == 2).sum()) == 10  # all of the rare class


def test_rows_of_umap_do_not_depend_on_the_order_of_the_rows() -> None:
    index = torch.arange(2_000) * 3
    labels = index % 5
    order = torch.randperm(2_000, generator=torch.Generator().manual_seed(2))
    place = order.argsort()
    suspects = torch.arange(0, 2_000, 11)
    rows = rows_of_umap(index, labels, suspects, most=200)
    moved = rows_of_umap(index[order], labels[order], place[suspects], most=200)
    assert sorted(index[order][moved].tolist()) == sorted(index[rows].tolist())


def test_a_folder_called_umap_is_not_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = umap_is_installed()
    (tmp_path / "umap").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert umap_is_installed() == before


@pytest.mark.skipif(not umap_is_installed(), reason="needs umap-learn, the extra `umap`")
def test_umap_is_the_same_again_and_leaves_other_rows_out() -> None:
    features = clouds(120, 6)
    rows = torch.arange(0, 120, 2)
    found = umap_map(features, rows, seed=0)
    assert torch.equal(found.nan_to_num(), umap_map(features, rows, seed=0).nan_to_num())
    assert found[rows].isfinite().all()
    assert found[1::2].isnan().all()
