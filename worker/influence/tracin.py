"""TracIn influence, exact for the last layer: `I_ij = sum_t eta_t <g_i^t, g_j^t>` (arXiv:2002.08484, equation 3.2).

Unit: loss. Positive = training on i lowered the loss of j. No gradient and no n x m matrix is ever held: what needs
only sums over the reference costs one product a sample, what needs every pair streams block by block.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.influence.factors import Trace, errors

_BLOCK = 512
_FEW = 100  # classes times outputs, up to which multiplying by zeros costs less than gathering rows


def self_influence(activations: Float[Tensor, "n d"], delta: Float[Tensor, "n c"], rate: float) -> Float[Tensor, " n"]:
    """`eta |g_i|^2` at one checkpoint: `eta |delta_i|^2 (|a_i|^2 + 1)`; the 1 is the bias."""
    length: Tensor = torch.linalg.vector_norm(activations, dim=1)
    return rate * delta.square().sum(1) * (length.square() + 1)


@dataclass(frozen=True)
class ClassGradients:
    """Sums of the reference's gradients by class at one checkpoint, weight and bias apart."""

    weight: Float[Tensor, "k c d"]
    bias: Float[Tensor, "k c"]


def class_gradients(
    activations: Float[Tensor, "m d"], delta: Float[Tensor, "m c"], labels: Int[Tensor, " m"], classes: int
) -> ClassGradients:
    """`sum_{j: y_j=k} g_j` for every class k."""
    outputs, width = delta.shape[1], activations.shape[1]
    if classes * outputs <= _FEW:
        # One product for all classes: their errors side by side, zero where a row is of another class.
        apart = delta.new_zeros(len(labels), classes, outputs)
        apart[torch.arange(len(labels)), labels] = delta
        return ClassGradients((apart.flatten(1).T @ activations).view(classes, outputs, width), apart.sum(0))
    weight = activations.new_zeros(classes, outputs, width)
    bias = delta.new_zeros(classes, outputs)
    for label in range(classes):
        rows = (labels == label).nonzero().squeeze(1)
        own = delta[rows]
        weight[label] = own.T @ activations[rows]
        bias[label] = own.sum(0)
    return ClassGradients(weight, bias)


def class_influence(
    activations: Float[Tensor, "n d"], delta: Float[Tensor, "n c"], sums: ClassGradients, rate: float
) -> Float[Tensor, "n k"]:
    """`eta sum_{j: y_j=k} <g_i, g_j>` at one checkpoint, for every class k: one product a sample, no pairs."""
    classes, outputs, width = sums.weight.shape
    result = torch.empty(len(delta), classes)
    flat = sums.weight.reshape(classes * outputs, width)
    for start in range(0, len(delta), _BLOCK):
        part = slice(start, start + _BLOCK)
        products = (activations[part] @ flat.T).reshape(-1, classes, outputs)
        result[part] = torch.einsum("nkc,nc->nk", products + sums.bias, delta[part])
    return result * rate


@runtime_checkable
class Pairs(Protocol):
    """Influence of training rows on every reference row, block by block."""

    labels: Int[Tensor, " n"]
    columns: int

    def blocks(self) -> Iterator[tuple[slice, Float[Tensor, "b m"]]]:
        """`I_ij` summed over checkpoints, a block of training rows at a time. Read a block before the next one."""
        ...

    def relabelled(self, rows: slice, labels: Int[Tensor, " b"]) -> Float[Tensor, "b m"]:
        """The same of the block last given, at the last checkpoint alone, had its rows had other labels."""
        ...


class LastLayerPairs:
    """Pairs of the last layer, from traces. Relabelling changes `delta` alone: products of activations are kept."""

    def __init__(
        self, train: Trace, labels: Int[Tensor, " n"], reference: Trace, reference_labels: Int[Tensor, " m"]
    ) -> None:
        self.labels, self.columns = labels, len(reference_labels)
        self._train = train
        self._shared = train.shared and reference.shared
        shared = _with_one(reference.activations[0]).T.contiguous() if reference.shared else None
        self._known = [
            (
                _with_one(reference.activations[t]).T.contiguous() if shared is None else shared,
                (rate * errors(reference.logits[t], reference_labels)).T,
            )
            for t, rate in enumerate(reference.rates)
        ]
        self._side_by_side = torch.cat([delta for _, delta in self._known])
        self._total, self._product = torch.empty(_BLOCK, self.columns), torch.empty(_BLOCK, self.columns)

    def blocks(self) -> Iterator[tuple[slice, Float[Tensor, "b m"]]]:
        """See Pairs."""
        for start in range(0, len(self.labels), _BLOCK):
            rows = slice(start, min(start + _BLOCK, len(self.labels)))
            size = rows.stop - start
            total, product = self._total[:size], self._product[:size]
            deltas = [errors(logits[rows], self.labels[rows]) for logits in self._train.logits]
            if self._shared:
                # The products of activations are those of every checkpoint: one for all, and one of all the errors.
                torch.mm(_with_one(self._train.activations[0, rows]), self._known[0][0], out=product)
                torch.mm(torch.cat(deltas, 1), self._side_by_side, out=total)
                yield rows, total.mul_(product)
                continue
            total.zero_()
            for t, (activations, delta) in enumerate(self._known):
                torch.mm(_with_one(self._train.activations[t, rows]), activations, out=product)
                total.addcmul_(product, deltas[t] @ delta)
            yield rows, total

    def relabelled(self, rows: slice, labels: Int[Tensor, " b"]) -> Float[Tensor, "b m"]:
        """See Pairs."""
        _, delta = self._known[-1]
        return self._product[: len(labels)] * (errors(self._train.logits[-1, rows], labels) @ delta)


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

    `own_column` is the reference column that is the training row itself, or -1: a row is left out of its own sums.
    """
    weights = torch.ones(pairs.columns) if weights is None else weights
    by_class = torch.zeros(pairs.columns, classes)
    by_class[torch.arange(pairs.columns), reference_labels] = weights
    samples = len(pairs.labels)
    positive, negative = (Side.empty(samples, classes, strongest) for _ in range(2))
    repaired, moved = torch.empty(samples), torch.empty(samples)
    for rows, block in pairs.blocks():
        own = None if own_column is None else own_column[rows]
        _leave_out(block, own)
        positive.take(rows, block.clamp(min=0), by_class)
        negative.take(rows, block.clamp_(max=0).neg_(), by_class)
        hurt = negative.amount[rows].argmax(1)
        harm = _leave_out(pairs.relabelled(rows, hurt), own).clamp_(max=0)
        repaired[rows] = (harm @ by_class).gather(1, pairs.labels[rows, None]).squeeze(1)
        helped = positive.amount[rows].topk(2, dim=1).indices[:, 1]
        help_ = _leave_out(pairs.relabelled(rows, helped), own).clamp_(min=0)
        moved[rows] = (positive.amount[rows] - help_ @ by_class).abs().amax(1)
    weight = weights.sum().expand(samples).clone()
    if own_column is not None:
        inside = own_column >= 0
        weight[inside] -= weights[own_column[inside]]
    return PairSums(positive, negative, weight, repaired, moved)


def _leave_out(block: Float[Tensor, "b m"], own: Int[Tensor, " b"] | None) -> Float[Tensor, "b m"]:
    if own is not None:
        inside = (own >= 0).nonzero().squeeze(1)
        block[inside, own[inside]] = 0
    return block


def _with_one(activations: Float[Tensor, "n d"]) -> Float[Tensor, "n e"]:
    # The appended 1 carries the bias through the same matrix product.
    return torch.cat([activations, activations.new_ones(len(activations), 1)], 1)
