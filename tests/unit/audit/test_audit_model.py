"""The working model, and how batches are made of it."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from service.audit.draw import choose_batch
from service.audit.log import Log, draws_of
from service.audit.working_model import _falling, bin_ends, bins_by_rank, fit_model
from tests.unit.audit.played_audits import PlayedAudit, reviewed


@given(st.integers(1, 3_000_000))
def test_bins_grow_by_a_quarter_and_hold_every_rank_once(samples: int) -> None:
    ends = bin_ends(samples)
    sizes = np.diff(ends, prepend=0)
    assert ends[-1] == samples
    assert (sizes > 0).all()
    assert len(ends) <= 40
    assert sizes[0] == min(20, samples)
    expected = np.round(20 * 1.25 ** np.arange(len(sizes)))[:-1]
    assert (sizes[:-1] == expected).all()


def test_the_bin_of_each_rank_is_the_one_that_ends_after_it() -> None:
    assert (bins_by_rank(300) == np.searchsorted(bin_ends(300), np.arange(300), side="right")).all()


@given(st.integers(1, 5_000), st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=60)
def test_probabilities_fall_within_zero_and_one_and_everything_can_be_drawn(
    samples: int, seed: int, share: float, rate: float
) -> None:
    random = np.random.default_rng(seed)
    sizes = np.diff(bin_ends(samples), prepend=0)
    reviews = random.binomial(sizes, share)
    model = fit_model(7, reviews, random.binomial(reviews, rate), sizes - reviews, samples)
    assert model.first == 7
    assert (np.diff(model.probability) <= 0).all()
    assert ((model.probability > 0) & (model.probability < 1)).all()
    assert np.isfinite(model.weight).all()
    assert (model.weight > 0).all()


def test_probabilities_follow_what_was_found() -> None:
    sizes = np.diff(bin_ends(2000), prepend=0)
    reviews = np.minimum(sizes, 40)
    place = np.arange(len(sizes))
    model = fit_model(0, reviews, np.where(place < 6, (reviews * 0.9).round(), 0).astype(int), sizes - reviews, 2000)
    assert (model.probability[:5] > 0.75).all()
    assert (model.probability[8:] < 0.1).all()


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 50)), min_size=1, max_size=40).map(lambda pairs: np.array(pairs))
)
def test_falling_values_are_those_of_isotonic_regression(pairs: np.ndarray) -> None:
    values, weights = pairs.T
    np.testing.assert_allclose(
        _falling(values, weights), isotonic_regression(values, weights=weights, increasing=False).x, atol=1e-9
    )


@given(st.integers(21, 3000), st.integers(0, 2**32 - 1), st.integers(0, 60))
@settings(max_examples=40)
def test_chances_are_those_of_the_design(samples: int, seed: int, reviews: int) -> None:
    """By the formulas of the design, over every sample that is left; they sum to 1."""
    random = np.random.default_rng(seed)
    audit = PlayedAudit(reviewed(samples, 0.2, random), random.normal(size=samples), seed)
    audit.play(min(reviews, samples - 1))
    model, log = audit.models[-1], audit.log
    p = model.probability[audit.bins[audit.is_left]]
    spread = 1 + 4 * np.sqrt(p * (1 - p))
    t = 0.3 * min(1, ((p**3).sum() / (p**2).sum()) / 0.3)
    chance = (1 - t) * spread / spread.sum() + t * p**2 / (p**2).sum()
    assert np.isclose(chance.sum(), 1)
    for place in (0, -1):
        row = np.flatnonzero(audit.is_left)[place]
        one = Log(
            np.append(log.row, row), np.append(log.bin, audit.bins[row]), np.append(log.is_drawn, True), log.models
        )
        np.testing.assert_allclose(draws_of(one).chance[-1], chance[place])


@given(st.integers(1, 400), st.integers(0, 2**32 - 1), st.integers(0, 40), st.floats(0, 1))
@settings(max_examples=40)
def test_a_batch_has_what_is_left_once_and_lists_the_first_rank_of_its_turn(
    samples: int, seed: int, count: int, share: float
) -> None:
    random = np.random.default_rng(seed)
    audit = PlayedAudit(reviewed(samples, 0.2, random), random.normal(size=samples), seed)
    audit.review_outside(random.integers(samples, size=samples // 3).tolist())
    batch = choose_batch(audit.models[-1], audit.order, audit.is_left, count, share, random)
    rows = [item.row for item in batch]
    assert len(batch) == len(set(rows)) == min(count, int(audit.is_left.sum()))
    assert audit.is_left[rows].all()
    assert [item.bin for item in batch] == audit.bins[rows].tolist()
    assert abs(sum(not item.is_drawn for item in batch) - share * len(batch)) < 1
    is_left = audit.is_left.copy()
    for item in batch:
        assert item.is_drawn or item.row == next(row for row in audit.order if is_left[row])
        is_left[item.row] = False


def test_the_same_randomness_gives_the_same_batch() -> None:
    random = np.random.default_rng(0)
    audit = PlayedAudit(reviewed(200, 0.2, random), random.normal(size=200), 0)
    one, two = (
        choose_batch(audit.models[-1], audit.order, audit.is_left, 20, 0.5, np.random.default_rng(3)) for _ in range(2)
    )
    assert one == two
