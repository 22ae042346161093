"""Leave-one-out and leave-group-out predictions of a linear classifier.

Ridge regression on one-hot labels. Its leave-one-out predictions follow from one fit (PRESS, Allen 1974), so that a
prediction without the sample costs no second training. The prediction without a group is that of the fit from which the
group's moments are subtracted: one small system of equations for each group.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from worker.signals.sample_groups import SampleGroups

_PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)  # times n; the one with the smallest leave-one-out error is used
_HELD = 2**22  # numbers held in double precision at once
_NUMBERS = 2**23  # in the moments of groups that are held at once
_JUDGES = 4  # blocks of groups, of several thousand rows, by which the penalty is chosen


def held_out_scores(
    features: Float[Tensor, "n w"],
    labels: Int[Tensor, " n"],
    classes: int,
    known: Float[Tensor, "m w"] | None,
    groups: SampleGroups | None = None,
) -> tuple[Float[Tensor, "n c"], Float[Tensor, "m c"] | None]:
    """Scores of the classes, about 1 for a sure one: of each sample without itself, and of `known`, which the fit never sees.

    With `groups`, both are without all samples of their group.
    """
    fit = _Fit(features, labels, classes)
    if groups is not None:
        return _without_groups(fit, features, labels, known, groups)
    errors = fit.errors(features, labels)
    penalty = _PENALTIES[errors.index(min(errors))]
    left_out = torch.cat([part.float() for part in fit.left_out(features, labels, penalty)])
    return left_out, None if known is None else fit.predict(known, penalty)


class _Fit:
    """What all penalties share: principal axes of the standardised features, and the moments of the classes along them."""

    def __init__(self, features: Float[Tensor, "n w"], labels: Int[Tensor, " n"], classes: int) -> None:
        self.classes, self._samples = classes, len(features)
        self._block = max(1, _HELD // features.shape[1])
        self._mean = features.mean(0, dtype=torch.float64)
        squares = sum((part.double() - self._mean).square().sum(0) for part in torch.split(features, self._block))
        self._deviation = (torch.as_tensor(squares) / max(len(features) - 1, 1)).sqrt().clamp(min=1e-9)
        gram, moments = torch.zeros(()), torch.zeros(())
        for part, own in self._blocks(features, labels):
            x = self._standard(part)
            gram, moments = gram + x.T @ x, moments + x.T @ one_hot(own, classes).double()
        self._values, self._axes = torch.linalg.eigh(gram)
        self._moments = self._axes.T @ moments

    def errors(self, features: Float[Tensor, "n w"], labels: Int[Tensor, " n"]) -> list[float]:
        """Mean squared error of the leave-one-out predictions by each penalty."""
        totals = [0.0] * len(_PENALTIES)
        for turned, own in self._turned(features, labels):
            for place, penalty in enumerate(_PENALTIES):
                left_out = self._without_own(turned, own, penalty)
                totals[place] += float((left_out - one_hot(own, self.classes)).square().sum())
        return [total / (self._samples * self.classes) for total in totals]

    def left_out(
        self, features: Float[Tensor, "n w"], labels: Int[Tensor, " n"], penalty: float
    ) -> Iterator[Float[Tensor, "b c"]]:
        """Leave-one-out predictions, block by block."""
        return (self._without_own(turned, own, penalty) for turned, own in self._turned(features, labels))

    def _without_own(
        self, turned: Float[Tensor, "b v"], own: Int[Tensor, " b"], penalty: float
    ) -> Float[Tensor, "b c"]:
        shrunk = self._shrunk(penalty)
        leverage = (turned.square() * shrunk).sum(1, keepdim=True)
        predicted = turned @ (shrunk[:, None] * self._moments)
        found: Tensor = (predicted - leverage * one_hot(own, self.classes)) / (1 - leverage).clamp(min=1e-6)
        return found

    def predict(self, known: Float[Tensor, "m w"], penalty: float) -> Float[Tensor, "m c"]:
        """Scores of samples that are not in the fit."""
        weights = self._axes @ (self._shrunk(penalty)[:, None] * self._moments)
        scores: Tensor = (self._standard(known) @ weights).float()
        return scores

    def without(
        self,
        features: Float[Tensor, "b w"],
        labels: Int[Tensor, " b"],
        fitted: Bool[Tensor, " b"],
        group: Int[Tensor, " b"],
        penalty: float,
    ) -> Float[Tensor, "b c"]:
        """Predictions of whole groups, numbered 0 to g - 1 by `group`, each by the fit without its `fitted` rows."""
        count, width = int(group.max()) + 1, len(self._values)
        turned = self._standard(features) @ self._axes
        own = turned * fitted[:, None]
        every = torch.diag(1 / self._shrunk(penalty))
        if count == 1:
            alone: Tensor = turned @ torch.linalg.solve(
                every - own.T @ own, self._moments - own.T @ one_hot(labels, self.classes).double()
            )
            return alone
        squares = own.new_zeros(count, width, width).index_add_(0, group, own[:, :, None] * own[:, None, :])
        sums = own.new_zeros(count * self.classes, width).index_add_(0, group * self.classes + labels, own)
        moments = sums.reshape(count, self.classes, width).transpose(1, 2)
        weights = torch.linalg.solve(every - squares, self._moments - moments)
        found: Tensor = torch.einsum("bv,bvc->bc", turned, weights[group])
        return found

    @property
    def together(self) -> int:
        """How many rows of whole groups are best computed at once."""
        return max(1, _NUMBERS // (len(self._values) * max(len(self._values), self.classes)))

    def _blocks(
        self, features: Float[Tensor, "n w"], labels: Int[Tensor, " n"]
    ) -> Iterator[tuple[Float[Tensor, "b w"], Int[Tensor, " b"]]]:
        return zip(torch.split(features, self._block), torch.split(labels, self._block), strict=True)

    def _turned(
        self, features: Float[Tensor, "n w"], labels: Int[Tensor, " n"]
    ) -> Iterator[tuple[Float[Tensor, "b v"], Int[Tensor, " b"]]]:
        return ((self._standard(part) @ self._axes, own) for part, own in self._blocks(features, labels))

    def _shrunk(self, penalty: float) -> Float[Tensor, " v"]:
        shrunk: Tensor = 1 / (self._values.clamp(min=0) + penalty * self._samples)
        return shrunk

    def _standard(self, features: Float[Tensor, "b w"]) -> Float[Tensor, "b v"]:
        x = (features.double() - self._mean) / self._deviation
        return torch.cat([x, x.new_ones(len(x), 1)], 1)


def _without_groups(
    fit: _Fit,
    features: Float[Tensor, "n w"],
    labels: Int[Tensor, " n"],
    known: Float[Tensor, "m w"] | None,
    groups: SampleGroups,
) -> tuple[Float[Tensor, "n c"], Float[Tensor, "m c"] | None]:
    # Known rows are in no fit; they stand behind the training rows, with any label.
    count = len(labels)
    every = features if known is None else torch.cat([features, known])
    given = torch.cat([labels, labels.new_zeros(len(every) - count)])
    numbers = groups.train if known is None else torch.cat([groups.train, groups.reference])
    order, ends = _by_group(numbers, fit.together)
    blocks = [order[start:end] for start, end in pairwise([0, *ends])]

    def predicted(
        penalty: float, blocks: Sequence[Int[Tensor, " _"]]
    ) -> Iterator[tuple[Int[Tensor, " b"], Float[Tensor, "b c"]]]:
        for rows in blocks:
            _, group = torch.unique_consecutive(numbers[rows], return_inverse=True)
            yield rows, fit.without(every[rows], given[rows], rows < count, group, penalty)

    # A few blocks, spread over all groups, tell the penalty: each group costs a system of equations.
    judges = blocks[:: math.ceil(len(blocks) / _JUDGES)]

    def error(penalty: float) -> float:
        total = 0.0
        for rows, scores in predicted(penalty, judges):
            judged = rows < count
            total += float((scores - one_hot(given[rows], scores.shape[1]))[judged].square().sum())
        return total

    errors = [error(penalty) for penalty in _PENALTIES]
    result = torch.empty(len(every), fit.classes)
    for rows, scores in predicted(_PENALTIES[errors.index(min(errors))], blocks):
        result[rows] = scores.float()
    return result[:count], None if known is None else result[count:]


def _by_group(numbers: Int[Tensor, " n"], most: int) -> tuple[Int[Tensor, " n"], list[int]]:
    """Rows in the order of their groups, and where blocks end: of whole groups with `most` rows, or of one group."""
    order = numbers.argsort(stable=True)
    _, sizes = torch.unique_consecutive(numbers[order], return_counts=True)
    ends: list[int] = []
    start = reached = 0
    for size in sizes.tolist():
        if reached > start and reached + size - start > most:
            ends.append(reached)
            start = reached
        reached += size
    return order, [*ends, reached]
