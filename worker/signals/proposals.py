"""Which samples to verify next: of each label those that together stand for most of it.

Greedy facility location in the model's features: a sample covers another by their cosine, and each next one is that
which adds most to what the earlier ones cover. The labels take turns, so that every beginning of the list is balanced.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.signals.neighbours import directions

_PROPOSED = 500
_LOOKED_AT = 500  # rows of a label
_AHEAD = 16  # candidates whose gain is brought up to date together


@dataclass(frozen=True)
class Proposal:
    """`closer`: how many of the `among` other rows of its label are more like it than like any earlier proposal.

    `turn` counts the earlier proposals of its label; at turn 0 all are closer.
    """

    row: int
    turn: int
    closer: int
    among: int


def proposals(
    activations: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    classes: int,
    generator: torch.Generator,
    limit: int = _PROPOSED,
) -> list[Proposal]:
    """At most `limit` rows worth verifying, the best first; a smaller limit gives the beginning of the same list."""
    members = [_members(labels, label, generator) for label in range(classes)]
    sizes = [len(rows) for rows in members]
    features = torch.split(directions(activations[torch.cat(members)]), sizes)
    turns = _turns(sizes, limit)
    found: list[Proposal] = []
    for rows, own in zip(members, features, strict=True):
        order, closer = cover(own, min(turns, len(rows)))
        found += [
            Proposal(row, turn, count, len(rows) - 1)
            for turn, (row, count) in enumerate(zip(rows[order].tolist(), closer.tolist(), strict=True))
        ]
    return sorted(found, key=lambda proposal: proposal.turn)[:limit]


def cover(features: Float[Tensor, "n d"], count: int) -> tuple[Int[Tensor, " k"], Int[Tensor, " k"]]:
    """Rows in the order in which they add most coverage, and to how many others each is the nearest so far."""
    cosines = features @ features.T
    nearest = torch.full((len(features),), -torch.inf)
    # What a row adds only shrinks, so an old gain is a bound: most rows need not be looked at again (lazy greedy).
    bound = cosines.clamp(min=0).sum(1)
    order: list[int] = []
    closer: list[int] = []
    for _ in range(count):
        row = _next(cosines, nearest.clamp(min=0), bound)
        bound[row] = -torch.inf
        gained = cosines[row] > nearest
        gained[row] = False
        order.append(row)
        closer.append(int(gained.sum()))
        nearest = torch.maximum(nearest, cosines[row])
    return torch.tensor(order, dtype=torch.int64), torch.tensor(closer, dtype=torch.int64)


def _next(cosines: Float[Tensor, "n n"], covered: Float[Tensor, " n"], bound: Float[Tensor, " n"]) -> int:
    best, most = -1, -torch.inf
    waiting = bound.clone()
    while best < 0 or float(waiting.max()) > most:
        rows = waiting.topk(min(_AHEAD, len(waiting))).indices
        rows = rows[waiting[rows] > -torch.inf]
        gains = (cosines[rows] - covered).clamp_(min=0).sum(1)
        bound[rows] = gains
        waiting[rows] = -torch.inf
        if float(gains.max()) > most:
            best, most = int(rows[gains.argmax()]), float(gains.max())
    return best


def _members(labels: Int[Tensor, " n"], label: int, generator: torch.Generator) -> Int[Tensor, " k"]:
    rows = (labels == label).nonzero().squeeze(1)
    return rows[torch.randperm(len(rows), generator=generator)[:_LOOKED_AT]].sort().values


def _turns(sizes: list[int], limit: int) -> int:
    # So many rounds deal out `limit` rows, or all.
    turns = dealt = 0
    while dealt < limit and turns < max(sizes, default=0):
        dealt += sum(size > turns for size in sizes)
        turns += 1
    return turns
