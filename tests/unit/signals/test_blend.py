"""How far one guess is believed beside another."""

import pytest
import torch
from torch import Tensor

from worker.signals.blend import mixture_weight

HALF = torch.full((40_000,), 0.5)


def drawn(seed: int) -> Tensor:
    return torch.rand(len(HALF), generator=torch.Generator().manual_seed(seed))


def labels_of(probability: Tensor, *guesses: Tensor) -> list[Tensor]:
    """What each guess of the first of two classes gives to labels that are drawn with this probability."""
    is_first = drawn(9) < probability
    return [torch.where(is_first, guess, 1 - guess) for guess in guesses]


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_the_share_is_that_of_the_mixture_which_the_labels_are_drawn_from(share: float, noise: float) -> None:
    guesses = drawn(0), drawn(1)
    blend = (1 - share) * guesses[0] + share * guesses[1]
    first, second = labels_of((1 - noise) * blend + noise / 2, *guesses)
    assert mixture_weight(first, second, HALF) == pytest.approx(share, abs=0.05)
    assert mixture_weight(second, first, HALF) == pytest.approx(1 - share, abs=0.05)


def test_a_guess_that_knows_nothing_is_not_believed_beside_one_that_is_too_sure() -> None:
    sure = (drawn(0) > 0.5).float() * 0.998 + 0.001
    nothing = 0.35 + 0.3 * drawn(1)
    first, second = labels_of(0.9 * sure + 0.05, sure, nothing)
    assert mixture_weight(first, second, HALF) < 0.02
    assert mixture_weight(second, first, HALF) > 0.98


@pytest.mark.parametrize("impossible", [0.0, 1e-30])
def test_labels_that_nobody_expects_have_a_share_all_the_same(impossible: float) -> None:
    nobody = torch.full((50,), impossible)
    assert 0 <= mixture_weight(nobody, nobody, torch.full((50,), 0.5)) <= 1
    assert 0 <= mixture_weight(nobody, nobody, nobody) <= 1
