"""What pairs of training and reference rows are computed of, and what is wanted of them."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor

from worker.influence.gradient_sources import GradientSource
from worker.influence.pairs_counted import PairsCounted
from worker.machine.devices import Precision


@dataclass(frozen=True)
class PairInputs:
    """Gradients and labels of n training rows and m reference rows, at T checkpoints of learning rates `rates`.

    `by_checkpoint`: the influence at each checkpoint is wanted, too; `relabelled`: what it is with other labels. `precision` is that
    of kernels on a GPU.
    """

    train: GradientSource
    labels: Int[Tensor, " n"]
    reference: GradientSource
    reference_labels: Int[Tensor, " m"]
    rates: tuple[float, ...]
    classes: int
    counted: PairsCounted
    by_checkpoint: bool
    relabelled: bool
    precision: Precision = "exact"

    def on(self, device: torch.device) -> "PairInputs":
        """The same on a device."""
        return replace(
            self,
            train=self.train.on(device),
            labels=self.labels.to(device),
            reference=self.reference.on(device),
            reference_labels=self.reference_labels.to(device),
            counted=self.counted.on(device),
        )
