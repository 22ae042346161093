"""Goals of an audit, whether they are reached, and about how many reviews they still take."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from service.audit.measure import Measured

Array = npt.NDArray[Any]
GoalKind = Literal["measure", "recall", "remaining", "accept"]

_CLOSE, _CLOSE_OF_ALL = 0.25, 0.005  # half-width of an interval that is narrow enough: of the estimate, of the samples
_LISTED = 0.8  # share of a batch that is not drawn but listed, while more errors are to be found
_TRIES = 60
# Power of the ratio of draws by which the distance of a bound from the expectation falls. Draws alone give 1; they also become better
# chosen, and 1.5 fits the simulated audits of the tests.
_SHRINKING = 1.5


@dataclass(frozen=True)
class Goal:
    """measure: a narrow interval. recall: this share of the wrong labels found. remaining, accept: at most this share wrong."""

    kind: GoalKind
    value: float | None = None

    @property
    def text(self) -> str:
        """As it is written: recall:0.9."""
        return self.kind if self.value is None else f"{self.kind}:{self.value:g}"


@dataclass(frozen=True)
class GoalProgress:
    """Whether a goal is reached, by the bounds; for `accept` also whether it is out of reach, because more is wrong."""

    reached: bool
    refused: bool = False


def progress_of(goal: Goal, measured: Measured) -> GoalProgress:
    """Whether a goal is reached. It was then reached with the confidence of the bounds, however often one has looked."""
    match goal.kind, goal.value or 0.0:
        case "recall", share:
            return GoalProgress(measured.found >= share * measured.at_most)
        case "remaining", share:
            return GoalProgress(measured.remaining_at_most <= share * measured.left)
        case "accept", share:
            return GoalProgress(measured.at_most <= share * measured.samples, measured.low > share * measured.samples)
        case _:
            wide = (measured.high - measured.low) / 2
            close = max(_CLOSE * (measured.estimate or 0), _CLOSE_OF_ALL * measured.samples)
            return GoalProgress(wide <= close)


def listed_share(goal: Goal, measured: Measured, expected_left: float) -> float:
    """Share of the next batch that is shown by its place in the ranking: 0.8 while the model expects that errors are to be found."""
    share = goal.value or 0.0
    if goal.kind == "recall":
        enough = measured.found >= share * (measured.found + expected_left)
    elif goal.kind == "remaining":
        enough = expected_left <= share * measured.left
    else:
        return 0.0
    return 1 - _LISTED if enough else _LISTED


def expected_wrong(left: Array, probability: Array, first: Array) -> Array:
    """Wrong labels that are expected among the first 0, 1 … samples without a review: float, as many as `first` (int) has.

    The samples come in bands, the likeliest first: `left` samples of each (int B), of which each is wrong with `probability` (float B).
    """
    ends, sums = (np.concatenate([[0.0], np.cumsum(one)]) for one in (left, left * probability))
    found: Array = np.interp(first, ends, sums)
    return found


def expected_more_reviews(goal: Goal, measured: Measured, left: Array, probability: Array) -> int | None:
    """About how many reviews are still to come, by the working model; None where it does not expect to reach the goal.

    `left` and `probability` by bands, as in `expected_wrong`. An expectation, not a promise.
    """
    if progress_of(goal, measured).reached:
        return 0
    samples, expected = int(left.sum()), float((left * probability).sum())
    share = listed_share(goal, measured, expected)
    tried = np.unique(np.round(np.geomspace(1, max(samples, 1), _TRIES)).astype(int))
    found = expected_wrong(left, probability, (tried * share).astype(int))
    above = {name: max(0.0, getattr(measured, name) - measured.found - expected) for name in ("high", "at_most")}
    for more, hits in zip(tried.tolist(), found.tolist(), strict=True):
        drawn = measured.drawn + more - int(more * share)
        rest = expected - hits
        # Without a surprise a bound lies above what is expected by three errors in as many samples as were drawn.
        slack = 3 * (samples - more) / max(drawn, 1) * 0.5 + 1.5 * np.sqrt(rest * (samples - more) / max(drawn, 1))
        # The model may expect too few errors. So the present distance of a bound falls only as the number of draws grows.
        shrunk = (measured.drawn / max(drawn, 1) * max(samples - more, 0) / max(samples, 1)) ** _SHRINKING
        bounds = {
            name: int(measured.found + hits + min(rest + max(slack, wide * shrunk), samples - more))
            for name, wide in above.items()
        }
        projected = Measured(
            samples=measured.samples,
            found=int(measured.found + hits),
            unsure=measured.unsure,
            plausible=measured.plausible,
            reviewed=measured.reviewed + more,
            drawn=drawn,
            estimate=measured.found + expected,
            low=int(measured.found + hits + max(0.0, rest - slack)),
            **bounds,
        )
        if progress_of(goal, projected).reached:
            return int(more)
    return None
