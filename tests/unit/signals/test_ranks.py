"""Ranks."""

import numpy as np
import pytest
from scipy.stats import rankdata

from worker.signals.ranks import average_ranks


@pytest.mark.parametrize("values", [1, 4, 10**6])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ranks_are_those_of_scipy_with_ties_and_without(values: int, dtype: str) -> None:
    for rows in (0, 1, 7, 1000):
        scores = np.random.default_rng(rows).integers(0, values, rows).astype(dtype)
        assert average_ranks(scores).tolist() == rankdata(scores).tolist()
