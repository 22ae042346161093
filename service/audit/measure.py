"""Measured numbers of wrong labels: intervals, a bound, an estimate, from the log of an audit and the answers given so far."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from service.audit.log import Draws, Log, draws_of
from service.audit.martingale import Game, at_most, interval

Array = npt.NDArray[Any]
_DECIMALS = 9


class Answer(IntEnum):
    """What reviewers said of a label. NONE: nothing yet. PLAUSIBLE: not what they would say, and not wrong."""

    NONE = -1
    RIGHT = 0
    WRONG = 1
    UNSURE = 2
    PLAUSIBLE = 3


@dataclass(frozen=True)
class Measured:
    """Numbers of wrong labels in a set of samples, by what reviewers said or would say.

    The interval [low, high] holds at the level at every moment at once, `at_most` likewise by itself. `estimate` has no bias
    but for what it takes to keep it possible; without an answer to a draw it is None.
    """

    samples: int
    found: int
    unsure: int
    plausible: int
    reviewed: int
    drawn: int
    estimate: float | None
    low: int
    high: int
    at_most: int

    @property
    def left(self) -> int:
        """Samples without a review."""
        return self.samples - self.reviewed

    @property
    def remaining_at_most(self) -> int:
        """Wrong labels among the samples without a review, at most."""
        return self.at_most - self.found

    @property
    def recall_at_least(self) -> float | None:
        """Share of the wrong labels that were found, at least; None while none was found and some may be left."""
        if self.at_most == 0:
            return 1.0
        return self.found / self.at_most if self.found else None


def measure(
    log: Log,
    answers: Array,
    level: float,
    is_member: Array | None = None,
    bins: Sequence[Array | None] = (),
    *,
    unsure_is_unknown: bool = False,
    draws: Draws | None = None,
) -> Measured:
    """Measure the samples of a set, or all, by `answers`: an Answer of each of the n samples, those outside the log included.

    `draws` are those of the log and the set where they are known, see `draws_of`: they do not depend on the answers.
    """
    draws = draws_of(log, is_member, bins) if draws is None else draws
    mine = answers if is_member is None else answers[np.flatnonzero(is_member)]
    unknown = (Answer.NONE, Answer.UNSURE) if unsure_is_unknown else (Answer.NONE,)
    most, least = (game_of(log, draws, answers, assumed, is_member, unknown) for assumed in (1.0, 0.0))
    found, unsure, plausible, none = (
        int(np.count_nonzero(mine == one)) for one in (Answer.WRONG, Answer.UNSURE, Answer.PLAUSIBLE, Answer.NONE)
    )
    reviewed = len(mine) - none
    open_ones = len(mine) - reviewed + (unsure if unsure_is_unknown else 0)
    low, high = found, found + open_ones
    if not len(most):
        return Measured(len(mine), found, unsure, plausible, reviewed, 0, None, low, high, high)
    estimate = min(max(mean_estimate(log, draws, answers, is_member, unknown), low), high)
    ends = interval(most, least, low, high, level, estimate)
    bound = at_most(most, low, high, level, estimate)
    drawn = int(np.count_nonzero(answers[log.row[draws.entry]] != Answer.NONE))
    return Measured(len(mine), found, unsure, plausible, reviewed, drawn, estimate, *ends, bound)


def game_of(
    log: Log,
    draws: Draws,
    answers: Array,
    assumed: float,
    is_member: Array | None = None,
    unknown: Sequence[Answer] = (Answer.NONE,),
) -> Game:
    """The draws up to the last that was answered. An `unknown` answer among them is `assumed`: 1 is wrong, 0 right.

    The draws are the same whichever answers are unknown: fewer of them could refute more, by chance.
    """
    told = answers[log.row]
    answered = np.flatnonzero(told[draws.entry] != Answer.NONE)
    used = int(answered[-1]) + 1 if len(answered) else 0
    entry = draws.entry[:used]
    wrong = np.where(np.isin(told, unknown), assumed, told == Answer.WRONG)
    expected = draws.expected[:used]
    return Game(
        found=_before(wrong, is_member, log)[entry],
        estimate=expected + (wrong[entry] - draws.probability[:used]) / draws.chance[:used],
        expected=expected,
        lowest=draws.lowest[:used],
        highest=draws.highest[:used],
        variance=draws.variance[:used],
    )


def mean_estimate(
    log: Log,
    draws: Draws,
    answers: Array,
    is_member: Array | None = None,
    unknown: Sequence[Answer] = (Answer.NONE,),
) -> float:
    """Mean of what each answered draw says of the number of wrong labels; at least one draw has an answer.

    Without bias if no answer is `unknown` before the last; an unknown one counts as the model expects.
    """
    told = answers[log.row]
    answered = told[draws.entry] != Answer.NONE
    entry, chance = draws.entry[answered], draws.chance[answered]
    wrong = np.where(np.isin(told, unknown), log.probability, told == Answer.WRONG)
    found = _before(wrong, is_member, log)[entry]
    # Rounded, so that nothing found is no 1e-15 of a label.
    told_by = found + draws.expected[answered] + (wrong[entry] - draws.probability[answered]) / chance
    return round(float(told_by.mean()), _DECIMALS)


def _before(wrong: Array, is_member: Array | None, log: Log) -> Array:
    """Wrong labels of the set among the entries before each."""
    counted = wrong if is_member is None else wrong * is_member[log.row]
    return np.concatenate([[0.0], np.cumsum(counted)[:-1]])
