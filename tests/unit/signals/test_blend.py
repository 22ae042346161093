"""How far one guess is believed beside another."""

import pytest
import torch
from torch import Tensor

from worker.signals.blend import share_of_second


def drawn(rows: int, seed: int) -> Tensor:
    return torch.rand(rows, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_the_share_is_that_of_the_mixture_which_the_labels_are_drawn_from(share: float) -> None:
    # Of two classes, each guess gives one sample's first class any probability; labels follow their mixture.
    first, second = drawn(40_000, 0), drawn(40_000, 1)
    is_first = drawn(40_000, 2) < (1 - share) * first + share * second
    own = [torch.where(is_first, guess, 1 - guess) for guess in (first, second)]
    assert share_of_second(own[0], own[1]) == pytest.approx(share, abs=0.03)
    assert share_of_second(own[1], own[0]) == pytest.approx(1 - share, abs=0.03)


def test_a_guess_that_never_expects_the_label_is_not_believed() -> None:
    assert share_of_second(torch.full((50,), 0.6), torch.zeros(50)) == pytest.approx(0, abs=0.01)
    assert share_of_second(torch.zeros(50), torch.full((50,), 0.6)) == pytest.approx(1, abs=0.01)


def test_a_label_that_neither_expects_does_not_decide() -> None:
    first, second = torch.full((50,), 0.6), torch.full((50,), 0.5)
    first[0] = second[0] = 0
    assert share_of_second(first, second) == pytest.approx(0, abs=0.01)
