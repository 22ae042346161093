"""The confident joint of out-of-sample probabilities and labels (Northcutt et al. 2021, arXiv:1911.00068).

A sample is assigned to a class whose probability reaches its mean over the samples with that label.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

_ROUNDING = 1e-6
NOT_ASSIGNED = -1


def assigned_classes(guess: Float[Tensor, "n c"], labels: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """The class that each sample is assigned to. Where several qualify: the most probable of all classes; -1 where none."""
    sizes = labels.bincount(minlength=guess.shape[1])
    own = torch.zeros(guess.shape[1]).index_add_(0, labels, guess.gather(1, labels[:, None]).squeeze(1))
    usual = torch.where(sizes > 0, own / sizes.clamp(min=1), torch.inf)
    probable = guess >= usual - _ROUNDING
    number = probable.sum(1)
    found = torch.where(number > 1, guess.argmax(1), probable.int().argmax(1))
    return torch.where(number > 0, found, NOT_ASSIGNED)


def label_issue_count(guess: Float[Tensor, "n c"], labels: Int[Tensor, " n"]) -> int:
    """How many samples are assigned to, and most probably of, another class than their label: cleanlab's number of issues."""
    found = assigned_classes(guess, labels)
    return int(((found != NOT_ASSIGNED) & (found != labels) & (guess.argmax(1) != labels)).sum())


def odds_of_error(guess: Float[Tensor, "n c"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Log odds that a label is wrong, up to a constant for how frequent errors are. Higher = more suspicious.

    `log sum_{k != y} m_ky p_k / p_y`. m_ky is the share labelled y of the wrong labels of class k: the mean of an estimate
    by the confident joint and of 1 / (C - 1). For two classes these are the odds of the probabilities themselves.
    """
    classes, smallest = guess.shape[1], torch.finfo(torch.float32).tiny
    found = assigned_classes(guess, labels)
    otherwise = (found != NOT_ASSIGNED) & (found != labels)
    all_of = found[otherwise].bincount(minlength=classes) + classes - 1
    result = torch.empty(len(labels))
    order, sizes = labels.argsort(stable=True), labels.bincount(minlength=classes).tolist()
    for label, rows in enumerate(torch.split(order, sizes)):
        # One label at a time: a matrix of all pairs of classes would be large for many classes.
        counts = found[rows][otherwise[rows]].bincount(minlength=classes)
        confused = ((counts + 1) / all_of + 1 / (classes - 1)) / 2
        confused[label] = 0
        others, own = guess[rows] @ confused, guess[rows, label]
        result[rows] = others.clamp(min=smallest).log() - own.clamp(min=smallest).log()
    return result
