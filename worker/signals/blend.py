"""How far to believe one guess of the labels beside another, neither of which has seen the sample's own label."""

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize_scalar
from torch import Tensor

_IMPOSSIBLE = 1e-6  # probability of a label that no guess expects: one such sample must not decide


def share_of_second(first: Float[Tensor, " n"], second: Float[Tensor, " n"]) -> float:
    """The share, in [0, 1], of the second guess in the mixture of both under which the given labels are likeliest.

    `first` and `second` are the probabilities that each gives to the sample's label.
    """
    one, two = (guess.double().numpy() for guess in (first, second))

    def surprise(share: float) -> float:
        return -float(np.log(np.maximum((1 - share) * one + share * two, _IMPOSSIBLE)).mean())

    # Convex, but for labels that are impossible either way.
    found = minimize_scalar(surprise, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-4})
    return float(found.x)
