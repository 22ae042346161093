"""TracIn influence, exact: `I_ij = sum_t eta_t <g_i^t, g_j^t>` (arXiv:2002.08484, equation 3.2), layers added up.

Unit: loss. Positive = training on i lowered the loss of j. No n x m matrix is ever held: what needs only sums over the
reference costs one product a sample and class, what needs every pair streams block by block.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from worker.influence.gradients import (
    Dense,
    Gradient,
    Outer,
    Sums,
    against,
    class_sums,
    concatenate,
    dots,
    scaled,
    size,
    squares,
)
from worker.influence.sources import Source, blocks

_BLOCK = 512
_LARGEST = 4 * 2**30  # bytes of reference gradients, held at once
_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Pull:
    """Where each class of the reference pulls the model at one checkpoint, a layer at a time.

    Each layer's sums are `sum_{j: y_j=k} g_j` for every class k, then the same of gradients of length 1.
    """

    sums: list[Sums]
    classes: int


@dataclass(frozen=True)
class Course:
    """What one checkpoint did: `eta |g_i|^2`, `eta sum_{j: y_j=k} <g_i, g_j>` and sums of cosines by class."""

    self_influence: Float[Tensor, " n"]
    class_influence: Float[Tensor, "n k"]
    class_cosines: Float[Tensor, "n k"]


def length(gradients: list[Gradient]) -> Float[Tensor, " n"]:
    """`|g_i|` over all layers."""
    first = gradients[0]
    kind = first.gradient.dtype if isinstance(first, Dense) else first.errors.dtype
    return torch.stack([squares(gradient).double() for gradient in gradients]).sum(0).sqrt().to(kind)


def pull(source: Source, t: int, labels: Int[Tensor, " m"], classes: int) -> Pull:
    """Read the reference once."""
    total: list[Sums] = []
    for rows in blocks(source):
        found = source.gradients(t, rows, labels[rows])
        inverse = 1 / length(found).clamp(min=_TINY)
        factors = torch.stack([torch.ones_like(inverse), inverse], 1)
        sums = [class_sums(g, labels[rows], classes, factors) for g in found]
        total = [Sums(a.flat.add_(b.flat)) for a, b in zip(total, sums, strict=True)] if total else sums
    return Pull(total, classes)


def course(source: Source, t: int, labels: Int[Tensor, " n"], towards: Pull, rate: float) -> Course:
    """Read the training rows once, against the reference's pull."""
    samples, classes = len(labels), towards.classes
    own, by_class, cosines = torch.empty(samples), torch.empty(samples, classes), torch.empty(samples, classes)
    for rows in blocks(source):
        found = source.gradients(t, rows, labels[rows])
        norm = length(found)
        own[rows] = rate * norm.square()
        products = torch.stack([against(g, sums) for g, sums in zip(found, towards.sums, strict=True)]).sum(0)
        by_class[rows] = rate * products[:, :classes]
        cosines[rows] = products[:, classes:] / norm.clamp(min=_TINY)[:, None]
    return Course(own, by_class, cosines)


