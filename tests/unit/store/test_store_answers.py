"""What answers make of the ranks: the probability of a wrong label at each."""

import numpy as np

from service.audit.measure import Answer
from service.store.answers import probability_by_rank

N = 2_000


def answered(order: np.ndarray, wrong_first: int, reviewed: int) -> np.ndarray:
    """The first ranks are reviewed, the first of those called wrong; of the others every fiftieth is, and right."""
    found = np.full(N, Answer.NONE, np.int8)
    found[order[wrong_first::50]] = Answer.RIGHT
    found[order[:reviewed]] = Answer.RIGHT
    found[order[:wrong_first]] = Answer.WRONG
    return found


def test_what_is_more_likely_wrong_than_not_ends_where_reviewers_stop_to_find_errors() -> None:
    order = np.random.default_rng(0).permutation(N)
    for wrong in (30, 90):
        found = probability_by_rank(order, answered(order, wrong, 150))[order]
        assert (np.diff(found) <= 0).all()
        assert 0.5 * wrong < (found > 0.5).sum() < 1.5 * wrong
        assert 0 < found.min() < 0.02


def test_nothing_is_flagged_where_reviewers_find_no_error() -> None:
    order = np.arange(N)
    assert (probability_by_rank(order, answered(order, 0, 150)) < 0.5).all()


def test_unsure_and_plausible_labels_are_reviewed_and_not_wrong() -> None:
    order = np.arange(N)
    right = probability_by_rank(order, answered(order, 40, 150))
    said = answered(order, 40, 150)
    said[100:150] = [Answer.UNSURE, Answer.PLAUSIBLE] * 25
    np.testing.assert_allclose(probability_by_rank(order, said), right)
