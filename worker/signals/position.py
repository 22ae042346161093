"""Where samples lie at the first checkpoint, where features have not yet adapted to wrong labels."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.signals.anomaly import isolation, label_distance
from worker.signals.groups import LabelGroup, groups


@dataclass(frozen=True)
class Position:
    """`features`: at most 32 principal directions of the input of the layer before the last.

    `guess`: scores of each class by a linear classifier of all samples of other groups, about 1 for a sure class. `groups`: one
    part of each label that stands apart. `label_distance`, `isolation`: see worker.signals.anomaly.
    """

    features: Float[Tensor, "n w"]
    guess: Float[Tensor, "n c"]
    groups: tuple[LabelGroup, ...]
    label_distance: Float[Tensor, " n"]
    isolation: Float[Tensor, " n"]


def position(
    features: Float[Tensor, "n w"],
    guess: Float[Tensor, "n c"],
    labels: Int[Tensor, " n"],
    seed: int,
    sample_groups: Int[Tensor, " n"] | None = None,
) -> Position:
    """Measure distances, which leave out the sample's own group, and groups inside a label; `seed` decides which rows stand for many."""
    classes = guess.shape[1]
    found = groups(features, labels, classes, torch.Generator().manual_seed(seed))
    distance = label_distance(features, labels, classes, torch.Generator().manual_seed(seed), sample_groups)
    alone = isolation(features, torch.Generator().manual_seed(seed), sample_groups)
    return Position(features, guess, tuple(found), distance, alone)
