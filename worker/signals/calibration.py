"""Calibration: of labels that are flagged as wrong with probability p, about the share p is wrong.

A job's own probabilities add up to the number of wrong labels that it counts. With trees beside the network they hold as they are
where that number is told: no rule that was fitted to other tables did better (benchmarks/results/calibration.md).

Without trees labels that are right rank among the flagged ones where classes overlap, and the probabilities are too high. How far they
are is told by the share of the labels that predictions contradict which have not seen them, beside the share that the commonest class
alone would leave wrong. Labels that are confused in one direction are wrong more often than the probabilities say.
"""

from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from worker.signals.counts import CountEstimate
from worker.signals.measurements import Answers, Measurements

# Fitted to jobs without trees on the tuned half of the sets of benchmarks.truth, and on parts and projections of them.
# Of the log odds that a flagged label is wrong, with the weights of the log share of contradicted labels and of the
# direction of the errors.
_OFFSET, _SLOPE, _CONTRADICTED, _DIRECTED = -1.07, 0.69, -0.98, 0.70
_SUITS_OFFSET, _SUITS_SLOPE = 0.60, 0.76  # of the log odds that the suggestion for a wrong label is right
_LEAST = 0.02  # share of contradicted labels below which nothing changes any more
_TINY = 1e-6

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """What a job's own probabilities are changed by. `offset`: of the log odds that a flagged label is wrong; None: they stay as they are."""

    offset: float | None

    def wrong(self, probability: Array, flagged: NDArray[np.bool_]) -> Array:
        """The probabilities that labels are wrong.

        What is less likely wrong than all that is flagged keeps its probability, and never exceeds what is flagged.
        """
        if self.offset is None or not flagged.any():
            return probability
        changed = expit(self.offset + _SLOPE * log_odds(probability))
        above = probability >= probability[flagged].min()
        kept: Array = np.where(above, changed, np.minimum(probability, changed[above].min()))
        return kept

    def suits(self, probability: Array) -> Array:
        """The probabilities that suggestions are right where the label is wrong."""
        changed: Array = expit(_SUITS_OFFSET + _SUITS_SLOPE * log_odds(probability))
        return changed


def calibration_of(m: Answers, estimate: CountEstimate, *, recalibrated: bool) -> Calibration | None:
    """The calibration of a job; None where no rule was measured: the number is unknown, or verified samples serve as reference.

    `recalibrated`: reviews tell already how likely labels are wrong.
    """
    if recalibrated:
        return Calibration(None)
    if not isinstance(m, Measurements) or m.trusted is not None or m.unseen is not None or estimate.doubt is not None:
        return None
    return Calibration(None if m.by_trees is not None else offset_without_trees(m))


def offset_without_trees(m: Measurements) -> float:
    """What is added to the log odds that a flagged label is wrong, after their slope, by what the job knows of itself."""
    return _OFFSET + _CONTRADICTED * log(contradicted_share(m)) + _DIRECTED * m.confusion.directed


def contradicted_share(m: Measurements) -> float:
    """Share of the labels that the held-out prediction contradicts, over what the commonest class alone would leave wrong; .02 at least."""
    contradicted = float((m.confusion.held_out > 0).double().mean())
    rest = 1 - float(m.labels.bincount().max()) / len(m.labels)
    return max(contradicted / max(rest, _TINY), _LEAST)


def log_odds(probability: Array) -> Array:
    """The logarithm of p / (1 - p), of p a millionth away from 0 and 1 at least."""
    odds: Array = logit(np.clip(probability, _TINY, 1 - _TINY))
    return odds
