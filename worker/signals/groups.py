"""Groups of samples inside one label that stand apart: the queue a person looks at when nothing is verified yet.

Two-means inside each label on the activations of the last checkpoint; the smaller half is the group. Its separation
is the share of the label's variance that the split explains.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

_SMALLEST = 8  # a label with fewer rows is looked at whole
_ROUNDS = 8
_KEPT = 200  # members listed of a group


@dataclass(frozen=True)
class Group:
    """Part of a label; `rows` are its most typical samples first, `size` counts all."""

    label: int
    size: int
    separation: float
    rows: list[int]


def groups(
    activations: Float[Tensor, "n d"], labels: Int[Tensor, " n"], classes: int, generator: torch.Generator
) -> list[Group]:
    """One group a label that has rows enough, the best separated first."""
    found: list[Group] = []
    features = normalize(activations)
    for label in range(classes):
        members = (labels == label).nonzero().squeeze(1)
        if len(members) < _SMALLEST:
            continue
        group = _split(features[members], generator)
        if group is not None:
            rows, separation = group
            found.append(Group(label, len(rows), separation, members[rows[:_KEPT]].tolist()))
    return sorted(found, key=lambda group: -group.separation)


def _split(x: Float[Tensor, "n d"], generator: torch.Generator) -> tuple[Int[Tensor, " k"], float] | None:
    centred = x - x.mean(0)
    total = float(centred.square().sum())
    if total <= 0:
        return None
    # Start along the direction of largest variance, found by a few power steps.
    axis = torch.randn(x.shape[1], generator=generator)
    for _ in range(_ROUNDS):
        axis = torch.nn.functional.normalize(centred.T @ (centred @ axis), dim=0)
    side = centred @ axis > 0
    for _ in range(_ROUNDS):
        if side.all() or not side.any():
            return None
        high, low = centred[side].mean(0), centred[~side].mean(0)
        side = centred @ (high - low) > ((high + low) @ (high - low)) / 2
    if side.all() or not side.any():
        return None
    smaller = side if side.sum() * 2 <= len(side) else ~side
    centre = centred[smaller].mean(0)
    share = smaller.float().mean()
    explained = float(centre.square().sum() * smaller.sum() / (1 - share))
    rows = smaller.nonzero().squeeze(1)
    typical = (centred[rows] - centre).square().sum(1).argsort(stable=True)
    return rows[typical], min(1.0, explained / total)
