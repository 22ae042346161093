"""Groups of samples inside one label that stand apart: the queue a person looks at when nothing is verified yet.

Two-means inside each label on the features of the first checkpoint; the tighter half is the group: what was copied,
generated or recorded by one faulty device resembles itself more than an honest label does. Its separation is the share
of the label's variance that the split explains; its gap, the same along the line between the two means alone, tells
two heaps (near 1) from one (a normal heap cut in its middle has 0.64).
"""

from collections.abc import Sequence
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
    """Part of a label; `members` are its rows, the most typical first."""

    label: int
    size: int
    separation: float
    gap: float
    members: Int[Tensor, " k"]

    @property
    def rows(self) -> list[int]:
        """The most typical members, at most 200."""
        return self.members[:_KEPT].tolist()


def groups(
    features: Float[Tensor, "n d"], labels: Int[Tensor, " n"], classes: int, generator: torch.Generator
) -> list[Group]:
    """One group a label that has rows enough, the best separated first."""
    found: list[Group] = []
    for label in range(classes):
        members = (labels == label).nonzero().squeeze(1)
        if len(members) < _SMALLEST:
            continue
        half = _split(features[members], generator)
        if half is not None:
            rows, separation, gap = half
            found.append(Group(label, len(rows), separation, gap, members[rows]))
    return sorted(found, key=lambda group: -group.separation)


def gap_of_members(found: Sequence[Group], samples: int) -> Float[Tensor, " n"]:
    """For each sample the gap of the group that it is in, 0 for those in none."""
    result = torch.zeros(samples)
    for group in found:
        result[group.members] = group.gap
    return result


def _split(x: Float[Tensor, "n d"], generator: torch.Generator) -> tuple[Int[Tensor, " k"], float, float] | None:
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
    inside = side if _spread(centred[side]) <= _spread(centred[~side]) else ~side
    rows, rest = inside.nonzero().squeeze(1), (~inside).nonzero().squeeze(1)
    share = len(rows) / len(x)
    centre = centred[rows].mean(0)
    explained = centre.square().sum() * len(rows) / (1 - share)
    line = centred @ (centre - centred[rest].mean(0))
    between = share * (1 - share) * (line[rows].mean() - line[rest].mean()).square()
    typical = (centred[rows] - centre).square().sum(1).argsort(stable=True)
    return (
        rows[typical],
        min(1.0, float(explained / centred.square().sum())),
        min(1.0, float(between / line.var(correction=0).clamp(min=torch.finfo(line.dtype).tiny))),
    )


def _spread(rows: Float[Tensor, "k d"]) -> Float[Tensor, ""]:
    return (rows - rows.mean(0)).square().sum(1).mean()
