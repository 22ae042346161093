"""Plant known errors into the training part, so that a job can say how well each signal finds them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from service.domain.errors import Invalid
from service.domain.specs import Glitch


@dataclass(frozen=True)
class Planted:
    """Labels after planting; `kinds` names the glitch of each touched row, None elsewhere."""

    labels: Int[Tensor, " n"]
    touched: Bool[Tensor, " n"]
    kinds: tuple[str | None, ...]


def plant(labels: Int[Tensor, " n"], classes: int, glitches: Sequence[Glitch]) -> Planted:
    """Apply every glitch in order, each to rows that no earlier one touched. The same seed plants the same."""
    result = labels.clone()
    kinds: list[str | None] = [None] * len(labels)
    for glitch in glitches:
        free = torch.tensor([row for row, kind in enumerate(kinds) if kind is None], dtype=torch.int64)
        wanted = round(glitch.rate * len(labels))
        if wanted > len(free):
            raise Invalid(f"glitches touch more than the {len(labels)} samples of the training part; lower their rates")
        generator = torch.Generator().manual_seed(glitch.seed)
        rows = free[torch.randperm(len(free), generator=generator)[:wanted]]
        # A step of 1 … C-1 around the classes: every other label is equally likely, the own one impossible.
        steps = torch.randint(1, classes, (wanted,), generator=generator)
        result[rows] = (result[rows] + steps) % classes
        for row in rows.tolist():
            kinds[row] = glitch.kind
    return Planted(result, torch.tensor([kind is not None for kind in kinds], dtype=torch.bool), tuple(kinds))
