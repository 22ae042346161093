"""Measured numbers of wrong labels: intervals, a bound, an estimate, from the log of an audit and the answers given so far."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from service.audit.log import Draws, Log, Members, draws_of
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


def members_of(log: Log, answers: Array, rows: Array, bins: Sequence[Array | None]) -> Members:
    """The samples in these rows, each named once; for `bins` see Members."""
    counted = [
        None if one is None else np.bincount(one[rows], minlength=len(model.left))
        for model, one in zip(log.models, bins, strict=True)
    ]
    is_member = np.zeros(len(answers), bool)
    is_member[rows] = True
    return Members(is_member[log.row], _by_answer(answers[rows]), counted, bins)


def sizes_of(part: Array, count: int, bins: Array, width: int) -> Array:
    """How many samples of each of `count` parts (int n) are in each of `width` bins: int count x width, in one pass."""
    cells = np.multiply(part, width, dtype=np.int64)
    cells += bins
    return np.bincount(cells, minlength=count * width).reshape(count, width)


def parts_of(
    log: Log, answers: Array, part: Array, bins: Sequence[Array | None], sizes: Sequence[Array | None], count: int
) -> list[Members]:
    """The parts 0, 1 … into which `part` (int n) divides all samples; `sizes` has those of `sizes_of` for each model."""
    answered = np.flatnonzero(answers != Answer.NONE)
    kinds = part[answered].astype(np.int64) * len(Answer) + (answers[answered] - Answer.NONE)
    by_answer = np.bincount(kinds, minlength=count * len(Answer)).reshape(count, len(Answer))
    known = next((one for one in sizes if one is not None), None)
    every = np.bincount(part, minlength=count) if known is None else known.sum(axis=1)
    by_answer[:, 0] = every - by_answer.sum(axis=1)
    logged = part[log.row]
    return [
        Members(logged == place, by_answer[place], [None if one is None else one[place] for one in sizes], bins)
        for place in range(count)
    ]


def _by_answer(answers: Array) -> Array:
    told = answers[answers != Answer.NONE]
    found = np.bincount(told - Answer.NONE, minlength=len(Answer))
    found[0] = len(answers) - len(told)
    return found


def measure(
    log: Log,
    answers: Array,
    level: float,
    members: Members | None = None,
    *,
    unsure_is_unknown: bool = False,
    draws: Draws | None = None,
) -> Measured:
    """Measure the samples of a set, or all, by `answers`: an Answer of each of the n samples, those outside the log included.

    `draws` are those of the log and the set where they are known, see `draws_of`: they do not depend on the answers.
    """
    draws = draws_of(log, members) if draws is None else draws
    by_answer = _by_answer(answers) if members is None else members.by_answer
    unknown = (Answer.NONE, Answer.UNSURE) if unsure_is_unknown else (Answer.NONE,)
    most, least = (game_of(log, draws, answers, assumed, members, unknown) for assumed in (1.0, 0.0))
    found, unsure, plausible, none = (
        int(by_answer[one - Answer.NONE]) for one in (Answer.WRONG, Answer.UNSURE, Answer.PLAUSIBLE, Answer.NONE)
    )
    samples = int(by_answer.sum())
    reviewed = samples - none
    open_ones = none + (unsure if unsure_is_unknown else 0)
    low, high = found, found + open_ones
    if not len(most):
        return Measured(samples, found, unsure, plausible, reviewed, 0, None, low, high, high)
    estimate = min(max(mean_estimate(log, draws, answers, members, unknown), low), high)
    ends = interval(most, least, low, high, level, estimate)
    bound = at_most(most, low, high, level, estimate)
    drawn = int(np.count_nonzero(answers[log.row[draws.entry]] != Answer.NONE))
    return Measured(samples, found, unsure, plausible, reviewed, drawn, estimate, *ends, bound)


def game_of(
    log: Log,
    draws: Draws,
    answers: Array,
    assumed: float,
    members: Members | None = None,
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
        found=_before(wrong, members)[entry],
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
    members: Members | None = None,
    unknown: Sequence[Answer] = (Answer.NONE,),
) -> float:
    """Mean of what each answered draw says of the number of wrong labels; at least one draw has an answer.

    Without bias if no answer is `unknown` before the last; an unknown one counts as the model expects.
    """
    told = answers[log.row]
    answered = told[draws.entry] != Answer.NONE
    entry, chance = draws.entry[answered], draws.chance[answered]
    wrong = np.where(np.isin(told, unknown), log.probability, told == Answer.WRONG)
    found = _before(wrong, members)[entry]
    # Rounded, so that nothing found is no 1e-15 of a label.
    told_by = found + draws.expected[answered] + (wrong[entry] - draws.probability[answered]) / chance
    return round(float(told_by.mean()), _DECIMALS)


def _before(wrong: Array, members: Members | None) -> Array:
    """Wrong labels of the set among the entries before each."""
    counted = wrong if members is None else wrong * members.is_logged
    return np.concatenate([[0.0], np.cumsum(counted)[:-1]])
