"""Embeddings to tensors."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from tests.unit.worker.canonical import canonical
from worker.data.encoding import Encoder


def embedded(path: Path, x: npt.NDArray[np.float64], train: int | None = None) -> Tensor:
    dataset = canonical(path / "data.parquet", "embedding", {"e": ("embedding", x)})
    encoder = Encoder.fit(dataset, torch.arange(train or len(x)), {})
    assert encoder.shape.embedding == x.shape[1]
    (encoded,) = encoder.encode(dataset, torch.arange(len(x)))
    assert encoded.dtype == torch.float32
    return encoded


def test_each_dimension_is_standardised_on_the_training_rows_alone(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal([1, -50, 1e4], [1, 20, 0.1], (60, 3)).astype(np.float32).astype(np.float64)
    encoded = embedded(tmp_path, x, train=40)
    inner = x[:40]
    np.testing.assert_allclose(encoded.numpy(), (x - inner.mean(0)) / inner.std(0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("width", "length"), [(16, 1.0), (64, 1.0), (256, 0.5)])
def test_wide_embeddings_are_shrunk_to_the_length_of_64_dimensions(tmp_path: Path, width: int, length: float) -> None:
    encoded = embedded(tmp_path, np.random.default_rng(0).normal(size=(50, width)))
    torch.testing.assert_close(encoded.std(0, correction=0), torch.full((width,), length))


def test_a_constant_dimension_is_zero(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(30, 3))
    x[:, 1] = 12345.678
    assert embedded(tmp_path, x)[:, 1].tolist() == [0.0] * 30


def test_the_largest_floats_stay_finite(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(30, 2)) * 1e38
    x[3] = 3e38
    encoded = embedded(tmp_path, x)
    assert bool(encoded.isfinite().all())
    assert encoded.abs().max() <= 10
