"""How many labels are wrong when some classes err more than others: what the guesses are on average says it.

A sample's guess averages to a mean that only its true class decides. The verified samples tell these means; each label's
own mean is then a mixture of them, and its weights say which classes the samples with that label truly have. Nothing is
assumed of which labels are wrong, so it is unbiased where errors go one way, and less precise where they go all ways.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot


@dataclass(frozen=True)
class Share:
    """Of the labels, and its standard deviation."""

    value: float
    deviation: float


def share_by_moments(
    guess: Float[Tensor, "n c"],
    labels: Int[Tensor, " n"],
    known_guess: Float[Tensor, "m c"],
    known_labels: Int[Tensor, " m"],
) -> Share | None:
    """The share of wrong labels; None where some class is not among the known, or two have the same mean.

    The deviation is that of the first order: of the n samples, and of the known ones that give the means.
    """
    classes = guess.shape[1]
    known, hot = known_guess.double(), one_hot(known_labels, classes).double()
    sizes = hot.sum(0)
    if bool((sizes[labels.bincount(minlength=classes) > 0] < 2).any()):
        return None
    there = sizes > 0
    means = (hot.T @ known)[there] / sizes[there, None]
    turn = torch.linalg.pinv(means)
    if int(torch.linalg.matrix_rank(means)) < int(there.sum()):
        return None
    # On average the truth, for a sample of any class: which class it is.
    number = there.cumsum(0) - 1
    belongs, known_belongs = guess.double() @ turn, known @ turn
    own = belongs.gather(1, number[labels][:, None]).squeeze(1)
    of_label = one_hot(number[labels], int(there.sum())).double()
    # By how much each known sample moves the result, as part of its class's mean.
    weight = of_label.T @ belongs / len(labels)
    moved = (weight[:, number[known_labels]].T * known_belongs).sum(1)
    variance = float(own.var()) / len(own)
    variance += sum(float(moved[known_labels == c].var()) / float(sizes[c]) for c in there.nonzero() if sizes[c] > 1)
    return Share(1 - float(own.mean()), variance**0.5)
