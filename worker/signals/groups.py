"""Groups inside one label that stand apart: what to look at first while nothing is verified.

2-means inside each label, on the features of the first checkpoint. The tighter part is the group: samples that were
copied, generated or recorded by one faulty device are more alike than other samples of a label. `separation` is the share
of the label's variance that the split explains. `gap` is the same along the line through the two means: near 1 for two
clusters, 0.64 for one normal cluster cut in the middle.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

_SMALLEST = 8  # rows of a label that is split
_ROUNDS = 8
_SAMPLED = 2_000
_NEAREST = 10  # samples of other labels, by which a part leans
_KEPT = 200  # members listed of a group


@dataclass(frozen=True)
class Lean:
    """The neighbouring label of a part, and its share of the nearest samples of other labels, in (0, 1]."""

    label: int
    share: float


@dataclass(frozen=True)
class LabelGroup:
    """Part of a label. `members`: its rows, the most typical first. `separation` and `gap` are in [0, 1].

    `rest`: the other rows of the label, the most typical first. `lean` and `rest_lean`: where each part lies.
    """

    label: int
    size: int
    separation: float
    gap: float
    members: Int[Tensor, " k"]
    rest: Int[Tensor, " r"]
    lean: "Lean | None" = None
    rest_lean: "Lean | None" = None

    @property
    def rows(self) -> list[int]:
        """The most typical members, at most 200."""
        return self.members[:_KEPT].tolist()


def groups(
    features: Float[Tensor, "n d"], labels: Int[Tensor, " n"], classes: int, generator: torch.Generator
) -> list[LabelGroup]:
    """One group of each label with at least 8 rows that can be split, the best separated first."""
    found: list[LabelGroup] = []
    for label in range(classes):
        members = (labels == label).nonzero().squeeze(1)
        if len(members) < _SMALLEST:
            continue
        half = _split(features[members], generator)
        if half is not None:
            rows, rest, separation, gap = half
            found.append(LabelGroup(label, len(rows), separation, gap, members[rows], members[rest]))
    found = [_leaning(group, features, labels, generator) for group in found]
    return sorted(found, key=lambda group: -group.separation)


def gap_of_members(found: Sequence[LabelGroup], samples: int) -> Float[Tensor, " n"]:
    """The gap of the group that each sample is in, in [0, 1]; 0 outside of groups. Higher = more suspicious."""
    result = torch.zeros(samples)
    for group in found:
        result[group.members] = group.gap
    return result


def _leaning(
    group: LabelGroup, features: Float[Tensor, "n d"], labels: Int[Tensor, " n"], generator: torch.Generator
) -> LabelGroup:
    others = (labels != group.label).nonzero().squeeze(1)
    others = others[torch.randperm(len(others), generator=generator)[:_SAMPLED]]
    if len(others) == 0:
        return group

    def lean(part: Int[Tensor, " k"]) -> Lean:
        near = torch.cdist(features[part[:_KEPT]], features[others]).topk(min(_NEAREST, len(others)), largest=False)
        votes = labels[others[near.indices]].flatten().bincount()
        return Lean(int(votes.argmax()), float(votes.max() / votes.sum()))

    return replace(group, lean=lean(group.members), rest_lean=lean(group.rest))


def _split(
    x: Float[Tensor, "n d"], generator: torch.Generator
) -> tuple[Int[Tensor, " k"], Int[Tensor, " r"], float, float] | None:
    # For a large label the two means are found on drawn rows; then every row is assigned to the nearer one.
    centred = x - x.mean(0)
    sample = centred[torch.randperm(len(x), generator=generator)[:_SAMPLED]]
    axis = torch.randn(x.shape[1], generator=generator)
    # Start along the direction of largest variance, by a few power iterations.
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
    rest_typical = (centred[rest] - centred[rest].mean(0)).square().sum(1).argsort(stable=True)
    return (
        rows[typical],
        rest[rest_typical],
        min(1.0, float(explained / centred.square().sum())),
        min(1.0, float(between / line.var(correction=0).clamp(min=torch.finfo(line.dtype).tiny))),
    )


def _spread(rows: Float[Tensor, "k d"]) -> Float[Tensor, ""]:
    return (rows - rows.mean(0)).square().sum(1).mean()
