"""Suggested labels with calibrated probabilities: of suggestions with probability p, about the share p is right."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from scipy.optimize import brentq, isotonic_regression
from scipy.special import expit, logit
from torch import Tensor

from worker.signals.calibration import Calibration

_LEAST, _MOST = 0.01, 0.6  # bounds of the share of wrong labels that is assumed
_SURE = 0.995  # largest probability of a guess
_STEEPEST = 30.0
_KNOWS_MORE = 1.25  # factor of the log odds by the guess alone, since the ranking knows more; from development tables
_TINY = 1e-6

Array = NDArray[np.float64]


def suggest(
    early: Float[Tensor, "n c"],
    votes: Float[Tensor, "n c"],
    labels: Int[Tensor, " n"],
    mislabeled: Bool[Tensor, " n"],
    scores: Float[Tensor, " n"],
    wrong: int,
    known: Float[Tensor, " n"] | None = None,
    calibration: Calibration | None = None,
) -> tuple[Int[Tensor, " n"], Float[Tensor, " n"], Float[Tensor, " n"]]:
    """The likeliest label by the mean of early probabilities and neighbour votes, and the probability that it is right.

    The third value is the probability that the given label is wrong. A sample in `mislabeled` never gets its own label.
    `scores`: higher = more suspicious. `wrong`: the estimated number of wrong labels, to which the probabilities of a wrong label add
    up before the calibration. `known`: these probabilities, where reviews tell them. `calibration`: what changes the probabilities of
    flagged samples to what was measured on other jobs.
    """
    belief = (early + votes) / 2
    best, given = belief.max(1), belief.gather(1, labels[:, None])
    allowed = belief.scatter(1, labels[:, None], torch.where(mislabeled[:, None], -1.0, given)).max(1)
    agrees, keeps = (best.indices == labels).numpy(), (allowed.indices == labels).numpy()
    share = min(max(wrong / len(labels), _LEAST), _MOST)
    right = _right(best.values.double().numpy(), agrees, share, belief.shape[1])
    if known is None:
        mistaken = _mistaken(right, agrees, scores.double().numpy(), share, belief.shape[1])
    else:
        mistaken = known.double().numpy()
    # Where the best guess is the sample's own label, which is excluded, the second best is suggested.
    rest = (1 - best.values).clamp(min=_TINY).double().numpy()
    second = np.clip(allowed.values.double().numpy() / rest, 0, 1)
    others = max(belief.shape[1] - 2, 0) / max(belief.shape[1] - 1, 1)
    suits = np.where(agrees, second, right / (right + (1 - right) * others))
    if calibration is not None:
        mistaken, suits = calibration.wrong(mistaken, mislabeled.numpy()), calibration.suits(suits)
    confidence = np.where(keeps, 1 - mistaken, mistaken * suits)
    return allowed.indices, torch.from_numpy(confidence).clamp(0, 1).float(), torch.from_numpy(mistaken).float()


def _right(belief: Array, agrees: NDArray[np.bool_], share: float, classes: int) -> Array:
    """Probability that the best guess is the true label, by its strength.

    Guess and label agree where both are right: P(agree) = P(guess right) (1 - share).
    """
    agreement = _rising(belief, agrees.astype(np.float64))
    bounded: Array = np.clip(agreement / (1 - share), 1 / classes, _SURE)
    return bounded


def _mistaken(right: Array, agrees: NDArray[np.bool_], scores: Array, share: float, classes: int) -> Array:
    """Probability that a given label is wrong: by Bayes' rule, made monotonic in the score, shifted to the counted share."""
    another = (1 - right) * share
    beside = another / max(classes - 1, 1)  # guess and label wrong in the same way
    differs = right * share + another - beside
    by_guess = np.where(
        agrees,
        beside / np.maximum(beside + right * (1 - share), _TINY),
        differs / np.maximum(differs + (1 - right) * (1 - share), _TINY),
    )
    odds = _KNOWS_MORE * logit(np.clip(_rising(scores, by_guess), _TINY, 1 - _TINY))
    shift = brentq(lambda step: float(expit(odds + step).mean()) - share, -_STEEPEST, _STEEPEST)
    shifted: Array = expit(odds + shift)
    return shifted


def _rising(by: Array, values: Array) -> Array:
    """The mean of the values at each `by`, made to rise with it (isotonic regression); equal `by` give equal means."""
    _, place, count = np.unique(by, return_inverse=True, return_counts=True)
    means = np.bincount(place, values) / count
    found: Array = isotonic_regression(means, weights=count).x[place]
    return found
