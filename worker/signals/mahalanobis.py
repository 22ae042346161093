"""Distance from a label in the shape that the samples have around their labels (Mahalanobis 1936; arXiv:1807.03888).

Samples of another source, whose directions are not those of the data, are far in it where they are not by Euclidean distance.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_KEPT = (
    0.9  # share of the samples, the nearest, by which mean and shape are measured again: the others may be anomalies
)
_RIDGE = 0.01  # of its own variance, added to each direction
_NOTHING = 1e-9  # of the largest variance: what a direction without any counts for
_BLOCK = 65_536  # rows held in double precision at once


def mahalanobis(features: Float[Tensor, "n w"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Log distance from the mean of the sample's label, in the covariance of all samples around the means of their labels.

    Both are measured twice, the second time without the tenth of the samples that is farthest. The mean leaves the sample
    itself out; a label without any other sample has the largest distance that is found.
    """
    kept = torch.ones(len(labels), dtype=torch.bool)
    squares = _squares(features, labels, kept)
    usual = squares.kthvalue(max(1, math.ceil(_KEPT * len(labels)))).values
    squares = _squares(features, labels, squares <= usual)
    found = torch.isfinite(squares)
    largest = squares[found].max() if found.any() else torch.ones(())
    return (torch.where(found, squares, largest).clamp(min=1e-12).log() / 2).float()


def _squares(
    features: Float[Tensor, "n w"], labels: Int[Tensor, " n"], kept: Bool[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Squared distances by the kept samples, in double precision; infinite where no other sample of the label is kept."""
    classes, width = int(labels.max()) + 1, features.shape[1]
    sums, sizes = torch.zeros(classes, width, dtype=torch.float64), torch.zeros(classes, dtype=torch.float64)
    blocks = list(zip(*(torch.split(part, _BLOCK) for part in (features, labels, kept)), strict=True))
    for x, own, inside in blocks:
        sums.index_add_(0, own[inside], x[inside].double())
        sizes.index_add_(0, own[inside], torch.ones(int(inside.sum()), dtype=torch.float64))
    means = sums / sizes.clamp(min=1)[:, None]
    scatter = torch.zeros(width, width, dtype=torch.float64)
    for x, own, inside in blocks:
        apart = x[inside].double() - means[own[inside]]
        scatter += apart.T @ apart
    shape = scatter / kept.sum()
    variance = shape.diagonal()
    shape = shape + torch.diag(_RIDGE * variance + _NOTHING * variance.max().clamp(min=1e-30))
    turn = torch.linalg.inv(torch.linalg.cholesky(shape))
    found = []
    for x, own, inside in blocks:
        size, counted = sizes[own], inside.double()
        # Without the sample itself, the mean is n / (n - 1) as far away.
        farther = size / (size - counted)
        square = ((x.double() - means[own]) @ turn.T).square().sum(1) * farther.square()
        found.append(torch.where(size > counted, square, torch.inf))
    return torch.cat(found)
