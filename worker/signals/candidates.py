"""Samples to verify next: of each label those that together represent it best.

Greedy facility location on the model's features: a sample covers another by their cosine, and the next sample is the one
that adds most coverage. The labels take turns, so that every prefix of the list is balanced.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.signals.neighbours import directions

_PROPOSED = 500
_CONSIDERED = 500  # rows, drawn, of each label


@dataclass(frozen=True)
class VerificationCandidate:
    """`closer`: how many of the `among` other rows of its label are more similar to it than to any earlier candidate.

    `turn`: the number of earlier candidates of its label. At turn 0 all others are closer.
    """

    row: int
    turn: int
    closer: int
    among: int


def verification_candidates(
    activations: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    classes: int,
    generator: torch.Generator,
    limit: int = _PROPOSED,
) -> list[VerificationCandidate]:
    """At most `limit` rows to verify, the best first; a smaller limit gives a prefix of the same list."""
    members = [_members(labels, label, generator) for label in range(classes)]
    sizes = [len(rows) for rows in members]
    features = torch.split(directions(activations[torch.cat(members)]), sizes)
    turns = _turns(sizes, limit)
    found: list[VerificationCandidate] = []
    for rows, own in zip(members, features, strict=True):
        order, closer = cover(own, min(turns, len(rows)))
        found += [
            VerificationCandidate(row, turn, count, len(rows) - 1)
            for turn, (row, count) in enumerate(zip(rows[order].tolist(), closer.tolist(), strict=True))
        ]
    return sorted(found, key=lambda proposal: proposal.turn)[:limit]


def cover(features: Float[Tensor, "n d"], count: int) -> tuple[Int[Tensor, " k"], Int[Tensor, " k"]]:
    """Rows in the order of the coverage that they add, and for how many others each is the most similar so far."""
    # In numpy, because of thousands of calls on few numbers: each costs a fraction of one to torch.
    cosines = (features @ features.T).numpy()
    nearest = np.full(len(features), -np.inf, dtype=np.float32)
    gains = cosines.clip(min=0).sum(1)
    order: list[int] = []
    closer: list[int] = []
    for _ in range(count):
        row = int(gains.argmax())
        gained = cosines[row] > nearest
        # Rows that are now covered better add less to the gain of the others.
        seen = cosines[gained]
        before, after = nearest[gained, None].clip(min=0), cosines[gained, row, None].clip(min=0)
        gains -= ((seen - before).clip(min=0) - (seen - after).clip(min=0)).sum(0)
        nearest[gained] = cosines[row, gained]
        gained[row] = False
        gains[row] = -np.inf
        order.append(row)
        closer.append(int(gained.sum()))
    return torch.tensor(order, dtype=torch.int64), torch.tensor(closer, dtype=torch.int64)


def _members(labels: Int[Tensor, " n"], label: int, generator: torch.Generator) -> Int[Tensor, " k"]:
    rows = (labels == label).nonzero().squeeze(1)
    return rows[torch.randperm(len(rows), generator=generator)[:_CONSIDERED]].sort().values


def _turns(sizes: list[int], limit: int) -> int:
    # The number of rounds that give `limit` rows, or all.
    turns = dealt = 0
    while dealt < limit and turns < max(sizes, default=0):
        dealt += sum(size > turns for size in sizes)
        turns += 1
    return turns
