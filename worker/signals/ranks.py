"""Ranks: what signals of different units can be averaged by."""

import torch
from jaxtyping import Float
from scipy.stats import rankdata
from torch import Tensor


def rank(scores: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Average rank over n, in (0, 1]; the highest score has the highest rank."""
    return torch.from_numpy(rankdata(scores.numpy())) / max(len(scores), 1)
