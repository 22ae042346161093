"""Audits that are played: a set of samples, what a reviewer would say of each, a ranking, and what happens to them."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from service.audit.draw import choose_batch
from service.audit.log import Log, Members, draws_of
from service.audit.martingale import log_capital_paths
from service.audit.measure import Answer, Measured, game_of, measure, members_of
from service.audit.working_model import WorkingModel, bin_ends, bins_by_rank, cells_of, fit_model

Array = npt.NDArray[Any]

SCORES = ("good", "noisy", "random", "inverted", "constant", "partly blind")
RATES = (0.0, 0.01, 0.05, 0.2, 1.0)


def reviewed(samples: int, rate: float, random: np.random.Generator) -> Array:
    """What a reviewer says of each sample: WRONG of this share, RIGHT of the others."""
    truth = np.full(samples, Answer.RIGHT, np.int8)
    truth[random.choice(samples, round(rate * samples), replace=False)] = Answer.WRONG
    return truth


def scored(truth: Array, kind: str, random: np.random.Generator) -> Array:
    """A score of each sample, of one of the SCORES."""
    wrong, noise = truth == Answer.WRONG, random.normal(size=len(truth))
    seen = wrong & (random.random(len(truth)) < 0.5)
    scores: dict[str, Array] = {
        "good": 4 * wrong + noise,
        "noisy": wrong + noise,
        "random": noise,
        "inverted": -4 * wrong + noise,
        "constant": np.zeros(len(truth)),
        "partly blind": 4 * seen + noise,
    }
    return scores[kind]


def members_in(log: Log, answers: Array, is_member: Array | None, bins: Sequence[Array | None]) -> Members | None:
    """The samples of which this says so, None for all."""
    return None if is_member is None else members_of(log, answers, np.flatnonzero(is_member), bins)


class PlayedAudit:
    """An audit in which everything that may happen is a method."""

    def __init__(self, truth: Array, score: Array, seed: int, opinion: Array | None = None) -> None:
        """`opinion`: what a proxy says of each sample, 0, 1 …"""
        self.opinion = opinion
        self.truth, self.random = truth, np.random.default_rng(seed)
        self.answers = np.full(len(truth), Answer.NONE, np.int8)
        self.is_left = np.ones(len(truth), bool)
        self.rows: list[int] = []
        self.places: list[int] = []
        self.drawn: list[bool] = []
        self.models: list[WorkingModel] = []
        self.rankings: list[Array] = []
        self.rank_by(score)

    def rank_by(self, score: Array) -> None:
        """Take another ranking, with its own bins and model."""
        self.order = np.argsort(-score, kind="stable")
        self.bins = np.empty(len(score), np.int64)
        self.bins[self.order] = bins_by_rank(len(score))
        if self.opinion is not None:
            self.bins = cells_of(self.bins, self.opinion, len(score))
        self.fit()

    def fit(self) -> None:
        """Fit the working model on the answers so far."""
        width = len(bin_ends(len(self.truth))) * (1 if self.opinion is None else int(self.opinion.max()) + 1)
        chosen = (self.answers != Answer.NONE, self.answers == Answer.WRONG, self.is_left)
        reviewed, wrong, left = (np.bincount(self.bins[one], minlength=width) for one in chosen)
        self.models.append(fit_model(len(self.rows), reviewed, wrong, left, len(self.truth)))
        self.rankings.append(self.bins)

    def draw(self, count: int, listed_share: float = 0.0) -> Sequence[int]:
        """Hand out a batch; nobody has answered yet."""
        cells = None if self.opinion is None else self.bins
        batch = choose_batch(self.models[-1], self.order, self.is_left, count, listed_share, self.random, cells)
        self.log_entries([item.row for item in batch], [item.is_drawn for item in batch])
        return [item.row for item in batch]

    def log_entries(self, rows: Iterable[int], drawn: Iterable[bool]) -> None:
        """Note that these samples leave, in this order."""
        for row, is_drawn in zip(rows, drawn, strict=True):
            self.rows.append(row)
            self.places.append(int(self.bins[row]))
            self.drawn.append(is_drawn)
            self.is_left[row] = False

    def answer(self, rows: Iterable[int]) -> None:
        """Have the reviewer answer these."""
        rows = list(rows)
        self.answers[rows] = self.truth[rows]

    def review_outside(self, rows: Iterable[int]) -> None:
        """Have the reviewer answer, without the audit, those of these samples that are left."""
        left = [row for row in dict.fromkeys(rows) if self.is_left[row]]
        self.log_entries(left, [False] * len(left))
        self.answer(left)

    def play(self, reviews: int, batch: int = 10, listed_share: float = 0.0) -> None:
        """Draw, answer and fit until there are so many reviews in all."""
        while len(self.rows) < min(reviews, len(self.truth)):
            self.answer(self.draw(min(batch, reviews - len(self.rows)), listed_share))
            self.fit()

    @property
    def log(self) -> Log:
        """The log as the engine takes it."""
        return Log(np.array(self.rows, int), np.array(self.places, int), np.array(self.drawn, bool), list(self.models))

    @property
    def wrong(self) -> int:
        """How many labels the reviewer would call wrong."""
        return int((self.truth == Answer.WRONG).sum())

    def measure(self, is_member: Array | None = None, level: float = 0.95) -> Measured:
        """What the engine says now."""
        return measure(self.log, self.answers, level, self.members(is_member))

    def members(self, is_member: Array | None) -> Members | None:
        """These samples, as the engine takes them."""
        return members_in(self.log, self.answers, is_member, self.rankings)

    def capital_paths(self, total: float, is_member: Array | None = None) -> tuple[Array, Array]:
        """Logarithm of the capital against more and against fewer after each draw, by the answers of now."""
        log = self.log
        members = self.members(is_member)
        draws = draws_of(log, members)
        most, least = (game_of(log, draws, self.answers, assumed, members) for assumed in (1.0, 0.0))
        return log_capital_paths(most, np.array([total]))[0][:, 0], log_capital_paths(least, np.array([total]))[1][:, 0]

    def highest_capital(self, is_member: Array | None = None) -> tuple[float, float]:
        """Logarithm of the most capital against the truth at any moment, of the interval and of the bound."""
        wrong = self.truth == Answer.WRONG
        more, fewer = self.capital_paths(float(wrong.sum() if is_member is None else wrong[is_member].sum()), is_member)
        both = np.logaddexp(more, fewer) - np.log(2)
        return float(both.max(initial=0)), float(more.max(initial=0))

    @property
    def capitals_now(self) -> Array:
        """Logarithm of the capital against the truth, of the interval and of the bound, by the answers of now."""
        more, fewer = (path[-1:] for path in self.capital_paths(float(self.wrong)))
        return np.append(np.logaddexp(more, fewer) - np.log(2), more)


def holds(measured: Measured, wrong: int) -> tuple[bool, bool]:
    """Whether the interval and the bound hold."""
    return measured.low <= wrong <= measured.high, wrong <= measured.at_most
