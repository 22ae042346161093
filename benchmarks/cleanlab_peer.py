"""cleanlab's score of a label, as its users call it."""

import torch
from cleanlab.rank import get_label_quality_scores
from jaxtyping import Float, Int
from torch import Tensor


def cleanlab_doubt(probabilities: Float[Tensor, "n c"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Its self-confidence on out-of-sample probabilities, negated: higher is more suspicious."""
    even = probabilities.double() / probabilities.double().sum(1, keepdim=True)
    return torch.from_numpy(-get_label_quality_scores(labels.numpy(), even.numpy()))
