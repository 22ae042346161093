"""Working model: the probability that a label is wrong, by its place in a ranking.

It decides which samples are drawn and how narrow the intervals are. An interval holds also where the model is wrong.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_FIRST, _GROWTH, _MOST = 20, 1.25, 40  # ranks in the first bin, growth of the next, number of bins
_INTERCEPT, _SLOPE = (-4.5, 2.0), (1.0, 1.0)  # mean and standard deviation of the prior
_HEIGHT = (
    0.0,
    2.0,
)  # likewise of what each further opinion of a proxy adds: nobody knows beforehand which way it speaks
_PSEUDO = 3.0  # reviews that the smooth curve counts for in each bin
_LEAST = 1e-5
_STEPS = 30
_HUNTED = 0.3  # most of the draws that go to the likeliest samples


@dataclass(frozen=True)
class WorkingModel:
    """Probabilities of B bins of ranks, and how draws are made of them; both hold from log entry `first` on.

    A sample of bin b is drawn with probability `weight[b]`, divided by the sum of the weights of all samples that are left.
    """

    first: int
    probability: Array  # float B, within (0, 1), falling over the bins of one opinion
    weight: Array  # float B, positive
    left: Array  # int B: samples without a review when the model was made


@lru_cache(maxsize=64)
def bin_ends(samples: int) -> Array:
    """The rank after the last of each bin: 20 ranks, then a quarter more each; the last bin has the rest."""
    ends: list[int] = []
    end, size = 0, float(_FIRST)
    while end < samples and len(ends) < _MOST - 1:
        end = min(samples, end + round(size))
        ends.append(end)
        size *= _GROWTH
    if end < samples:
        ends.append(samples)
    found = np.array(ends, np.int64)
    found.setflags(write=False)  # it is kept and given again
    return found


def bins_by_rank(samples: int) -> Array:
    """The bin of each rank: int8 n."""
    ends = bin_ends(samples)
    return np.repeat(np.arange(len(ends), dtype=np.int8), np.diff(ends, prepend=0))


def cells_of(bins: Array, opinion: Array, samples: int) -> Array:
    """Cell of each sample by its bin and by the opinion of a proxy about its label, 0, 1 … (int n): numbers of bins to draw by.

    A proxy is any judge that has an opinion on every label before it is reviewed: a second annotator, another model. The working
    model learns from the reviews what an opinion is worth. One that misleads costs reviews; it cannot make an interval wrong.
    """
    cells: Array = opinion.astype(np.int64) * len(bin_ends(samples)) + bins
    return cells


def fit_model(first: int, reviewed: Array, wrong: Array, left: Array, samples: int) -> WorkingModel:
    """The model after `reviewed` reviews in each bin, `wrong` of which found an error.

    A logistic curve in the logarithm of the rank with a prior, to which each bin is shrunk, made to fall with the rank. With the cells
    of a proxy, counts of one opinion after the other, each opinion has its own height of the curve, and falls by itself.
    """
    bins = len(bin_ends(samples))
    seen, hits = (one.astype(float).reshape(-1, bins) for one in (reviewed, wrong))
    probability = _probability(seen, hits, samples)
    return WorkingModel(first, probability, _weight(probability, left), left)


def _probability(reviewed: Array, wrong: Array, samples: int) -> Array:
    """Of counts by opinion and bin: float B of all cells, one opinion after the other."""
    ends = bin_ends(samples)
    middle = ends - np.diff(ends, prepend=0) / 2 + 0.5
    place = -np.log(middle / max(samples, 1))
    smooth = _curve(place, reviewed, wrong)
    shrunk = (wrong + _PSEUDO * smooth) / (reviewed + _PSEUDO)
    falling = [_falling(*one) for one in zip(shrunk, reviewed + _PSEUDO, strict=True)]
    probability: Array = np.clip(np.concatenate(falling), _LEAST, 1 - _LEAST)
    return probability


def _curve(place: Array, reviewed: Array, wrong: Array) -> Array:
    """Ridge-logistic regression of the share of wrong labels on opinion and place, by Newton's method."""
    opinions = len(reviewed)
    heights = np.repeat(np.eye(opinions)[:, 1:], len(place), axis=0)
    places = np.tile(place, opinions)
    inputs = np.column_stack([np.ones_like(places), places, heights])
    mean = np.array([_INTERCEPT[0], _SLOPE[0], *[_HEIGHT[0]] * (opinions - 1)])
    precision = np.diag([_INTERCEPT[1] ** -2, _SLOPE[1] ** -2, *[_HEIGHT[1] ** -2] * (opinions - 1)])
    seen, hits = reviewed.ravel(), wrong.ravel()
    found = mean.copy()
    for _ in range(_STEPS):
        share = _logistic(inputs @ found)
        slope = inputs.T @ (hits - seen * share) - precision @ (found - mean)
        curvature = (inputs * (seen * share * (1 - share))[:, None]).T @ inputs + precision
        step = np.linalg.solve(curvature, slope)
        found += np.maximum(np.minimum(step, 1), -1)
        if np.abs(step).max() < 1e-9:
            break
    curve: Array = _logistic(inputs @ found).reshape(reviewed.shape)
    return curve


def _logistic(values: Array) -> Array:
    share: Array = 1 / (1 + np.exp(np.maximum(np.minimum(-values, 30), -30)))
    return share


def _falling(values: Array, weights: Array) -> Array:
    """The nearest values that never rise, by pooling adjacent violators."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        pool = (value, weight, 1)
        while pools and pools[-1][0] < pool[0]:
            before = pools.pop()
            total = before[1] + pool[1]
            pool = ((before[0] * before[1] + pool[0] * pool[1]) / total, total, before[2] + pool[2])
        pools.append(pool)
    falling: Array = np.repeat([pool[0] for pool in pools], [pool[2] for pool in pools])
    return falling


def _weight(probability: Array, left: Array) -> Array:
    """Weight of one sample of each bin: mostly by the spread of its answer, the rest for samples that are likely wrong."""
    spread = 1 + 4 * np.sqrt(probability * (1 - probability))
    likely = probability**2
    hunted = _HUNTED * min(1.0, float((left * probability**3).sum() / max((left * likely).sum(), 1e-300)) / _HUNTED)
    total = max(float((left * spread).sum()), 1e-300)
    weight: Array = (1 - hunted) * spread / total + hunted * likely / max(float((left * likely).sum()), 1e-300)
    return weight
