"""How far to believe one guess of the labels beside another, neither of which has seen the sample's own label."""

import torch
from jaxtyping import Float
from torch import Tensor

_IMPOSSIBLE = 1e-9  # probability of a label that no guess expects
_ROUNDS, _SETTLED = 500, 1e-5


def share_of_second(first: Float[Tensor, " n"], second: Float[Tensor, " n"], chance: Float[Tensor, " n"]) -> float:
    """The share, in [0, 1], of the second guess beside the first, in the mixture under which the labels are likeliest.

    Each is given by the probabilities of the labels that the samples have. `chance` is a third part of the mixture: the
    probability of the label whatever the sample. Without it a guess that knows nothing would be believed, for being less
    surprised by wrong labels than one that is too sure.
    """
    guesses = torch.stack([first, second, chance]).double().clamp(min=_IMPOSSIBLE)
    shares = torch.full((3,), 1 / 3, dtype=torch.float64)
    for _ in range(_ROUNDS):  # of expectation and maximisation
        parts = shares[:, None] * guesses
        better = (parts / parts.sum(0)).mean(1)
        settled = bool((better - shares).abs().max() < _SETTLED)
        shares = better
        if settled:
            break
    return float(shares[1] / (shares[0] + shares[1]).clamp(min=_IMPOSSIBLE))
