"""Doubts: why a count of wrong labels cannot be told from none.

Without verified samples two things are known. Labels that sure predictions contradict are wrong, as far as the rate of
contradictions no longer falls among the surest. Labels that the best prediction contradicts may be wrong, or their class
overlaps with another. A count is in doubt where the first may be none, and the second are many.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor

LEAST = 0.01  # share of the samples: fewer cannot be told from none by verified samples
_AGREED_LEAST = 0.018  # the same without verified samples
MANY = 0.05  # share of the samples: none or more than these says nothing
_LEARNT = 0.05  # share of the samples without the commonest label that predictions must get right
_BETTER = 0.9  # share of the contradictions by the commonest label that sure predictions must stay below

Cause = Literal[
    "learnt_little",
    "few_samples",
    "overlap",
    "wide",
    "look_alike",
    "none_verified",
    "few_verified",
    "no_features",
    "unlike_verified",
    "all_unlike_verified",
]


@dataclass(frozen=True)
class Doubt:
    """`at_most`: about how many of the samples may be wrong: as many as are predicted otherwise, or as the interval has."""

    cause: Cause
    at_most: int


def doubt_without_verified(
    guesses: Sequence[Float[Tensor, "n c"]], labels: Int[Tensor, " n"], *, least: float, most: float, noise: float
) -> Doubt | None:
    """The doubt in a count by predictions that have not seen the sample's own label; None where it can be told from none.

    `least`, `most`: shares of wrong labels among the surest samples that are not excluded. `noise`: by how much chance
    alone moves the rate of contradictions where none is wrong.
    """
    contradicted = min(float((guess.argmax(1) != labels).double().mean()) for guess in guesses)
    rest = 1 - float(labels.bincount().max()) / len(labels)
    at_most = round(min(max(most, contradicted), 1) * len(labels))
    told = least >= _AGREED_LEAST
    if contradicted > (1 - _LEARNT) * rest and not (told and most < _BETTER * rest):
        # What predicts no class but the commonest contradicts the labels of all others, however sure it is.
        return Doubt("learnt_little", at_most)
    if told or max(most, contradicted) <= MANY:
        return None
    return Doubt("few_samples" if noise > MANY else "overlap", at_most)


def doubt_with_verified(low: int, high: int, samples: int) -> Doubt | None:
    """The doubt in a count by verified samples, whose interval is [low, high]."""
    return Doubt("wide", high) if low < LEAST * samples and high > MANY * samples else None