class Pairs:
    """Influence of training rows on every reference row, a block of training rows at a time.

    With `classes`, `courses` tell after the last block what each checkpoint did: where layers are wide, adding up pairs
    costs less than multiplying with sums of gradients.
    """

    def __init__(
        self,
        train: Source,
        labels: Int[Tensor, " n"],
        reference: Source,
        reference_labels: Int[Tensor, " m"],
        rates: tuple[float, ...],
        classes: int | None = None,
    ) -> None:
        self.labels, self.columns = labels, len(reference_labels)
        self._train, self._rates, self._rows = train, rates, min(_BLOCK, train.block)
        self._fits(reference, reference_labels)
        gradients = [_whole(reference, t, reference_labels) for t in range(len(rates))]
        known = [
            [scaled(gradient, torch.full((self.columns,), rate)) for gradient in found]
            for found, rate in zip(gradients, rates, strict=True)
        ]
        self._layers = [_layer(list(course_of), self._rows) for course_of in zip(*known, strict=True)]
        self._total, self._one = (torch.empty(self._rows, self.columns) for _ in range(2))
        self.courses: list[Course] = []
        if classes is not None:
            samples, member = len(labels), one_hot(reference_labels, classes).float()
            self.courses = [
                Course(torch.empty(samples), torch.empty(samples, classes), torch.empty(samples, classes))
                for _ in rates
            ]
            # Column by column: whose class a reference row is of, and the same over its length.
            self._member = member
            self._unit = [
                member / (rate * length(found)).clamp(min=_TINY)[:, None]
                for found, rate in zip(gradients, rates, strict=True)
            ]

    def _fits(self, reference: Source, labels: Int[Tensor, " m"]) -> None:
        few = slice(0, min(reference.block, self.columns))
        a_row = sum(size(gradient) for gradient in reference.gradients(0, few, labels[few])) / max(few.stop, 1)
        needed = a_row * self.columns * len(self._rates)
        if needed > _LARGEST:
            raise MemoryError(
                f"the gradients of {self.columns} reference rows at {len(self._rates)} checkpoints take "
                f"{needed / 2**30:.0f} GiB; choose fewer layers, fewer columns or checkpoints, or estimator projected"
            )

    def blocks(self) -> Iterator[tuple[slice, Float[Tensor, "b m"]]]:
        """`I_ij` summed over checkpoints. Read a block before asking for the next: it is used again."""
        for start in range(0, len(self.labels), self._rows):
            rows = slice(start, min(start + self._rows, len(self.labels)))
            total = self._total[: rows.stop - start].zero_()
            found = [self._train.gradients(t, rows, self.labels[rows]) for t in range(len(self._rates))]
            if self.courses:
                self._one_by_one(rows, total, found)
            else:
                for layer, gradients in zip(self._layers, zip(*found, strict=True), strict=True):
                    layer.add(total, list(gradients))
            yield rows, total

    def _one_by_one(self, rows: slice, total: Float[Tensor, "b m"], found: list[list[Gradient]]) -> None:
        one = self._one[: len(total)]
        for t, gradients in enumerate(found):
            one.zero_()
            for layer, gradient in zip(self._layers, gradients, strict=True):
                layer.add_at(one, gradient, t)
            norm = length(gradients)
            course_ = self.courses[t]
            course_.self_influence[rows] = self._rates[t] * norm.square()
            course_.class_influence[rows] = one @ self._member
            course_.class_cosines[rows] = (one @ self._unit[t]) / norm.clamp(min=_TINY)[:, None]
            total.add_(one)

    def relabelled(self, rows: slice, labels: Int[Tensor, " b"]) -> Float[Tensor, "b m"]:
        """The same of the block last given, at the last checkpoint alone, had its rows had other labels."""
        total = torch.zeros(len(labels), self.columns)
        found = self._train.gradients(len(self._rates) - 1, rows, labels)
        for layer, gradient in zip(self._layers, found, strict=True):
            layer.add_relabelled(total, gradient)
        return total


