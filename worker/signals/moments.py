"""Share of wrong labels by the method of moments, for errors that are more frequent in some classes.

The mean prediction of samples of one true class is estimated from the verified samples. The mean prediction of the samples
with one label is a mixture of these means, and its weights are the shares of the true classes. Which labels are wrong is
not modelled: the estimate is unbiased for one-sided errors, and less precise than others for uniform ones.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot


@dataclass(frozen=True)
class Share:
    """Share of the labels, and its standard deviation."""

    value: float
    deviation: float


def share_by_moments(
    guess: Float[Tensor, "n c"],
    labels: Int[Tensor, " n"],
    known_guess: Float[Tensor, "m c"],
    known_labels: Int[Tensor, " m"],
) -> Share | None:
    """The share of wrong labels; None where a class has fewer than two known samples, or two classes the same mean.

    The deviation is of first order, from the n samples and from the known ones that give the means.
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
    # Unbiased estimates of the one-hot true class of each sample.
    number = there.cumsum(0) - 1
    belongs, known_belongs = guess.double() @ turn, known @ turn
    own = belongs.gather(1, number[labels][:, None]).squeeze(1)
    of_label = one_hot(number[labels], int(there.sum())).double()
    # Derivative of the result for each known sample, as part of the mean of its class.
    weight = of_label.T @ belongs / len(labels)
    moved = (weight[:, number[known_labels]].T * known_belongs).sum(1)
    variance = float(own.var()) / len(own)
    variance += sum(float(moved[known_labels == c].var()) / float(sizes[c]) for c in there.nonzero() if sizes[c] > 1)
    return Share(1 - float(own.mean()), variance**0.5)
