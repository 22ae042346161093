"""The two parts of each label: what to look at first while nothing is verified.

2-means inside each label, on the features of the first checkpoint. The tighter part is the group: samples that were
copied, generated or recorded by one faulty device are more alike than other samples of a label. It can be the innocent one,
so both parts are told, and to which other label each leans. `separation` is the share of the label's variance that the split
explains. `gap` is the same along the line through the two means: near 1 for two clusters, 0.64 for one normal cluster cut in
the middle.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from service.domain.label_part import part_number

_SMALLEST = 8  # rows of a label that is split
_ROUNDS = 8
_SAMPLED = 2_000
_NEAREST = 10  # samples outside of a part, by which it leans
_POOLED = 2_000  # samples that they are taken from, as many of each label
_KEPT = 200  # members listed of a group, and by which a part leans


@dataclass(frozen=True)
class Lean:
    """The other label that is nearest to a part: its share of the nearest samples outside of the part, in (0, 1].

    The rest of the part's own label is among those samples, so that a part beside it has a small share.
    """

    label: int
    share: float


@dataclass(frozen=True)
class LabelGroup:
    """The tighter part of a label. `members`: its rows, the most typical first. `separation` and `gap` are in [0, 1].

    `rest`: the other rows of the label, the most typical first. `lean`, `rest_lean`: the label that each part leans to; None
    where the nearest samples are all of its own label.
    """

    label: int
    size: int
    separation: float
    gap: float
    members: Int[Tensor, " k"]
    rest: Int[Tensor, " r"]
    lean: Lean | None = None
    rest_lean: Lean | None = None

    @property
    def rows(self) -> list[int]:
        """The most typical members, at most 200."""
        return self.members[:_KEPT].tolist()


def groups(
    features: Float[Tensor, "n d"], labels: Int[Tensor, " n"], classes: int, generator: torch.Generator
) -> list[LabelGroup]:
    """Both parts of each label with at least 8 rows that can be split, the best separated first."""
    found: list[LabelGroup] = []
    for label in range(classes):
        members = (labels == label).nonzero().squeeze(1)
        if len(members) < _SMALLEST:
            continue
        half = _split(features[members], generator)
        if half is not None:
            rows, rest, separation, gap = half
            found.append(LabelGroup(label, len(rows), separation, gap, members[rows], members[rest]))
    # After every split, so that the splits do not depend on what is drawn for the leans.
    return sorted(_leaning(found, features, labels, generator), key=lambda group: -group.separation)


def gap_of_members(found: Sequence[LabelGroup], samples: int) -> Float[Tensor, " n"]:
    """The gap of the group that each sample is in, in [0, 1]; 0 outside of groups. Higher = more suspicious."""
    result = torch.zeros(samples)
    for group in found:
        result[group.members] = group.gap
    return result


def parts_of_members(found: Sequence[LabelGroup], samples: int) -> Int[Tensor, " n"]:
    """The part that each sample is in: a `service.domain.label_part` number, 0 of a label without parts."""
    result = torch.zeros(samples, dtype=torch.int8)
    for group in found:
        result[group.members], result[group.rest] = part_number("tighter"), part_number("looser")
    return result


def _leaning(
    found: Sequence[LabelGroup], features: Float[Tensor, "n d"], labels: Int[Tensor, " n"], generator: torch.Generator
) -> list[LabelGroup]:
    drawn = _drawn(labels, generator)
    most = max((len(rows) for rows in drawn.values()), default=0)

    def lean(label: int, part: Int[Tensor, " k"], rest: Int[Tensor, " r"]) -> Lean | None:
        # As many of the label's rest as of another label.
        rest = rest[torch.randperm(len(rest), generator=generator)[:most]]
        others = torch.cat([rest, *(rows for other, rows in drawn.items() if other != label)])
        near = torch.cdist(features[part[:_KEPT]], features[others]).topk(min(_NEAREST, len(others)), largest=False)
        votes = labels[others[near.indices]].flatten().bincount(minlength=label + 1)
        total, votes[label] = int(votes.sum()), 0
        return Lean(int(votes.argmax()), float(votes.max() / total)) if votes.any() else None

    return [
        replace(
            group,
            lean=lean(group.label, group.members, group.rest),
            rest_lean=lean(group.label, group.rest, group.members),
        )
        for group in found
    ]


def _drawn(labels: Int[Tensor, " n"], generator: torch.Generator) -> dict[int, Int[Tensor, " k"]]:
    """As many rows of each label, where it has them, so that a frequent label is not near for being frequent."""
    order = torch.randperm(len(labels), generator=generator)
    order = order[labels[order].argsort(stable=True)]
    sizes = labels.bincount()
    starts = (sizes.cumsum(0) - sizes).tolist()
    each = max(_NEAREST, _POOLED // max(1, int((sizes > 0).sum())))
    found = enumerate(zip(starts, sizes.tolist(), strict=True))
    return {label: order[start : start + min(size, each)] for label, (start, size) in found if size}


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
