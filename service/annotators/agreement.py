"""Agreement of annotators on samples that several of them labelled."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from service.annotators.samples import numbered

Array = npt.NDArray[Any]
_MOST_PAIRS = 2**22


@dataclass(frozen=True)
class Agreement:
    """Agreement on samples with two votes and more.

    By annotator: the number of such `samples`, the mean `share` of the other votes on them that are the same, and Cohen's kappa of
    the annotator and the others (`corrected`: 0 is what chance gives, 1 is full agreement). NaN where there is none. Over all:
    the same, with Krippendorff's alpha for nominal data (Hayes and Krippendorff 2007) as `all_corrected`. More than 4 million pairs
    of an annotator and a class are not compared with chance.
    """

    samples: Array
    share: Array
    corrected: Array
    all_samples: int
    all_share: float
    all_corrected: float


def agreement_of(sample: Array, annotator: Array, label: Array, annotators: int, classes: int) -> Agreement:
    """The agreement of so many annotators. Memory: 40 bytes a vote and class that its sample was given."""
    place = numbered(sample)
    votes = np.bincount(place)[place]
    shared = votes > 1
    who, said, others = annotator[shared].astype(np.int64), label[shared].astype(np.int64), votes[shared] - 1
    place = numbered(sample[shared])
    # One row for each sample and class that it was given.
    codes, row, given = np.unique(place * classes + said, return_inverse=True, return_counts=True)
    same = (given[row] - 1) / others
    counts = np.bincount(who, minlength=annotators)
    total = int(counts.sum())
    by_class = np.bincount(said, minlength=classes)
    by_chance = float((by_class * (by_class - 1)).sum() / (total * (total - 1))) if total else np.nan
    share = _ratio(np.bincount(who, same, annotators), counts)
    all_share = float(same.mean()) if total else np.nan
    return Agreement(
        samples=counts,
        share=share,
        corrected=_corrected(share, _by_chance(who, said, place, others, codes, given, annotators, classes)),
        all_samples=int(place.max(initial=-1)) + 1,
        all_share=all_share,
        all_corrected=float(_corrected(np.array([all_share]), np.array([by_chance]))[0]),
    )


def _by_chance(
    who: Array,
    said: Array,
    place: Array,
    others: Array,
    codes: Array,
    given: Array,
    annotators: int,
    classes: int,
) -> Array:
    """The agreement of each annotator that chance would give, by how often they and the others on their samples name each class."""
    if annotators * classes > _MOST_PAIRS:
        return np.full(annotators, np.nan)
    first = np.searchsorted(codes // classes, np.arange(place.max(initial=-1) + 2))
    width = np.diff(first)[place]  # classes that the sample of each vote was given
    vote = np.repeat(np.arange(len(who)), width)
    row = first[place][vote] + np.arange(len(vote)) - np.repeat(np.cumsum(width) - width, width)
    named = codes[row] % classes
    weight = (given[row] - (named == said[vote])) / others[vote]
    shape, size = (annotators, classes), annotators * classes
    own = np.bincount(who * classes + said, minlength=size).reshape(shape)
    theirs = np.bincount(who[vote] * classes + named, weight, size).reshape(shape)
    return _ratio((own * theirs).sum(1), np.bincount(who, minlength=annotators) ** 2)


def _corrected(share: Array, by_chance: Array) -> Array:
    return _ratio(share - by_chance, 1 - by_chance)


def _ratio(above: Array, below: Array) -> Array:
    """The quotient; NaN where there is nothing to divide by."""
    found: Array = np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
    return found
