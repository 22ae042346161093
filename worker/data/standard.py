"""Embeddings on a common scale: each dimension with mean 0 and the same deviation over the training rows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

FARTHEST = 10.0  # deviations; beyond, one absurd value would decide what a network learns
_USUAL = 64  # dimensions: more make long vectors, and steps that are too large for them


@dataclass(frozen=True)
class Standard:
    """Mean and deviation of each dimension."""

    mean: Doubles
    deviation: Doubles

    @classmethod
    def fit(cls, batches: Callable[[], Iterator[Doubles]]) -> "Standard":
        """Statistics of all rows [n, d] of the batches, which are read twice. Raises StopIteration without any row."""
        # Sums around the first row, which keep their digits when the mean is far from zero.
        first = next(batches())[0]
        total, squares, count = np.zeros_like(first), np.zeros_like(first), 0
        for batch in batches():
            x = batch - first
            total, squares, count = total + x.sum(0), squares + np.square(x).sum(0), count + len(x)
        mean = first + total / count
        deviation = np.sqrt(np.maximum(squares / count - np.square(total / count), 0))
        # Dimensions that differ by the rounding of a float32 alone are constant.
        constant = deviation <= 1e-7 * np.abs(mean)
        return cls(mean, np.where(constant, np.maximum(np.abs(mean), 1), deviation))

    @property
    def width(self) -> int:
        """Number of dimensions d."""
        return len(self.mean)

    @property
    def scale(self) -> float:
        """Factor of all dimensions, in (0, 1]: below 1 for vectors of more than 64 dimensions."""
        return float(min(1.0, (_USUAL / self.width) ** 0.5))

    def apply(self, x: Doubles) -> Doubles:
        """Rows [n, d] on the common scale, clipped to 10 deviations."""
        return np.clip((x - self.mean) / self.deviation, -FARTHEST, FARTHEST) * self.scale
