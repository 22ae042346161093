"""The samples on which influence is measured, and the gradients that it is measured with."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.influence.activations import Trace
from worker.influence.gradient_sources import GradientSource


@dataclass(frozen=True)
class ReferenceSamples:
    """A reference of its own, or the training set itself.

    `columns` is None for a reference of its own, whose samples `trace` and `labels` describe. Where the training set
    serves itself, `trace` is that of the training set, `columns` are the rows that are paired with every training row,
    `labels` are those of the columns, and each column stands for `weights` rows; sums over classes use all rows.
    `trusted`: people have verified the labels. `training_rows`: of a reference of its own, the training rows that its samples are,
    -1 for those that are none; None where none is.
    """

    trace: Trace
    labels: Int[Tensor, " m"]
    columns: Int[Tensor, " m"] | None = None
    weights: Float[Tensor, " m"] | None = None
    trusted: bool = False
    training_rows: Int[Tensor, " m"] | None = None

    @property
    def is_training_set(self) -> bool:
        """Whether the training set serves as its own reference."""
        return self.columns is not None

    def own_columns(self, samples: int) -> Int[Tensor, " n"] | None:
        """For each training row the column or reference sample that is the row itself, -1 without one; None where none is."""
        rows = self.training_rows if self.columns is None else self.columns
        if rows is None:
            return None
        own = torch.full((samples,), -1, dtype=torch.int64)
        inside = (rows >= 0).nonzero().squeeze(1)
        own[rows[inside]] = inside
        return own

    def corrected(self, labels: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """The labels of the training rows, those that are verified as the reference has them."""
        if self.training_rows is None:
            return labels
        inside = self.training_rows >= 0
        found = labels.clone()
        found[self.training_rows[inside]] = self.labels[inside]
        return found


@dataclass(frozen=True)
class Chosen:
    """Gradients of chosen layers instead of the last one: of training rows, of the reference, and of paired columns.

    `reference` is None where the training set serves itself with the very gradients of `train`.
    """

    train: GradientSource
    reference: GradientSource | None
    columns: GradientSource
