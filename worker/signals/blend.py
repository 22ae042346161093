"""Weight of one class prediction against another, neither of which has seen the sample's own label."""

import torch
from jaxtyping import Float
from torch import Tensor

_IMPOSSIBLE = 1e-9  # probability, at least, of a label that no prediction expects
_ROUNDS, _SETTLED = 500, 1e-5


def mixture_weight(first: Float[Tensor, " n"], second: Float[Tensor, " n"], chance: Float[Tensor, " n"]) -> float:
    """The weight, in [0, 1], of the second prediction relative to the first, in the maximum-likelihood mixture.

    Arguments are probabilities of the labels that the samples have. `chance`, the frequency of the label, is the third
    component: without it an uninformative second prediction would get weight from every wrong label, to which an
    overconfident first one gives a smaller probability.
    """
    guesses = torch.stack([first, second, chance]).double().clamp(min=_IMPOSSIBLE)
    shares = torch.full((3,), 1 / 3, dtype=torch.float64)
    for _ in range(_ROUNDS):  # of expectation maximisation
        parts = shares[:, None] * guesses
        better = (parts / parts.sum(0)).mean(1)
        settled = bool((better - shares).abs().max() < _SETTLED)
        shares = better
        if settled:
            break
    return float(shares[1] / (shares[0] + shares[1]).clamp(min=_IMPOSSIBLE))
