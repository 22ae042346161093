"""Whether labels of a person are doubted more often than those of the others, by more than chance.

A person is compared with the others on samples of the same classes, since whoever is given the hard ones is doubted more often. Where
nobody errs more than anybody else, the number of doubts in a class is hypergeometric, given how many there are of both sides: the
probability of a sum over classes is computed exactly where its deviation is 20 doubts or less and it lies at least one deviation above
what is expected, and by a corrected normal approximation otherwise. Holm's procedure (1979) corrects for the number of people.

Of other people each sample counts once, by one of its votes that is chosen by its number: votes on one sample are doubted together.
"""

from dataclasses import dataclass
from math import erfc, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from service.annotators.samples import numbered

Array = npt.NDArray[Any]
_EXACT_DEVIATION = 20.0  # doubts; above it the sum is as good as normal
_NOTICEABLE = 1.0  # deviations; below it nobody stands out, however exactly that is computed
_TAILS = 12.0  # deviations beyond which a probability counts as none
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Excess:
    """Doubts about each annotator, compared with the others.

    `others_share`: the share of doubted labels that the others have on samples of the same classes, NaN where nobody else labelled any.
    `chance`: the probability that chance alone gives somebody as many doubts, corrected for the number of people; 1 where there is
    nobody to compare with.
    """

    others_share: Array
    chance: Array


def excess_of(sample: Array, annotator: Array, stratum: Array, doubted: Array, annotators: int, strata: int) -> Excess:
    """What chance says of the doubts about so many annotators; `stratum` is the class of each vote's sample, from 0 on."""
    cells, cell = np.unique(annotator.astype(np.int64) * strata + stratum, return_inverse=True)
    one_each = _one_vote_each(sample)
    labels, doubts = _counts(cell, doubted, len(cells))
    own_labels, own_doubts = _counts(cell[one_each], doubted[one_each], len(cells))
    all_labels, all_doubts = _counts(stratum[one_each], doubted[one_each], strata)
    of_class = cells % strata
    others, their_doubts = all_labels[of_class] - own_labels, all_doubts[of_class] - own_doubts
    compared = others > 0
    who = (cells // strata)[compared]
    labels, doubts, others, their_doubts = (one[compared] for one in (labels, doubts, others, their_doubts))
    expected = np.bincount(who, labels * their_doubts / others, annotators)
    size = np.bincount(who, labels, annotators)
    chance = np.ones(annotators)
    edges = np.searchsorted(who, np.arange(annotators + 1))
    for place in np.flatnonzero(np.bincount(who, doubts, annotators) > expected).tolist():
        mine = slice(edges[place], edges[place + 1])
        chance[place] = _tail(
            labels[mine] + others[mine], doubts[mine] + their_doubts[mine], labels[mine], doubts[mine]
        )
    share = np.divide(expected, size, out=np.full(annotators, np.nan), where=size > 0)
    return Excess(share, _holm(chance, int((size > 0).sum())))


def _one_vote_each(sample: Array) -> Array:
    """The places of one vote of each sample."""
    votes = np.bincount(numbered(sample))
    first = np.cumsum(votes) - votes
    with np.errstate(over="ignore"):
        mixed = (np.arange(1, len(votes) + 1, dtype=np.uint64) * _MIX) >> np.uint64(32)
    found: Array = first + (mixed % votes.astype(np.uint64)).astype(np.int64)
    return found


def _counts(places: Array, doubted: Array, size: int) -> tuple[Array, Array]:
    doubts = np.bincount(places[doubted], minlength=size)
    return np.bincount(places, minlength=size), doubts


def _tail(total: Array, doubts: Array, drawn: Array, found: Array) -> float:
    """P(at least as many as `found` of the `drawn` are doubted), summed over classes of `total` labels with so many `doubts`."""
    mean = drawn * doubts / total
    variance = mean * (1 - doubts / total) * (total - drawn) / np.maximum(total - 1, 1)
    deviation = sqrt(float(variance.sum()))
    excess = float(found.sum() - mean.sum())
    if not deviation:
        return 1.0
    far = (excess - 0.5) / deviation
    if deviation > _EXACT_DEVIATION or far < _NOTICEABLE:
        # A sum of rare events leans to the right, at most as a Poisson variable does.
        return 0.5 * erfc((far - max(0.0, far * far - 1) / (6 * deviation)) / sqrt(2))
    lowest, sums = 0, np.ones(1)
    for one in range(len(total)):
        low, probabilities = _hypergeometric(int(total[one]), int(doubts[one]), int(drawn[one]))
        lowest, sums = lowest + low, np.convolve(sums, probabilities)
    return min(1.0, float(sums[max(0, int(found.sum()) - lowest) :].sum()))


def _hypergeometric(total: int, doubts: int, drawn: int) -> tuple[int, Array]:
    """The smallest number of doubts among the drawn that has a probability, and the probabilities from it on."""
    mean = drawn * doubts / total
    reach = _TAILS * sqrt(mean * (1 - doubts / total) + 1) + _TAILS
    low = max(0, drawn + doubts - total, int(mean - reach))
    high = min(drawn, doubts, int(mean + reach) + 1)
    count = np.arange(low, high, dtype=float)
    steps = np.log((doubts - count) * (drawn - count)) - np.log((count + 1) * (total - doubts - drawn + count + 1))
    logs = np.concatenate([[0.0], np.cumsum(steps)])
    probabilities = np.exp(logs - logs.max())
    return low, probabilities / probabilities.sum()


def _holm(chance: Array, tests: int) -> Array:
    """Each probability corrected for the number of tests."""
    order = np.argsort(chance, kind="stable")
    factors = np.maximum(tests - np.arange(len(chance)), 1)
    found = np.empty(len(chance))
    found[order] = np.minimum(1.0, np.maximum.accumulate(chance[order] * factors))
    return found
