"""The label that would be right, and how likely it is."""

import math

import pytest
import torch
from torch import Tensor

from worker.signals.suggestions import suggest

SAMPLES = 6_000


def noisy(classes: int, wrong: float, blur: float, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """True labels, given labels, and beliefs that overstate what they know."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randint(classes, (SAMPLES,), generator=generator)
    steps = torch.randint(1, classes, (SAMPLES,), generator=generator)
    given = torch.where(torch.rand(SAMPLES, generator=generator) < wrong, (truth + steps) % classes, truth)
    told = torch.eye(classes)[truth] + blur * torch.randn(SAMPLES, classes, generator=generator)
    return truth, given, torch.softmax(6 * told, 1)


def suspicion(belief: Tensor, given: Tensor) -> Tensor:
    return 1 - belief.gather(1, given[:, None]).squeeze(1)


def miscalibration(confidence: Tensor, right: Tensor) -> float:
    """The expected calibration error over ten bins."""
    places = (confidence * 10).long().clamp(max=9)
    return sum(abs(float((right - confidence)[places == place].sum())) / len(right) for place in range(10))


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("wrong", [0.05, 0.2])
@pytest.mark.parametrize("blur", [0.3, 0.6])
def test_of_the_suggestions_with_a_confidence_that_share_is_right(classes: int, wrong: float, blur: float) -> None:
    truth, given, belief = noisy(classes, wrong, blur, seed=1)
    scores = suspicion(belief, given)
    mislabeled = torch.zeros(SAMPLES, dtype=torch.bool)
    mislabeled[scores.topk(round(wrong * SAMPLES)).indices] = True
    suggested, confidence, _ = suggest(belief, belief, given, mislabeled, scores, round(wrong * SAMPLES))
    right = (suggested == truth).float()
    believed = belief.gather(1, suggested[:, None]).squeeze(1)
    assert miscalibration(confidence, right) < min(0.06, miscalibration(believed, right))
    assert float(right.mean()) == pytest.approx(float(confidence.mean()), abs=0.05)


def test_a_mislabeled_sample_is_never_given_its_own_label_back() -> None:
    _, given, belief = noisy(3, 0.1, 0.3, seed=2)
    mislabeled = torch.arange(SAMPLES) < SAMPLES // 2
    suggested, confidence, _ = suggest(belief, belief, given, mislabeled, suspicion(belief, given), 600)
    assert (suggested != given)[mislabeled].all()
    assert torch.equal(suggested[~mislabeled], belief.argmax(1)[~mislabeled])
    assert float(confidence.min()) >= 0
    assert float(confidence.max()) <= 1


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_the_ranking_stretches_the_odds_of_the_guess_by_a_quarter() -> None:
    """Two strengths of belief, of which 85 and 70 of 100 guesses agree with the given label, at 10 % wrong labels."""
    classes, share, samples = 3, 0.1, 2_000
    strong = torch.arange(samples) % 2 == 0
    agrees = torch.where(strong, torch.arange(samples) // 2 % 100 < 85, torch.arange(samples) // 2 % 100 < 70)
    best = torch.where(strong, 0.9, 0.6)
    belief = ((1 - best) / 2)[:, None].repeat(1, classes)
    belief[:, 0] = best
    labels = torch.where(agrees, 0, 1)
    scores = torch.where(agrees, torch.where(strong, 0.0, 1.0), torch.where(strong, 3.0, 2.0))
    nobody = torch.zeros(samples, dtype=torch.bool)
    suggested, confidence, _ = suggest(belief, belief, labels, nobody, scores, round(share * samples))
    assert torch.equal(suggested, torch.zeros_like(suggested))

    def by_bayes(agreement: float) -> float:
        right = agreement / (1 - share)
        beside = (1 - right) * share / (classes - 1)
        return beside / (beside + right * (1 - share))

    mistaken = [1 - float(confidence[agrees & part].mean()) for part in (~strong, strong)]
    stretched = logit(mistaken[0]) - logit(mistaken[1])
    assert stretched == pytest.approx(1.25 * (logit(by_bayes(0.70)) - logit(by_bayes(0.85))), rel=1e-3)


def test_equal_beliefs_and_scores_have_equal_confidence() -> None:
    labels = torch.arange(SAMPLES) % 10 // 9  # one in ten is not the class that is believed
    belief = torch.tensor([0.8, 0.2]).repeat(SAMPLES, 1)
    nobody = torch.zeros(SAMPLES, dtype=torch.bool)
    _, confidence, _ = suggest(belief, belief, labels, nobody, torch.zeros(SAMPLES), 600)
    assert len(set(confidence[labels == 0].tolist())) == 1


def test_a_more_suspicious_sample_is_not_likelier_to_keep_its_label() -> None:
    _, given, belief = noisy(4, 0.1, 0.5, seed=3)
    scores = suspicion(belief, given)
    suggested, confidence, _ = suggest(belief, belief, given, torch.zeros(SAMPLES, dtype=torch.bool), scores, 600)
    kept = confidence[suggested == given][scores[suggested == given].argsort()]
    assert (kept.diff() <= 1e-6).all()


@pytest.mark.parametrize("wrong", [0, SAMPLES])
def test_any_count_of_wrong_labels_gives_probabilities(wrong: int) -> None:
    _, given, belief = noisy(3, 0.1, 0.3, seed=4)
    nobody = torch.zeros(SAMPLES, dtype=torch.bool)
    for scores in (suspicion(belief, given), torch.zeros(SAMPLES)):
        _, confidence, _ = suggest(belief, belief, given, nobody, scores, wrong)
        assert torch.isfinite(confidence).all()


@pytest.mark.parametrize(("wrong", "share"), [(0, 0.01), (600, 0.1), (SAMPLES, 0.6)])
def test_probabilities_of_a_wrong_label_add_up_to_the_count_between_one_and_sixty_in_a_hundred(
    wrong: int, share: float
) -> None:
    # Of two classes the suggestion is right where the label is wrong.
    _, given, belief = noisy(2, 0.1, 0.5, seed=5)
    nobody = torch.zeros(SAMPLES, dtype=torch.bool)
    suggested, confidence, _ = suggest(belief, belief, given, nobody, suspicion(belief, given), wrong)
    mistaken = torch.where(suggested == given, 1 - confidence, confidence)
    assert float(mistaken.mean()) == pytest.approx(share, abs=1e-4)
