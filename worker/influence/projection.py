"""Random projections of gradients that keep inner products on average: a few hundred numbers per layer.

The gradient of a layer that multiplies is projected on both sides, `P_o V' U P_d'`, so it is never formed (a Kronecker
projection).
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from worker.influence.gradients import Dense, Gradient, Lookup, Outer, Positions
from worker.machine.devices import CPU


@dataclass(frozen=True)
class Projection:
    """Projection of each layer's gradients to about `dimension` numbers; the same seed and layer give the same matrix.

    Unbiased: the mean of `<P g, P g'>` over seeds is `<g, g'>`. A side that is small enough is left as it is.
    """

    dimension: int
    seed: int

    def project(self, name: str, gradient: Gradient) -> Dense:
        """Project the gradients of the layer called `name`. Raises TypeError for those of trees, which have no layers."""
        side = max(1, round(self.dimension**0.5))
        match gradient:
            case Dense(dense):
                return Dense(self._narrow(dense, name, "g", self.dimension))
            case Outer(inputs, errors):
                u, v = self._narrow(inputs, name, "u", side), self._narrow(errors, name, "v", side)
                return Dense(torch.einsum("no,nd->nod", v, u).flatten(1))
            case Positions(inputs, errors):
                u, v = self._narrow(inputs, name, "u", side), self._narrow(errors, name, "v", side)
                return Dense(torch.bmm(v.transpose(1, 2), u).flatten(1))
            case Lookup(ids, errors, rows):
                v = self._narrow(errors, name, "v", side)
                # The input that reads row i of the table is the unit vector e_i; its projection is row i of the matrix.
                u = _matrix(self.seed, f"{name}/u", rows, side, ids.device)[ids]
                return Dense(torch.bmm(v.transpose(1, 2), u).flatten(1))
            case _:
                raise TypeError("trees have no layers")

    def _narrow(self, rows: Float[Tensor, "*n w"], name: str, side: str, width: int) -> Float[Tensor, "*n k"]:
        if rows.shape[-1] <= width:
            return rows
        narrow: Tensor = rows @ _matrix(self.seed, f"{name}/{side}", rows.shape[-1], width, rows.device)
        return narrow


@lru_cache(maxsize=64)
def _matrix(seed: int, what: str, wide: int, narrow: int, device: torch.device) -> Float[Tensor, "w k"]:
    drawn: Tensor = torch.randn(wide, narrow, generator=_generator(seed, what), device=CPU) / narrow**0.5
    return drawn.to(device)


def _generator(seed: int, what: str) -> torch.Generator:
    number = int.from_bytes(hashlib.sha256(f"{seed}/{what}".encode()).digest()[:8], "big")
    return torch.Generator().manual_seed(number % 2**63)
