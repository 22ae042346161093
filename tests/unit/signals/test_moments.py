"""The share of wrong labels by moments: unbiased whichever way labels err, and honest about its error."""

import pytest
import torch
from torch import Tensor

from worker.signals.moments import share_by_moments

CLASSES, SAMPLES, KNOWN = 3, 4_000, 600


def guesses(truth: Tensor, generator: torch.Generator) -> Tensor:
    """Scores that add up to one; classes 0 and 1 overlap, and are often taken for each other."""
    centres = torch.tensor([[0.55, 0.4, 0.05], [0.35, 0.6, 0.05], [0.1, 0.1, 0.8]])
    noise = 0.25 * torch.randn(len(truth), CLASSES, generator=generator)
    return centres[truth] + noise - noise.mean(1, keepdim=True)


def erring(truth: Tensor, generator: torch.Generator, kind: str) -> Tensor:
    chance = torch.rand(len(truth), generator=generator)
    if kind == "one way":
        return torch.where((truth == 0) & (chance < 0.4), 1, truth)
    if kind == "into one":
        return torch.where(chance < 0.2, 0, truth)
    if kind == "all ways":
        return torch.where(chance < 0.15, (truth + torch.randint(1, 3, truth.shape, generator=generator)) % 3, truth)
    return truth


@pytest.mark.parametrize("kind", ["one way", "into one", "all ways", "none"])
def test_the_share_is_found_whichever_way_labels_err_and_the_deviation_is_that_of_many_draws(kind: str) -> None:
    errors, deviations = [], []
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        truth, known = (torch.randint(CLASSES, (size,), generator=generator) for size in (SAMPLES, KNOWN))
        given = erring(truth, generator, kind)
        share = share_by_moments(guesses(truth, generator), given, guesses(known, generator), known)
        assert share is not None
        errors.append(share.value - float((given != truth).float().mean()))
        deviations.append(share.deviation)
    off = torch.tensor(errors)
    assert abs(float(off.mean())) < 0.015
    # Which labels err is not chance here, and that is a part of the deviation: it may be too large, and not too small.
    assert 0.6 * float(off.std()) < sum(deviations) / len(deviations) < 2 * float(off.std())


def test_a_class_that_nobody_verified_is_not_guessed_at() -> None:
    generator = torch.Generator().manual_seed(0)
    truth, known = torch.arange(300) % CLASSES, torch.arange(100) % 2
    assert share_by_moments(guesses(truth, generator), truth, guesses(known, generator), known) is None


def test_classes_that_look_the_same_on_average_are_not_told_apart() -> None:
    labels = torch.arange(300) % CLASSES
    same = torch.full((300, CLASSES), 1 / CLASSES)
    assert share_by_moments(same, labels, same, labels) is None


def test_a_class_of_the_known_alone_changes_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    truth, known = torch.randint(2, (SAMPLES,), generator=generator), torch.arange(KNOWN) % CLASSES
    given = torch.where(torch.rand(SAMPLES, generator=generator) < 0.2, 1 - truth, truth)
    share = share_by_moments(guesses(truth, generator), given, guesses(known, generator), known)
    assert share is not None
    assert share.value == pytest.approx(0.2, abs=0.08)


def test_guesses_without_noise_have_the_deviation_of_a_share_of_the_samples() -> None:
    truth, known = torch.arange(400) % CLASSES, torch.arange(90) % CLASSES
    given = torch.where(torch.arange(400) < 40, (truth + 1) % CLASSES, truth)
    share = share_by_moments(torch.eye(CLASSES)[truth], given, torch.eye(CLASSES)[known], known)
    assert share is not None
    assert (share.value, share.deviation) == pytest.approx((0.1, (0.1 * 0.9 / 399) ** 0.5))