class _OuterPairs:
    """One layer whose gradients are outer products: two matrix products a checkpoint, one of them shared if it can be."""

    def __init__(self, known: list[Outer], rows: int) -> None:
        self._alike = all(torch.equal(one.inputs, known[0].inputs) for one in known)
        first = known[0].inputs.T.contiguous()
        self._inputs = [first if self._alike else one.inputs.T.contiguous() for one in known]
        self._errors = [one.errors.T for one in known]
        self._side_by_side = torch.cat(self._errors)
        self._product, self._second = torch.empty(rows, first.shape[1]), torch.empty(rows, first.shape[1])
        self._entered: Tensor | None = None

    def add(self, total: Float[Tensor, "b m"], gradients: list[Outer]) -> None:
        """Add all checkpoints."""
        product, second = self._product[: len(total)], self._second[: len(total)]
        if self._alike and all(torch.equal(one.inputs, gradients[0].inputs) for one in gradients):
            # Where inputs never change, one product stands for those of all checkpoints, and one for all errors.
            torch.mm(gradients[0].inputs, self._inputs[0], out=product)
            torch.mm(torch.cat([one.errors for one in gradients], 1), self._side_by_side, out=second)
            total.addcmul_(product, second)
            return
        for gradient, inputs, errors in zip(gradients, self._inputs, self._errors, strict=True):
            torch.mm(gradient.inputs, inputs, out=product)
            total.addcmul_(product, torch.mm(gradient.errors, errors, out=second))

    def add_at(self, total: Float[Tensor, "b m"], gradient: Outer, t: int) -> None:
        """Add one checkpoint; all in their order."""
        product, second = self._product[: len(total)], self._second[: len(total)]
        same = t > 0 and self._alike and self._entered is not None and torch.equal(self._entered, gradient.inputs)
        if not same:
            torch.mm(gradient.inputs, self._inputs[t], out=product)
        self._entered = gradient.inputs
        total.addcmul_(product, torch.mm(gradient.errors, self._errors[t], out=second))

    def add_relabelled(self, total: Float[Tensor, "b m"], gradient: Outer) -> None:
        """Other labels change the errors alone: the last product of inputs is still there."""
        total.addcmul_(self._product[: len(total)], gradient.errors @ self._errors[-1])


class _OtherPairs:
    """One layer of any other form."""

    def __init__(self, known: list[Gradient]) -> None:
        self._known = known

    def add(self, total: Float[Tensor, "b m"], gradients: list[Gradient]) -> None:
        """Add all checkpoints."""
        for gradient, known in zip(gradients, self._known, strict=True):
            total.add_(dots(gradient, known))

    def add_at(self, total: Float[Tensor, "b m"], gradient: Gradient, t: int) -> None:
        """Add one checkpoint."""
        total.add_(dots(gradient, self._known[t]))

    def add_relabelled(self, total: Float[Tensor, "b m"], gradient: Gradient) -> None:
        """Add the last checkpoint."""
        total.add_(dots(gradient, self._known[-1]))


def _layer(known: list[Gradient], rows: int) -> Any:
    outer = [gradient for gradient in known if isinstance(gradient, Outer)]
    return _OuterPairs(outer, rows) if len(outer) == len(known) else _OtherPairs(known)


def _whole(source: Source, t: int, labels: Int[Tensor, " m"]) -> list[Gradient]:
    parts = [source.gradients(t, rows, labels[rows]) for rows in blocks(source)]
    return [concatenate(list(layer)) for layer in zip(*parts, strict=True)]


@dataclass(frozen=True)
class Side:
    """One sign of the influence on the reference, by the reference's class, and the strongest few of that sign.

    `amount`: sums of `|I|`; `count`: how many pairs; both weighted by how many rows a reference row stands for.
    `strongest`: columns of the reference, -1 where there is none, and their `|I|`.
    """

    amount: Float[Tensor, "n k"]
    count: Float[Tensor, "n k"]
    strongest: Int[Tensor, "n s"]
    values: Float[Tensor, "n s"]

    @classmethod
    def empty(cls, samples: int, classes: int, strongest: int) -> "Side":
        """Room for n samples."""
        return cls(
            torch.zeros(samples, classes),
            torch.zeros(samples, classes),
            torch.full((samples, strongest), -1, dtype=torch.int64),
            torch.zeros(samples, strongest),
        )

    def take(self, rows: slice, block: Float[Tensor, "b m"], by_class: Float[Tensor, "m k"]) -> None:
        """Reduce a block of this sign's `|I|`, zero elsewhere; the block is used up."""
        self.amount[rows] = block @ by_class
        top = block.topk(min(self.values.shape[1], block.shape[1]), dim=1)
        self.strongest[rows, : top.values.shape[1]] = torch.where(top.values > 0, top.indices, -1)
        self.values[rows, : top.values.shape[1]] = top.values
        self.count[rows] = block.gt_(0) @ by_class


