"""Whatever a reviewer says, chosen to mislead or not, and whatever happens in between: bets are fair and intervals hold.

What a reviewer says of each sample is settled before the draws. Nothing else is assumed of it.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from service.audit.measure import Answer
from service.audit.working_model import bins_by_rank
from tests.unit.audit.played_audits import Array, PlayedAudit
from tests.unit.audit.test_audit_laws import check_fair

LIMIT = np.log(20)  # of the logarithm of the capital, at 95 %
SAMPLES, REVIEWS, SEEDS = 600, 60, 24
SURE = 1 - 1e-4  # that the test of a law that holds passes


def misleading(kind: str, score: Array, other: Array, opinion: Array, random: np.random.Generator) -> Array:
    """What a reviewer says who knows both rankings and the proxy, and wants the working model to be as wrong as it can be."""
    place, later = (np.argsort(np.argsort(-one, kind="stable")) for one in (score, other))
    bins, count = bins_by_rank(len(score)), len(score)
    wrong = {
        # Exactly where the model expects none, by either ranking.
        "the least suspicious": (place >= 0.9 * count) | (later >= 0.95 * count),
        # Exactly where it expects them: those that it draws most often.
        "the most suspicious": place < 0.1 * count,
        # What it learns in one bin is the opposite of the next.
        "every other bin": bins[place] % 2 == 1,
        # It learns that there are none, and they begin behind what was seen.
        "behind the first": (place >= 30) & (place < 90),
        # The opposite of the proxy in each half of the ranks that the first reviews speak for.
        "against the proxy": np.where(place < count // 2, opinion == 0, opinion == 1),
        # A single one, in the largest bin.
        "one": place == count - 1 - int(random.integers(20)),
        "all but one": place != 0,
        "none": np.zeros(count, bool),
    }[kind]
    return np.where(wrong, Answer.WRONG, Answer.RIGHT).astype(np.int8)


KINDS = (
    *("the least suspicious", "the most suspicious", "every other bin", "behind the first", "against the proxy"),
    *("one", "all but one", "none"),
)


def worked(kind: str, seed: int) -> PlayedAudit:
    """An audit in which samples are reviewed without it and removed, draws are skipped, and the ranking becomes another one."""
    random = np.random.default_rng([seed, KINDS.index(kind)])
    score, other = random.normal(size=(2, SAMPLES)) if seed % 3 else np.zeros((2, SAMPLES))
    opinion = (random.random(SAMPLES) < 0.3).astype(np.int64)
    truth = misleading(kind, score, other, opinion, random)
    audit = PlayedAudit(truth, score, seed, opinion if seed % 2 else None)
    # Who skips what is wrong more often than the rest misleads most; it widens the interval.
    skips = (random.random(SAMPLES) < np.where(truth == Answer.WRONG, 0.1, 0.02)) & (seed % 4 == 3)
    while len(audit.rows) < REVIEWS:
        audit.answer(row for row in audit.draw(8, 0.25) if not skips[row])
        if len(audit.rows) % 3 == 0:
            audit.review_outside(audit.order[-2:])
            audit.review_outside(random.integers(SAMPLES, size=1))
        if len(audit.models) == 4:
            audit.rank_by(other)
        audit.fit()
    return audit


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_hold_at_every_moment_whatever_a_reviewer_says(kind: str) -> None:
    failed = sum(np.array(worked(kind, seed).highest_capital()) >= LIMIT for seed in range(SEEDS))
    assert (failed <= binom.ppf(SURE, SEEDS, 0.05)).all(), failed


@dataclass(frozen=True)
class Happening:
    """A batch with this share of listed samples, and what follows it: so many reviews from outside, perhaps another ranking."""

    drawn: int
    listed: float
    outside: int
    is_ranked_anew: bool


HAPPENINGS = st.lists(
    st.builds(Happening, st.integers(0, 6), st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 3), st.booleans()),
    max_size=4,
)


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Answer)[1:]), st.integers(0, 3), st.integers(0, 1)), min_size=21, max_size=50
    ),
    HAPPENINGS,
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=15)
def test_bets_are_fair_whatever_a_reviewer_says_and_whatever_happens(
    samples: list[tuple[Answer, int, int]], happenings: list[Happening], has_proxy: bool, seed: int
) -> None:
    truth, score, opinion = (np.array(part) for part in zip(*samples, strict=True))
    audit = PlayedAudit(
        truth.astype(np.int8), score.astype(float), seed, opinion.astype(np.int64) if has_proxy else None
    )
    for one in happenings:
        audit.answer(audit.draw(one.drawn, one.listed))
        audit.review_outside(audit.random.integers(len(truth), size=one.outside))
        if one.is_ranked_anew:
            audit.rank_by(audit.random.integers(4, size=len(truth)).astype(float))
        audit.fit()
    check_fair(audit, None)
    check_fair(audit, score < 2)
