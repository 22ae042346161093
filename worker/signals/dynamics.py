"""Learning dynamics: margin, loss and probabilities of every sample over the checkpoints of a training."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.influence.activations import logit_errors
from worker.signals.margin import margin

_EARLY_MOST, _EARLY_LEAST = 5, 2


@dataclass(frozen=True)
class Dynamics:
    """T checkpoints of n samples.

    `margin`: of the logits, negative = another class scores higher. `loss`: cross-entropy in nats, >= 0. `error_norm`:
    `|softmax(z) - e_y|`, in [0, sqrt 2]. `early` and `mean`: class probabilities, averaged over the early checkpoints
    and over all.
    """

    margin: Float[Tensor, "t n"]
    loss: Float[Tensor, "t n"]
    error_norm: Float[Tensor, "t n"]
    early: Float[Tensor, "n c"]
    mean: Float[Tensor, "n c"]


def early_checkpoints(count: int) -> int:
    """How many of T checkpoints are early: half of them, at least 2 and at most 5 (benchmarks/results/early.md)."""
    return min(count, max(_EARLY_LEAST, min(_EARLY_MOST, count // 2)))


def late_checkpoints(count: int) -> int:
    """How many of T checkpoints are late: those after two thirds of them (benchmarks/results/early.md)."""
    return count - 2 * count // 3


def learning_dynamics(logits: Float[Tensor, "t n c"], labels: Int[Tensor, " n"]) -> Dynamics:
    """Measure all checkpoints, one at a time: memory holds the probabilities of one."""
    count, samples, classes = logits.shape
    margins, losses, norms = (torch.empty(count, samples) for _ in range(3))
    early, mean = torch.zeros(samples, classes), torch.zeros(samples, classes)
    for t, scores in enumerate(logits):
        margins[t] = margin(scores, labels)
        norms[t] = logit_errors(scores, labels).norm(dim=1)
        log_probability = torch.log_softmax(scores, 1)
        losses[t] = -log_probability.gather(1, labels[:, None]).squeeze(1)
        probability = log_probability.exp_()
        mean.add_(probability, alpha=1 / count)
        if t < early_checkpoints(count):
            early.add_(probability, alpha=1 / early_checkpoints(count))
    return Dynamics(margins, losses, norms, early, mean)
