"""Influence of every sample on itself and on the classes of the reference, at every checkpoint."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.influence.tracin import CheckpointInfluence
from worker.signals.margin import margin


@dataclass(frozen=True)
class ClassInfluence:
    """T checkpoints of n samples; a sample is left out of the sums and means of its own class.

    `self_influence`: `eta <g_i, g_i>`; `by_class`: `eta sum_{j: y_j=c} <g_i, g_j>`, both in units of loss, positive =
    lowers the loss. `gradient_norm`: `|g_i|`. `own_cosine`: mean cosine, in [-1, 1], of g_i with the gradients of the
    reference samples with its label; `cosine_margin`: the same less that of the best other class, in [-2, 2].
    """

    self_influence: Float[Tensor, "t n"]
    gradient_norm: Float[Tensor, "t n"]
    by_class: Float[Tensor, "t n c"]
    own_cosine: Float[Tensor, "t n"]
    cosine_margin: Float[Tensor, "t n"]

    @classmethod
    def empty(cls, count: int, samples: int, classes: int) -> "ClassInfluence":
        """Memory for T checkpoints, to be filled in any order."""
        own, norm, cosine, lead = (torch.empty(count, samples) for _ in range(4))
        return cls(own, norm, torch.empty(count, samples, classes), cosine, lead)

    def fill(
        self,
        t: int,
        found: CheckpointInfluence,
        labels: Int[Tensor, " n"],
        sizes: Int[Tensor, " c"],
        *,
        is_training_set: bool,
    ) -> None:
        """Store checkpoint t.

        `sizes` are the numbers of samples of each class that `found` sums over: with `is_training_set` the samples themselves.
        """
        own = labels[:, None]
        self.self_influence[t] = found.self_influence
        self.gradient_norm[t] = found.norms
        self.by_class[t] = found.class_influence
        counts = sizes.expand(len(labels), -1).clone()
        cosines = found.class_cosines
        if is_training_set:
            # The sample itself leaves its class: its influence on itself, one sample, and its cosine with itself.
            self.by_class[t].scatter_add_(1, own, -found.self_influence[:, None])
            counts.scatter_add_(1, own, torch.full_like(own, -1))
            cosines = cosines.scatter_add(1, own, -found.self_cosine[:, None].to(cosines.dtype))
        means = torch.where(counts > 0, cosines / counts.clamp(min=1), 0.0)
        self.own_cosine[t] = means.gather(1, own).squeeze(1)
        self.cosine_margin[t] = margin(means, labels)