@dataclass(frozen=True)
class PairSums:
    """What is kept of every pair. `weight`: how many reference rows stand behind each training row's sums.

    `repaired`: relabelled to the class that it hurts most, how little a row hurts the reference of the label that it
    was given, at the last checkpoint: `sum_{j: y_j = y_i} min(I'_ij, 0)`. `moved`: relabelled to the class that it helps second most,
    by how much its help of a class changes at most: `max_c |P_ic - P'_ic|`.
    """

    positive: Side
    negative: Side
    weight: Float[Tensor, " n"]
    repaired: Float[Tensor, " n"]
    moved: Float[Tensor, " n"]


def pair_sums(
    pairs: Pairs,
    reference_labels: Int[Tensor, " m"],
    classes: int,
    *,
    weights: Float[Tensor, " m"] | None = None,
    own_column: Int[Tensor, " n"] | None = None,
    strongest: int = 5,
) -> PairSums:
    """Stream every pair into sums. `weights`: how many rows each reference row stands for (1 when left out).

    `own_column` is the reference column that is the training row itself, or -1: a row is left out of its own sums. Where
    columns stand for all training rows by their weights, those of its class stand for all others of the class, whether
    the row is among them or not.
    """
    stand_for_all = weights is not None and own_column is not None
    weights = torch.ones(pairs.columns) if weights is None else weights
    by_class = torch.zeros(pairs.columns, classes)
    by_class[torch.arange(pairs.columns), reference_labels] = weights
    samples = len(pairs.labels)
    positive, negative = (Side.empty(samples, classes, strongest) for _ in range(2))
    repaired, moved = torch.empty(samples), torch.empty(samples)
    of_class = by_class.sum(0)
    others = of_class[reference_labels] - weights
    drawn = torch.where(others > 0, (of_class[reference_labels] - 1) / others, 1.0)
    share = (1 - 1 / of_class.clamp(min=1))[pairs.labels] if stand_for_all else torch.ones(samples)
    if own_column is not None:
        inside = own_column >= 0
        share[inside] = drawn[own_column[inside]]
    for rows, block in pairs.blocks():
        own = None if own_column is None else own_column[rows]
        _leave_out(block, own)
        positive.take(rows, block.clamp(min=0), by_class)
        negative.take(rows, block.clamp_(max=0).neg_(), by_class)
        fair = torch.ones(len(block), classes).scatter_(1, pairs.labels[rows, None], share[rows, None])
        for side in (positive, negative):
            side.amount[rows] *= fair
            side.count[rows] *= fair
        hurt = negative.amount[rows].argmax(1)
        harm = _leave_out(pairs.relabelled(rows, hurt), own).clamp_(max=0)
        repaired[rows] = (harm @ by_class * fair).gather(1, pairs.labels[rows, None]).squeeze(1)
        helped = positive.amount[rows].topk(2, dim=1).indices[:, 1]
        help_ = _leave_out(pairs.relabelled(rows, helped), own).clamp_(min=0)
        moved[rows] = (positive.amount[rows] - help_ @ by_class * fair).abs().amax(1)
    weight = weights.sum().expand(samples).clone()
    if stand_for_all:
        weight -= 1
    elif own_column is not None:
        weight[inside] -= 1
    return PairSums(positive, negative, weight, repaired, moved)


def _leave_out(block: Float[Tensor, "b m"], own: Int[Tensor, " b"] | None) -> Float[Tensor, "b m"]:
    if own is not None:
        inside = (own >= 0).nonzero().squeeze(1)
        block[inside, own[inside]] = 0
    return block
