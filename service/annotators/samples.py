"""Samples of votes that are ordered by them."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def numbered(sample: Array) -> Array:
    """The same samples as numbers from 0 on, in the same order: int64 v. Equal ones must stand together."""
    begins = np.ones(len(sample), np.int64)
    begins[1:] = sample[1:] != sample[:-1]
    found: Array = np.cumsum(begins) - 1
    return found
