"""What an audit promises over many runs: intervals hold, whatever the ranking, the reviewer and the way that people work."""

import itertools

import numpy as np
import pytest
from scipy.stats import binom

from service.audit.goal import Goal, listed_share, progress_of
from service.audit.log import draws_of
from service.audit.measure import Answer, mean_estimate
from tests.unit.audit.played_audits import RATES, SCORES, Array, PlayedAudit, holds, reviewed, scored

LIMIT = np.log(20)  # of the logarithm of the capital, at 95 %
SAMPLES, REVIEWS, SEEDS = 160, 60, 16
SURE = 1 - 1e-4  # that a test of a law that holds passes


def allowed(runs: int, rate: float = 0.05) -> int:
    """Failures in so many runs that are still chance, where one fails at this rate."""
    return int(binom.ppf(SURE, runs, rate))


def begun(kind: str, rate: float, seed: int, samples: int = SAMPLES) -> PlayedAudit:
    random = np.random.default_rng([seed, SCORES.index(kind), RATES.index(rate)])
    truth = reviewed(samples, rate, random)
    return PlayedAudit(truth, scored(truth, kind, random), seed)


@pytest.mark.parametrize("kind", SCORES)
def test_intervals_and_bounds_hold_at_every_moment(kind: str) -> None:
    failed = {rate: np.zeros(2, int) for rate in RATES}
    for rate, seed in itertools.product(RATES, range(SEEDS)):
        audit = begun(kind, rate, seed)
        audit.play(REVIEWS, listed_share=0.2 * (seed % 2))
        failed[rate] += np.array(audit.highest_capital()) >= LIMIT
        # At the last moment capital and interval say the same.
        if seed < 4:
            assert holds(audit.measure(), audit.wrong) == tuple(audit.capitals_now < LIMIT)
    assert all((count <= allowed(SEEDS)).all() for count in failed.values()), failed
    assert (np.sum(list(failed.values()), axis=0) <= allowed(SEEDS * len(RATES))).all()


@pytest.mark.parametrize("kind", SCORES)
def test_intervals_hold_whatever_happens_in_between(kind: str) -> None:
    failed = {rate: np.zeros(2, int) for rate in RATES}
    for rate, seed in itertools.product(RATES, range(SEEDS)):
        failed[rate] += work(begun(kind, rate, seed), stubborn=bool(seed % 2))
    assert all((count <= allowed(SEEDS)).all() for count in failed.values()), failed
    assert (np.sum(list(failed.values()), axis=0) <= allowed(SEEDS * len(RATES))).all()


def work(audit: PlayedAudit, *, stubborn: bool) -> Array:
    """Whether interval and bound fail at some moment of an audit with everything that people do.

    A stubborn reviewer never answers what is hard to answer, and these are more often wrong.
    """
    random, samples, failed = audit.random, len(audit.truth), np.zeros(2, bool)
    audit.truth[random.random(samples) < 0.05] = Answer.UNSURE
    audit.truth[random.random(samples) < 0.05] = Answer.PLAUSIBLE
    hard = random.random(samples) < np.where(audit.truth == Answer.WRONG, 0.3, 0.1)
    late: list[int] = []
    for turn in range(6):
        audit.review_outside(audit.order[turn * 3 : turn * 3 + 2])  # picked by hand from the top
        audit.review_outside(random.integers(samples, size=1).tolist())  # removed somewhere else
        batch = audit.draw(8, 0.25)
        audit.answer(row for row in batch if not hard[row])
        for row in late:  # answered a batch later, after a mistake was taken back
            audit.answers[row] = Answer.RIGHT if audit.truth[row] == Answer.WRONG else Answer.WRONG
        audit.fit()
        audit.answer(late)
        late = [] if stubborn else [row for row in batch if hard[row]]
        if turn == 2:
            audit.rank_by(random.normal(size=samples) + 2 * (audit.truth == Answer.WRONG))
        failed |= audit.capitals_now >= LIMIT
    return failed


@pytest.mark.parametrize("chosen", ["class", "top"])
def test_intervals_of_subsets_hold(chosen: str) -> None:
    failed, runs = np.zeros(2, int), 0
    for kind, rate, seed in itertools.product(("good", "random", "partly blind"), (0.05, 0.2), range(12)):
        audit = begun(kind, rate, seed, 240)
        is_member = np.zeros(240, bool)
        is_member[np.arange(240) % 3 == 0 if chosen == "class" else audit.order[:50]] = True
        audit.play(40, listed_share=0.2)
        audit.review_outside(audit.order[20:24])
        audit.rank_by(scored(audit.truth, "noisy", audit.random))
        audit.play(80)
        failed += np.array(audit.highest_capital(is_member)) >= LIMIT
        measured = audit.measure(is_member)
        assert measured.samples == is_member.sum()
        assert measured.drawn == sum(
            is_member[row] for row, drawn in zip(audit.rows, audit.drawn, strict=True) if drawn
        )
        runs += 1
    assert (failed <= allowed(runs)).all()


@pytest.mark.parametrize("kind", ["good", "inverted", "constant"])
def test_capital_against_the_truth_does_not_grow(kind: str) -> None:
    capitals = []
    for seed in range(100):
        audit = begun(kind, 0.05, seed)
        audit.play(30, batch=6)
        more, fewer = audit.capital_paths(float(audit.wrong))
        capitals.append(np.exp([more, fewer]))
    every = np.array(capitals)
    error = every.std(axis=0) / np.sqrt(len(every))
    assert (every.mean(axis=0) <= 1 + 4 * error).all()


@pytest.mark.parametrize("kind", ["good", "constant"])
def test_the_estimate_has_no_bias(kind: str) -> None:
    off = []
    for seed in range(100):
        audit = begun(kind, 0.2, seed)
        audit.review_outside(audit.order[:3])
        audit.play(40, listed_share=0.2)
        log = audit.log
        off.append(mean_estimate(log, draws_of(log), audit.answers) - audit.wrong)
    assert abs(np.mean(off)) <= 3.9 * np.std(off) / np.sqrt(len(off))


@pytest.mark.parametrize(("kind", "rate"), [("good", 0.05), ("noisy", 0.2), ("partly blind", 0.2), ("random", 0.05)])
def test_a_share_said_to_be_found_is_found(kind: str, rate: float) -> None:
    goal, failed, runs = Goal("recall", 0.8), 0, 6
    for seed in range(runs):
        audit = begun(kind, rate, seed)
        measured = audit.measure()
        while not progress_of(goal, measured).reached:
            expected = float(
                np.bincount(audit.bins[audit.is_left], minlength=len(audit.models[-1].left))
                @ audit.models[-1].probability
            )
            audit.answer(audit.draw(10, listed_share(goal, measured, expected)))
            audit.fit()
            measured = audit.measure()
        failed += measured.found < 0.8 * audit.wrong
    assert failed <= allowed(runs)
