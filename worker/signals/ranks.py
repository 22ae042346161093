"""Ranks, which make signals of different units comparable."""

import torch
from jaxtyping import Float
from scipy.stats import rankdata
from torch import Tensor


def mean_rank(scores: Float[Tensor, "t n"]) -> Float[Tensor, " n"]:
    """Mean over rows of the ranks within each row, in (0, 1]; samples whose ranks have the same sum are exactly equal."""
    # Ranks are halves of whole numbers, so their sums are exact, and dividing comes last.
    total = torch.zeros(scores.shape[1], dtype=torch.float64)
    for row in scores:  # one by one: ranking takes several times the memory of what is ranked
        total += torch.from_numpy(rankdata(row.numpy()))
    return total / (len(scores) * max(scores.shape[1], 1))


def rank(scores: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Average rank over n, in (0, 1]; the highest score has the highest rank."""
    return torch.from_numpy(rankdata(scores.numpy())) / max(len(scores), 1)
