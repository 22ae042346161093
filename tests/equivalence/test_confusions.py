"""The margin with confusions is what is published of it, where labels are confused in one direction and where not."""

import numpy as np
import pytest
import torch

from tests.equivalence.published import held_out, likeliest_mixture, margin_with_confusions
from tests.equivalence.traces import Doubles
from worker.signals.confusions import confusion_margin, held_out_prediction

CLASSES, SAMPLES = 5, 400
ERRORS = ("none", "next class", "one way", "any class")


def drawn(errors: str, sure: float) -> tuple[Doubles, Doubles, list[int]]:
    """Logits [3, n, c] that learn the labels, scores of the classes by the truth, and labels of which about a sixth is wrong."""
    draw = np.random.default_rng(7)
    truth = draw.integers(0, CLASSES, SAMPLES)
    # In one way, two of five classes have wrong labels.
    wrong = draw.random(SAMPLES) < {"none": 0, "one way": 1 / 3}.get(errors, 1 / 6)
    other = {
        "none": truth,
        "next class": (truth + 1) % CLASSES,
        "one way": np.where(truth < 2, truth + 3, truth),
        "any class": (truth + draw.integers(1, CLASSES, SAMPLES)) % CLASSES,
    }[errors]
    labels = np.where(wrong, other, truth)
    noise = draw.normal(size=(SAMPLES, CLASSES))
    logits = [2 * np.eye(CLASSES)[truth] + step * np.eye(CLASSES)[labels] + 0.8 * noise for step in (0, 1, 2)]
    guess = sure * np.eye(CLASSES)[truth] + 0.15 * draw.normal(size=(SAMPLES, CLASSES))
    return np.stack(logits), guess, labels.tolist()


@pytest.mark.parametrize("sure", [0.1, 0.4, 0.9])
@pytest.mark.parametrize("errors", ERRORS)
def test_the_margin_is_what_is_published_of_it(errors: str, sure: float) -> None:
    logits, guess, labels = drawn(errors, sure)
    h = held_out(guess, guess, guess, guess, labels)
    expected, directed = margin_with_confusions(logits, h, labels)
    found = confusion_margin(torch.from_numpy(logits).float(), torch.from_numpy(h).float(), torch.tensor(labels))
    np.testing.assert_allclose(found.scores.numpy(), expected, atol=1e-4)
    assert found.directed == pytest.approx(directed)


def test_errors_in_one_direction_are_directed_and_others_are_not() -> None:
    def directed(errors: str) -> float:
        logits, guess, labels = drawn(errors, 0.9)
        return margin_with_confusions(logits, held_out(guess, guess, guess, guess, labels), labels)[1]

    assert [directed(errors) > 0.5 for errors in ERRORS] == [False, True, True, False]


@pytest.mark.parametrize("trees", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("late", [0.1, 1.1, 1.15, 1.2, 1.25, 2.0])
def test_the_held_out_prediction_is_what_is_published_of_it(late: float, frozen: bool, trees: bool) -> None:
    _, guess, labels = drawn("next class", 0.9)
    draw = np.random.default_rng(8)
    first = np.abs(guess + 0.3 * draw.normal(size=guess.shape))
    given = np.eye(CLASSES)[labels]
    mean = first + late * given
    own = np.abs(guess) if frozen else None
    expected = held_out(guess, first, mean, own, labels)
    guesses, early, late_votes = (torch.from_numpy(part).float() for part in (guess, first, mean))
    votes = None if own is None else torch.from_numpy(own).float()
    by_trees = draw.dirichlet(np.ones(CLASSES), len(labels)) + 0.2 * given if trees else None
    if by_trees is not None:
        by_trees /= by_trees.sum(1, keepdims=True)
        expected = likeliest_mixture(expected, by_trees, labels)
    beside = None if by_trees is None else torch.from_numpy(by_trees).float()
    found = held_out_prediction(guesses, early, late_votes, votes, torch.tensor(labels), beside)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


def test_neighbours_that_have_learnt_the_wrong_labels_are_not_asked() -> None:
    _, guess, labels = drawn("next class", 0.9)
    first = np.abs(guess)
    memorised = first + 2 * np.eye(CLASSES)[labels]
    asked, not_asked = (held_out(guess, first, mean, None, labels) for mean in (first, memorised))
    np.testing.assert_array_equal(asked, not_asked)
