"""Where samples lie at the first checkpoint, where features have not yet adapted to wrong labels."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.signals.anomaly import label_distance
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


@dataclass(frozen=True)
class WithinLabels:
    """What Position has of the labels alone."""

    groups: tuple[LabelGroup, ...]
    label_distance: Float[Tensor, " n"]


def within_labels(
    features: Float[Tensor, "n w"],
    labels: Int[Tensor, " n"],
    classes: int,
    seed: int,
    sample_groups: Int[Tensor, " n"] | None = None,
) -> WithinLabels:
    """Measure distances, which leave out the sample's own group, and groups inside a label; `seed` decides which rows stand for many."""
    found = groups(features, labels, classes, torch.Generator().manual_seed(seed))
    distance = label_distance(features, labels, classes, torch.Generator().manual_seed(seed), sample_groups)
    return WithinLabels(tuple(found), distance)
