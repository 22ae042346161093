"""TracIn influence of samples on the classes of a reference, one checkpoint at a time.

`I_ij = sum_t eta_t <g_i^t, g_j^t>` (arXiv:2002.08484, equation 3.2), layers added up. Unit: loss. Positive: training on
i lowered the loss of j. What needs only sums over a class costs one product per sample and class; no pair is formed.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.influence.gradient_sources import GradientSource, row_blocks
from worker.influence.gradients import (
    Dense,
    Gradient,
    GradientSums,
    Leaves,
    class_sums,
    dot_with_sums,
    other_side,
    self_products,
    squared_norms,
)
from worker.influence.row_computations import GRAIN, ranges

TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class ClassGradientSums:
    """GradientSums of the reference's gradients by class at one checkpoint.

    `layers` has one entry per layer, of 2k sums: first `sum_{j: y_j=c} g_j` for each of the k classes, then the same of
    unit gradients `g_j / |g_j|`, whose length is that over all layers.
    """

    layers: list[GradientSums]
    classes: int

    def on(self, device: torch.device) -> "ClassGradientSums":
        """The same on a device."""
        return ClassGradientSums([GradientSums(layer.flat.to(device)) for layer in self.layers], self.classes)


@dataclass(frozen=True)
class CheckpointInfluence:
    """Influence of n samples at one checkpoint.

    `self_influence`: `eta <g_i, g_i>`. `class_influence`: `eta sum_{j: y_j=c} <g_i, g_j>`. Both in units of loss. `norms`: `|g_i|`.
    `class_cosines`: `sum_{j: y_j=c} cos(g_i, g_j)`, in [-m_c, m_c] for the m_c reference samples of the class. `self_cosine`: that of a
    sample with itself as a reference sample, 1 but for trees.
    """

    self_influence: Float[Tensor, " n"]
    norms: Float[Tensor, " n"]
    self_cosine: Float[Tensor, " n"]
    class_influence: Float[Tensor, "n k"]
    class_cosines: Float[Tensor, "n k"]


def gradient_norms(gradients: list[Gradient]) -> Float[Tensor, " n"]:
    """`|g_i|` over all layers, in the gradients' own precision."""
    squared = torch.stack([squared_norms(gradient).double() for gradient in gradients]).sum(0)
    return squared.sqrt().to(_precision(gradients[0]))


def self_influence(
    gradients: list[Gradient], norms: Float[Tensor, " n"], rate: float
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """`eta <g_i, g_i>` over all layers, and the cosine of a sample with itself on the other side."""
    if not isinstance(gradients[0], Leaves):
        return rate * norms.square(), torch.ones_like(norms)
    products = torch.stack([self_products(gradient) for gradient in gradients]).sum(0)
    lengths = (
        norms.double()
        * torch.stack([squared_norms(other_side(one)) for one in gradients if isinstance(one, Leaves)]).sum(0).sqrt()
    )
    return (rate * products).to(norms.dtype), (products / lengths.clamp(min=TINY)).to(norms.dtype)


def _precision(gradient: Gradient) -> torch.dtype:
    match gradient:
        case Dense(dense):
            return dense.dtype
        case Leaves(_, values):
            return values.dtype
        case _:
            return gradient.errors.dtype


def class_gradient_sums(source: GradientSource, t: int, labels: Int[Tensor, " m"], classes: int) -> ClassGradientSums:
    """Sum the gradients of all samples of `source` at checkpoint t by class, in one pass over the samples."""
    total: list[GradientSums] = []
    for rows in row_blocks(source):
        gradients = source.gradients(t, rows, labels[rows])
        inverse = 1 / gradient_norms(gradients).clamp(min=TINY)
        factors = torch.stack([torch.ones_like(inverse), inverse], 1)
        sums = [class_sums(gradient, labels[rows], classes, factors) for gradient in gradients]
        total = [GradientSums(a.flat.add_(b.flat)) for a, b in zip(total, sums, strict=True)] if total else sums
    return ClassGradientSums(total, classes)


def checkpoint_influence(
    source: GradientSource,
    t: int,
    labels: Int[Tensor, " n"],
    reference: ClassGradientSums,
    rate: float,
    rows: slice | None = None,
) -> CheckpointInfluence:
    """Influence of all samples of `source`, or of some `rows`, at checkpoint t, whose learning rate was `rate`, in one pass over them."""
    wanted = slice(0, len(labels)) if rows is None else rows
    samples, classes = wanted.stop - wanted.start, reference.classes
    own, lengths, itself = torch.empty(samples), torch.empty(samples), torch.empty(samples)
    by_class, cosines = torch.empty(samples, classes), torch.empty(samples, classes)
    for part in _parts(wanted, source.block):
        gradients = source.gradients(t, part, labels[part])
        norms = gradient_norms(gradients)
        into = slice(part.start - wanted.start, part.stop - wanted.start)
        own[into], itself[into] = self_influence(gradients, norms, rate)
        lengths[into] = norms
        products = torch.stack(
            [dot_with_sums(gradient, sums) for gradient, sums in zip(gradients, reference.layers, strict=True)]
        ).sum(0)
        by_class[into] = rate * products[:, :classes]
        cosines[into] = products[:, classes:] / norms.clamp(min=TINY)[:, None]
    return CheckpointInfluence(own, lengths, itself, by_class, cosines)


def _parts(rows: slice, count: int) -> list[slice]:
    # A block of rows begins at a multiple of GRAIN: so wherever it begins and ends, its rows are divided alike.
    return [part for grain in ranges(rows, GRAIN) for part in ranges(grain, min(count, GRAIN))]
