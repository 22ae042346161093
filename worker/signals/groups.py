"""Groups of samples inside one label that stand apart: the queue a person looks at when nothing is verified yet.

Two-means inside each label on the directions of the last checkpoint; the smaller half is the group. Its separation
is the share of the label's variance that the split explains.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

_SMALLEST = 8  # a label with fewer rows is looked at whole
_ROUNDS = 8
_SAMPLED = 2_000
_KEPT = 200  # members listed of a group


@dataclass(frozen=True)
class Group:
    """Part of a label; `rows` are its most typical samples first, `size` counts all."""

    label: int
    size: int
    separation: float
    rows: list[int]


def groups(
    features: Float[Tensor, "n d"], labels: Int[Tensor, " n"], classes: int, generator: torch.Generator
) -> list[Group]:
    """One group a label that has rows enough, the best separated first. `features` are directions: of length 1."""
    found: list[Group] = []
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
    # The two means are found on a sample of a large label; every row is then put to the nearer one.
    centred = x - x.mean(0)
    sample = centred[torch.randperm(len(x), generator=generator)[:_SAMPLED]]
    axis = torch.randn(x.shape[1], generator=generator)
    # Start along the direction of largest variance, found by a few power steps.
    for _ in range(_ROUNDS):
        axis = normalize(sample.T @ (sample @ axis), dim=0)
    offset = torch.zeros(())
    for _ in range(_ROUNDS):
        side = sample @ axis > offset
        if side.all() or not side.any():
            return None
        high, low = sample[side].mean(0), sample[~side].mean(0)
        axis, offset = high - low, (high + low) @ (high - low) / 2
    side = centred @ axis > offset
    if side.all() or not side.any():
        return None
    smaller = side if side.sum() * 2 <= len(side) else ~side
    rows = smaller.nonzero().squeeze(1)
    centre = centred[rows].mean(0)
    explained = centre.square().sum() * len(rows) / (1 - len(rows) / len(x))
    typical = (centred[rows] - centre).square().sum(1).argsort(stable=True)
    return rows[typical], min(1.0, float(explained / centred.square().sum()))
