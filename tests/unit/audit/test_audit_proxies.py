"""A proxy in an audit: a good one saves reviews, one that misleads costs reviews, and none makes an interval wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from service.audit.measure import Answer
from service.audit.working_model import bin_ends, fit_model
from tests.unit.audit.played_audits import Array, PlayedAudit, reviewed, scored
from tests.unit.audit.test_audit_laws import check_fair

LIMIT = np.log(20)
KINDS = ("good", "inverted", "random", "blaming", "turning")


def opinions(truth: Array, kind: str, score: Array, random: np.random.Generator) -> Array:
    """Opinions, of which the good and the inverted one are right on 90 % of the wrong labels and 97 % of the others."""
    wrong = truth == Answer.WRONG
    good = np.where(random.random(len(truth)) < np.where(wrong, 0.9, 0.97), wrong, ~wrong)
    chosen = {
        "good": good,
        "inverted": ~good,
        "random": random.random(len(truth)) < 0.3,
        # Adversaries who know the truth: one blames only what is right, one changes its meaning in the middle of the ranking.
        "blaming": ~wrong & (random.random(len(truth)) < 0.5),
        "turning": np.where(score > np.median(score), wrong, ~wrong),
    }
    opinion: Array = chosen[kind].astype(np.int64)
    return opinion


def begun(kind: str | None, score: str, seed: int, samples: int = 600, rate: float = 0.1) -> PlayedAudit:
    random = np.random.default_rng(seed)
    truth = reviewed(samples, rate, random)
    made = scored(truth, score, random)
    return PlayedAudit(truth, made, seed, None if kind is None else opinions(truth, kind, made, random))


@given(
    st.sampled_from(KINDS),
    st.sampled_from(["noisy", "inverted"]),
    st.integers(0, 2**32 - 1),
    st.integers(0, 16),
    st.sampled_from([0.0, 0.5]),
)
@settings(max_examples=25)
def test_no_bet_gains_or_loses_on_average_whatever_the_proxy_says(
    kind: str, score: str, seed: int, before: int, listed: float
) -> None:
    audit = begun(kind, score, seed, 50)
    audit.play(before, batch=4, listed_share=listed)
    check_fair(audit, None)
    check_fair(audit, np.arange(50) % 3 == 0)


@pytest.mark.parametrize("kind", ["good", "blaming", "turning"])
def test_intervals_hold_at_every_moment_whatever_the_proxy_says(kind: str) -> None:
    failed = np.zeros(2, int)
    for seed in range(30):
        audit = begun(kind, "noisy", seed, 300)
        audit.play(60)
        failed += np.array(audit.highest_capital()) >= LIMIT
    assert (failed <= binom.ppf(1 - 1e-4, 30, 0.05)).all()


def test_a_good_proxy_narrows_the_interval_and_a_useless_one_hardly_widens_it() -> None:
    widths: dict[str | None, list[int]] = {}
    for kind in (None, *KINDS):
        for seed in range(8):
            audit = begun(kind, "noisy", seed, 1500)
            audit.play(100)
            measured = audit.measure()
            widths.setdefault(kind, []).append(measured.high - measured.low)
    mean = {kind: float(np.mean(several)) for kind, several in widths.items()}
    assert mean["good"] < 0.8 * mean[None]
    assert mean["inverted"] < 0.9 * mean[None]
    assert mean["random"] < 1.2 * mean[None]
    assert mean["blaming"] < 1.2 * mean[None]
    assert mean["turning"] < 1.4 * mean[None], mean


@given(st.integers(1, 3), st.integers(21, 2000), st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_probabilities_fall_within_each_opinion(count: int, samples: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    bins = len(bin_ends(samples))
    reviews = random.integers(0, 20, size=count * bins)
    wrong = random.binomial(reviews, random.random(count).repeat(bins))
    model = fit_model(0, reviews, wrong, np.full(count * bins, 5), samples)
    assert ((model.probability > 0) & (model.probability < 1)).all()
    assert (np.diff(model.probability.reshape(count, bins), axis=1) <= 0).all()
    assert (model.weight > 0).all()


def test_listed_samples_are_the_likeliest_with_the_proxy() -> None:
    audit = begun("good", "noisy", 1)
    audit.play(200)
    model = audit.models[-1]
    for row in audit.draw(5, 1.0):
        left = np.append(np.flatnonzero(audit.is_left), row)
        assert model.probability[audit.bins[row]] == model.probability[audit.bins[left]].max()
