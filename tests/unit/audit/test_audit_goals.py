"""Goals of an audit: when they are reached, and what they are expected to take."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.audit.goal import Goal, GoalProgress, expected_more_reviews, expected_wrong, listed_share, progress_of
from service.audit.measure import Measured
from tests.unit.audit.played_audits import Array, PlayedAudit, reviewed, scored

MEASURED = Measured(
    samples=1000,
    found=40,
    unsure=0,
    plausible=0,
    reviewed=200,
    drawn=100,
    estimate=50.0,
    low=45,
    high=60,
    at_most=50,
)


def told(**numbers: Any) -> Measured:
    return replace(MEASURED, **numbers)


@pytest.mark.parametrize(
    ("goal", "numbers", "progress"),
    [
        (Goal("recall", 0.8), {"found": 40, "at_most": 50}, GoalProgress(reached=True)),
        (Goal("recall", 0.8), {"found": 40, "at_most": 51}, GoalProgress(reached=False)),
        (Goal("recall", 0.8), {"found": 0, "at_most": 0}, GoalProgress(reached=True)),
        (Goal("recall", 0.8), {"found": 0, "at_most": 1}, GoalProgress(reached=False)),
        (Goal("remaining", 0.01), {"found": 40, "at_most": 48}, GoalProgress(reached=True)),
        (Goal("remaining", 0.01), {"found": 40, "at_most": 49}, GoalProgress(reached=False)),
        (Goal("remaining", 0.01), {"found": 40, "at_most": 40, "reviewed": 1000}, GoalProgress(reached=True)),
        (Goal("accept", 0.05), {"at_most": 50}, GoalProgress(reached=True)),
        (Goal("accept", 0.05), {"at_most": 51}, GoalProgress(reached=False)),
        (Goal("accept", 0.04), {"low": 41, "at_most": 60}, GoalProgress(reached=False, refused=True)),
        (Goal("accept", 0.04), {"low": 40, "at_most": 60}, GoalProgress(reached=False)),
        (Goal("measure"), {"low": 40, "high": 65, "estimate": 50.0}, GoalProgress(reached=True)),
        (Goal("measure"), {"low": 39, "high": 65, "estimate": 50.0}, GoalProgress(reached=False)),
        (Goal("measure"), {"low": 0, "high": 10, "estimate": 2.0, "found": 0}, GoalProgress(reached=True)),
        (Goal("measure"), {"low": 0, "high": 1000, "estimate": None, "found": 0}, GoalProgress(reached=False)),
    ],
)
def test_a_goal_is_reached_by_its_bound(goal: Goal, numbers: dict[str, float | None], progress: GoalProgress) -> None:
    assert progress_of(goal, told(**numbers)) == progress


@given(st.integers(0, 300), st.integers(0, 300), st.floats(0.01, 1))
def test_a_goal_of_a_share_found_is_never_reached_by_less(found: int, more: int, share: float) -> None:
    measured = told(found=found, at_most=found + more)
    if progress_of(Goal("recall", share), measured).reached:
        assert measured.recall_at_least is not None
        assert measured.recall_at_least >= share - 1e-12


def test_the_likeliest_are_listed_until_the_model_expects_the_goal() -> None:
    assert listed_share(Goal("recall", 0.8), told(found=40), 11.0) == pytest.approx(0.8)
    assert listed_share(Goal("recall", 0.8), told(found=40), 9.0) == pytest.approx(0.2)
    assert listed_share(Goal("remaining", 0.01), told(), 8.5) == pytest.approx(0.8)
    assert listed_share(Goal("remaining", 0.01), told(), 7.5) == pytest.approx(0.2)
    assert listed_share(Goal("accept", 0.01), told(), 100.0) == 0
    assert listed_share(Goal("measure"), told(), 100.0) == 0


def left_of(audit: PlayedAudit) -> Array:
    return np.sort(audit.models[-1].probability[audit.bins[audit.is_left]])[::-1]


def more_reviews(goal: Goal, measured: Measured, probability: Array) -> int | None:
    """With each sample as a band of its own."""
    return expected_more_reviews(goal, measured, np.ones(len(probability), np.int64), probability)


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 1)), min_size=1, max_size=6), st.integers(0, 60))
def test_bands_expect_what_their_samples_do(bands: list[tuple[int, float]], first: int) -> None:
    left, probability = np.array([count for count, _ in bands]), np.array([share for _, share in bands])
    one_by_one = np.repeat(probability, left)
    assert expected_wrong(left, probability, np.array([first]))[0] == pytest.approx(one_by_one[:first].sum())


def test_nothing_is_expected_where_every_sample_was_reviewed() -> None:
    every = told(found=300, reviewed=1000, drawn=900, estimate=300.0, low=300, high=300, at_most=300)
    assert more_reviews(Goal("accept", 0.1), every, np.zeros(0)) is None


@pytest.mark.parametrize("goal", [Goal("measure"), Goal("recall", 0.9), Goal("remaining", 0.01)])
def test_a_bound_far_above_what_the_model_expects_is_not_near_the_goal(goal: Goal) -> None:
    far = told(samples=1500, found=107, reviewed=430, drawn=300, estimate=110.0, low=107, high=222, at_most=217)
    said = more_reviews(goal, far, np.full(far.left, 0.003))
    assert said is None or said > 50


@pytest.mark.parametrize(
    ("goal", "rate", "samples", "first"),
    [
        (Goal("recall", 0.8), 0.05, 2000, 60),
        (Goal("recall", 0.9), 0.2, 2000, 100),
        (Goal("remaining", 0.02), 0.0, 2000, 30),
        (Goal("remaining", 0.02), 0.05, 2000, 60),
        (Goal("accept", 0.02), 0.0, 3000, 30),
        (Goal("measure"), 0.2, 2000, 40),
        (Goal("measure"), 0.05, 2000, 40),
    ],
)
def test_expected_reviews_are_about_what_it_takes(goal: Goal, rate: float, samples: int, first: int) -> None:
    said, took = [], []
    for seed in range(3):
        random = np.random.default_rng(seed)
        truth = reviewed(samples, rate, random)
        audit = PlayedAudit(truth, scored(truth, "good", random), seed)
        audit.play(first)
        measured = audit.measure()
        said.append(more_reviews(goal, measured, left_of(audit)))
        while not progress_of(goal, measured).reached:
            audit.answer(audit.draw(20, listed_share(goal, measured, float(left_of(audit).sum()))))
            audit.fit()
            measured = audit.measure()
        took.append(len(audit.rows) - first)
        assert more_reviews(goal, measured, left_of(audit)) == 0
    assert None not in said
    ratio = np.median([one or 0 for one in said]) / max(float(np.median(took)), 1)
    assert 1 / 3 <= ratio <= 3, (said, took)


def test_what_is_out_of_reach_has_no_number_of_reviews() -> None:
    measured = told(found=40, low=45, at_most=60)
    assert more_reviews(Goal("accept", 0.01), measured, np.full(800, 0.02)) is None
