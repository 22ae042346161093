"""What out-of-sample probabilities say of labels, by the confident joint (Northcutt et al. 2021, arXiv:1911.00068).

A class is believed of a sample where it is as probable as it is, on average, for the samples that carry it.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

_ROUNDING = 1e-6
_NONE = -1


def believed(guess: Float[Tensor, "n c"], labels: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """The class that is believed of each sample; where several are, the likeliest of all, and -1 where none is."""
    sizes = labels.bincount(minlength=guess.shape[1])
    own = torch.zeros(guess.shape[1]).index_add_(0, labels, guess.gather(1, labels[:, None]).squeeze(1))
    usual = torch.where(sizes > 0, own / sizes.clamp(min=1), torch.inf)
    probable = guess >= usual - _ROUNDING
    number = probable.sum(1)
    found = torch.where(number > 1, guess.argmax(1), probable.int().argmax(1))
    return torch.where(number > 0, found, _NONE)


def contradicted(guess: Float[Tensor, "n c"], labels: Int[Tensor, " n"]) -> int:
    """Of how many samples another class is believed, and another is likeliest: cleanlab's number of label issues."""
    found = believed(guess, labels)
    return int(((found != _NONE) & (found != labels) & (guess.argmax(1) != labels)).sum())


def odds_of_error(guess: Float[Tensor, "n c"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The logarithm of the odds that a label is an error, but for how frequent errors are.

    `sum_{k != y} m_ky p_k / p_y`, m_ky: how often a sample of class k that is labelled otherwise is labelled y; half by
    who is believed to be of which class, half as if every other label were as frequent. Of two classes these are the odds
    of the probabilities themselves.
    """
    classes, smallest = guess.shape[1], torch.finfo(torch.float32).tiny
    found = believed(guess, labels)
    otherwise = (found != _NONE) & (found != labels)
    all_of = found[otherwise].bincount(minlength=classes) + classes - 1
    result = torch.empty(len(labels))
    order, sizes = labels.argsort(stable=True), labels.bincount(minlength=classes).tolist()
    for label, rows in enumerate(torch.split(order, sizes)):
        # Of one label at a time: a matrix of all pairs of classes would be large where there are many.
        counts = found[rows][otherwise[rows]].bincount(minlength=classes)
        confused = ((counts + 1) / all_of + 1 / (classes - 1)) / 2
        confused[label] = 0
        others, own = guess[rows] @ confused, guess[rows, label]
        result[rows] = others.clamp(min=smallest).log() - own.clamp(min=smallest).log()
    return result
