"""Leave-one-out and leave-group-out predictions of a linear classifier.

Ridge regression on one-hot labels. Its leave-one-out predictions follow from one fit (PRESS, Allen 1974), so that a
prediction without the sample costs no second training. The prediction without a group is that of the fit from which the
group's moments are subtracted: one small system of equations for each group.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from worker.influence.row_computations import (
    GRAIN,
    Arrays,
    Begin,
    Numbers,
    OfRows,
    OnShare,
    Recipe,
    RowComputation,
    alone,
    ranges,
)
from worker.signals.sample_groups import SampleGroups

ERRORS, SCORES = "held-out-errors", "held-out-scores"
_PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)  # times n; the one with the smallest leave-one-out error is used
_HELD = 2**22  # numbers held in double precision at once
_NUMBERS = 2**23  # in the moments of groups that are held at once
_JUDGES = 4  # blocks of groups, of several thousand rows, by which the penalty is chosen
_SECONDS_A_ROW = 1e-6
_DOUBLE_PRODUCTS_A_SECOND = 2e10
_FITTED = ("mean", "deviation", "values", "axes", "moments")


# Each waits for what it was begun by: the errors of all penalties, then the scores by the best one.
EndScores = Callable[[], tuple[Float[Tensor, "n c"], Float[Tensor, "m c"] | None]]
ChoosePenalty = Callable[[], EndScores]


def begin_held_out_scores(
    features: Float[Tensor, "n w"],
    labels: Int[Tensor, " n"],
    classes: int,
    known: Float[Tensor, "m w"] | None,
    groups: SampleGroups | None = None,
    *,
    begin: Begin = alone,
    on_errors: OnShare = lambda _share: None,
    on_scores: OnShare = lambda _share: None,
) -> ChoosePenalty:
    """Begin to compute scores of the classes, about 1 for a sure one: of each sample without itself, and of `known`, which the fit never sees.

    With `groups`, both are without all samples of their group, and nothing is shared: what is computed at once is whole groups, whose
    rows lie anywhere.
    """
    if groups is not None:
        together = groups
        return lambda: lambda: _without_groups(_Fit.of(features, labels, classes), features, labels, known, together)
    fit = _Fit.of(features, labels, classes)
    errors = begin(_computation(ERRORS, fit, features, labels, {}), on_errors)

    def choose() -> EndScores:
        totals = errors()["squares"].sum(0).tolist()
        penalty = _PENALTIES[totals.index(min(totals))]
        scores = begin(_computation(SCORES, fit, features, labels, {"penalty": penalty}), on_scores)
        return lambda: (scores()["scores"], None if known is None else fit.predict(known, penalty))

    return choose


def open_errors(arrays: Mapping[str, Tensor], numbers: Numbers) -> OfRows:
    """The function of rows that gives the squared errors of their leave-one-out predictions by each penalty, from a recipe."""
    fit = _Fit.opened(arrays, numbers)
    features, labels = arrays["features"], arrays["labels"]

    def of_rows(rows: slice) -> Arrays:
        squares = torch.empty(rows.stop - rows.start, len(_PENALTIES), dtype=torch.float64)
        for into, turned, own in fit.turned(features, labels, rows):
            target = one_hot(own, fit.classes)
            for place, penalty in enumerate(_PENALTIES):
                squares[into, place] = (fit.without_own(turned, own, penalty) - target).square().sum(1)
        return {"squares": squares}

    return of_rows


def open_scores(arrays: Mapping[str, Tensor], numbers: Numbers) -> OfRows:
    """The function of rows that gives their leave-one-out predictions by one penalty, from a recipe."""
    fit, penalty = _Fit.opened(arrays, numbers), float(numbers["penalty"])
    features, labels = arrays["features"], arrays["labels"]

    def of_rows(rows: slice) -> Arrays:
        scores = torch.empty(rows.stop - rows.start, fit.classes)
        for into, turned, own in fit.turned(features, labels, rows):
            scores[into] = fit.without_own(turned, own, penalty).float()
        return {"scores": scores}

    return of_rows


def _computation(
    name: str, fit: "_Fit", features: Float[Tensor, "n w"], labels: Int[Tensor, " n"], told: Numbers
) -> RowComputation:
    arrays = {"features": features, "labels": labels, **fit.arrays}
    told = {"samples": fit.samples, "classes": fit.classes, **told}
    recipe = Recipe(name, arrays, told, {"features": 0, "labels": 0})
    open_ = open_errors if name == ERRORS else open_scores
    penalties = len(_PENALTIES) if name == ERRORS else 1
    width = features.shape[1]
    seconds = len(features) * (
        _SECONDS_A_ROW + (width * width + penalties * width * fit.classes) / _DOUBLE_PRODUCTS_A_SECOND
    )
    return RowComputation(name, len(features), seconds, partial(open_, arrays, recipe.numbers), recipe)


@dataclass(frozen=True)
class _Fit:
    """What all penalties share: principal axes of the standardised features, and the moments of the classes along them."""

    mean: Float[Tensor, " w"]
    deviation: Float[Tensor, " w"]
    values: Float[Tensor, " v"]
    axes: Float[Tensor, "v v"]
    moments: Float[Tensor, "v c"]
    samples: int
    classes: int

    @classmethod
    def of(cls, features: Float[Tensor, "n w"], labels: Int[Tensor, " n"], classes: int) -> "_Fit":
        """Fit all samples. Sums over them are added up block after block: in another order they would have other bits."""
        block = max(1, _HELD // features.shape[1])
        mean = features.mean(0, dtype=torch.float64)
        squares = sum((part.double() - mean).square().sum(0) for part in torch.split(features, block))
        deviation = (torch.as_tensor(squares) / max(len(features) - 1, 1)).sqrt().clamp(min=1e-9)
        gram, moments = torch.zeros(()), torch.zeros(())
        for part, own in zip(torch.split(features, block), torch.split(labels, block), strict=True):
            x = _standard(part, mean, deviation)
            gram, moments = gram + x.T @ x, moments + x.T @ one_hot(own, classes).double()
        values, axes = torch.linalg.eigh(gram)
        return cls(mean, deviation, values, axes, axes.T @ moments, len(features), classes)

    @classmethod
    def opened(cls, arrays: Mapping[str, Tensor], numbers: Numbers) -> "_Fit":
        """From a recipe."""
        parts = {name: arrays[f"fit.{name}"] for name in _FITTED}
        return cls(**parts, samples=int(numbers["samples"]), classes=int(numbers["classes"]))

    @property
    def arrays(self) -> Arrays:
        """Its tensors by the names that a recipe has for them."""
        return {f"fit.{name}": getattr(self, name) for name in _FITTED}

    def turned(
        self, features: Float[Tensor, "n w"], labels: Int[Tensor, " n"], rows: slice
    ) -> Iterator[tuple[slice, Float[Tensor, "b v"], Int[Tensor, " b"]]]:
        """Some rows along the axes, and their labels, part by part; with the place of each part in `rows`."""
        for part in ranges(rows, GRAIN):
            into = slice(part.start - rows.start, part.stop - rows.start)
            yield into, _standard(features[part], self.mean, self.deviation) @ self.axes, labels[part]

    def without_own(self, turned: Float[Tensor, "b v"], own: Int[Tensor, " b"], penalty: float) -> Float[Tensor, "b c"]:
        """Leave-one-out predictions."""
        shrunk = self._shrunk(penalty)
        leverage = (turned.square() * shrunk).sum(1, keepdim=True)
        predicted = turned @ (shrunk[:, None] * self.moments)
        found: Tensor = (predicted - leverage * one_hot(own, self.classes)) / (1 - leverage).clamp(min=1e-6)
        return found

    def predict(self, known: Float[Tensor, "m w"], penalty: float) -> Float[Tensor, "m c"]:
        """Scores of samples that are not in the fit."""
        weights = self.axes @ (self._shrunk(penalty)[:, None] * self.moments)
        scores: Tensor = (_standard(known, self.mean, self.deviation) @ weights).float()
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
        count, width = int(group.max()) + 1, len(self.values)
        turned = _standard(features, self.mean, self.deviation) @ self.axes
        own = turned * fitted[:, None]
        every = torch.diag(1 / self._shrunk(penalty))
        if count == 1:
            alone: Tensor = turned @ torch.linalg.solve(
                every - own.T @ own, self.moments - own.T @ one_hot(labels, self.classes).double()
            )
            return alone
        squares = own.new_zeros(count, width, width).index_add_(0, group, own[:, :, None] * own[:, None, :])
        sums = own.new_zeros(count * self.classes, width).index_add_(0, group * self.classes + labels, own)
        moments = sums.reshape(count, self.classes, width).transpose(1, 2)
        weights = torch.linalg.solve(every - squares, self.moments - moments)
        found: Tensor = torch.einsum("bv,bvc->bc", turned, weights[group])
        return found

    @property
    def together(self) -> int:
        """How many rows of whole groups are best computed at once."""
        return max(1, _NUMBERS // (len(self.values) * max(len(self.values), self.classes)))

    def _shrunk(self, penalty: float) -> Float[Tensor, " v"]:
        shrunk: Tensor = 1 / (self.values.clamp(min=0) + penalty * self.samples)
        return shrunk


def _standard(
    features: Float[Tensor, "b w"], mean: Float[Tensor, " w"], deviation: Float[Tensor, " w"]
) -> Float[Tensor, "b v"]:
    x = (features.double() - mean) / deviation
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
