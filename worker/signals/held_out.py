"""What a sample's label would be guessed to be by the others alone: a linear classifier, each sample left out in turn.

Ridge regression on one-hot labels, whose leave-one-out predictions follow from one fit (Allen's PRESS statistic 1974),
so that an honest prediction costs no second training.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

_PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)  # times n; the one with the smallest left-out error is taken


def held_out(
    features: Float[Tensor, "n w"], labels: Int[Tensor, " n"], classes: int, known: Float[Tensor, "m w"] | None
) -> tuple[Float[Tensor, "n c"], Float[Tensor, "m c"] | None]:
    """Scores of every class for each sample, predicted without it, and for the `known` ones, which took no part."""
    mean, deviation = features.double().mean(0), features.double().std(0).clamp(min=1e-9)
    x = _standard(features, mean, deviation)
    target = one_hot(labels, classes).double()
    values, vectors = torch.linalg.eigh(x.T @ x)
    turned = x @ vectors
    moments = turned.T @ target
    best: tuple[float, Tensor, Tensor] | None = None
    for penalty in _PENALTIES:
        shrunk = 1 / (values.clamp(min=0) + penalty * len(x))
        leverage = (turned.square() * shrunk).sum(1, keepdim=True)
        weights = shrunk[:, None] * moments
        left_out = (turned @ weights - leverage * target) / (1 - leverage).clamp(min=1e-6)
        error = float((left_out - target).square().mean())
        if best is None or error < best[0]:
            best = (error, left_out, weights)
    assert best is not None
    _, left_out, weights = best
    predicted = None if known is None else (_standard(known, mean, deviation) @ vectors @ weights).float()
    return left_out.float(), predicted


def _standard(
    features: Float[Tensor, "n w"], mean: Float[Tensor, " w"], deviation: Float[Tensor, " w"]
) -> Float[Tensor, "n v"]:
    x = (features.double() - mean) / deviation
    return torch.cat([x, x.new_ones(len(x), 1)], 1)
