"""Leave-one-out predictions of a linear classifier.

Ridge regression on one-hot labels. Its leave-one-out predictions follow from one fit (PRESS, Allen 1974), so that a
prediction without the sample costs no second training.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

_PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)  # times n; the one with the smallest leave-one-out error is used
_BLOCK = 65_536  # rows held in double precision at once


def held_out_scores(
    features: Float[Tensor, "n w"], labels: Int[Tensor, " n"], classes: int, known: Float[Tensor, "m w"] | None
) -> tuple[Float[Tensor, "n c"], Float[Tensor, "m c"] | None]:
    """Scores of the classes, about 1 for a sure one: of each sample without itself, and of `known`, which the fit never sees."""
    fit = _Fit(features, labels, classes)
    errors = [fit.error(features, labels, penalty) for penalty in _PENALTIES]
    penalty = _PENALTIES[errors.index(min(errors))]
    left_out = torch.cat([part.float() for _, part in fit.left_out(features, labels, penalty)])
    return left_out, None if known is None else fit.predict(known, penalty)


class _Fit:
    """What all penalties share: principal axes of the standardised features, and the moments of the classes along them."""

    def __init__(self, features: Float[Tensor, "n w"], labels: Int[Tensor, " n"], classes: int) -> None:
        self._classes, self._samples = classes, len(features)
        self._mean = features.mean(0, dtype=torch.float64)
        squares = sum((part.double() - self._mean).square().sum(0) for part in torch.split(features, _BLOCK))
        self._deviation = (torch.as_tensor(squares) / max(len(features) - 1, 1)).sqrt().clamp(min=1e-9)
        gram, moments = torch.zeros(()), torch.zeros(())
        for part, own in zip(torch.split(features, _BLOCK), torch.split(labels, _BLOCK), strict=True):
            x = self._standard(part)
            gram, moments = gram + x.T @ x, moments + x.T @ one_hot(own, classes).double()
        self._values, self._axes = torch.linalg.eigh(gram)
        self._moments = self._axes.T @ moments

    def error(self, features: Float[Tensor, "n w"], labels: Int[Tensor, " n"], penalty: float) -> float:
        """Mean squared error of the leave-one-out predictions."""
        total = 0.0
        for own, left_out in self.left_out(features, labels, penalty):
            total += float((left_out - one_hot(own, self._classes)).square().sum())
        return total / (self._samples * self._classes)

    def left_out(
        self, features: Float[Tensor, "n w"], labels: Int[Tensor, " n"], penalty: float
    ) -> Iterator[tuple[Int[Tensor, " b"], Float[Tensor, "b c"]]]:
        """Labels and leave-one-out predictions, block by block."""
        shrunk = self._shrunk(penalty)
        for part, own in zip(torch.split(features, _BLOCK), torch.split(labels, _BLOCK), strict=True):
            turned = self._standard(part) @ self._axes
            leverage = (turned.square() * shrunk).sum(1, keepdim=True)
            predicted = turned @ (shrunk[:, None] * self._moments)
            yield own, (predicted - leverage * one_hot(own, self._classes)) / (1 - leverage).clamp(min=1e-6)

    def predict(self, known: Float[Tensor, "m w"], penalty: float) -> Float[Tensor, "m c"]:
        """Scores of samples that are not in the fit."""
        weights = self._axes @ (self._shrunk(penalty)[:, None] * self._moments)
        scores: Tensor = (self._standard(known) @ weights).float()
        return scores

    def _shrunk(self, penalty: float) -> Float[Tensor, " v"]:
        shrunk: Tensor = 1 / (self._values.clamp(min=0) + penalty * self._samples)
        return shrunk

    def _standard(self, features: Float[Tensor, "b w"]) -> Float[Tensor, "b v"]:
        x = (features.double() - self._mean) / self._deviation
        return torch.cat([x, x.new_ones(len(x), 1)], 1)
