"""Comparison of the training samples with a trusted reference."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.influence.activations import Trace
from worker.signals.anomaly import Strangeness, over_checkpoints, strangeness
from worker.signals.density import influence_density
from worker.signals.reference import ReferenceSamples
from worker.signals.sample_groups import SampleGroups
from worker.signals.support import reference_support


@dataclass(frozen=True)
class Trusted:
    """S checkpoints of n samples, against m verified ones.

    `same` and `every`: mean cosine, in [-1, 1], with the 10 most similar reference samples of its label, and of any.
    `density`: logarithm of how much denser training gradients lie around its own than those of the reference.
    `strange`: remoteness, crowding and divergence (`worker.signals.anomaly.over_checkpoints`). `guess`: scores of the classes of the
    reference samples, by a linear classifier of the training samples.
    """

    same: Float[Tensor, "s n"]
    every: Float[Tensor, "s n"]
    density: Float[Tensor, "s n"]
    strange: Strangeness
    labels: Int[Tensor, " m"]
    guess: Float[Tensor, "m c"]

    @classmethod
    def over(
        cls, checkpoints: Sequence["Comparison"], labels: Int[Tensor, " m"], guess: Float[Tensor, "m c"]
    ) -> "Trusted":
        """Put S checkpoints together."""
        same, every, density = (
            torch.stack([getattr(one, name) for one in checkpoints]) for name in ("same", "every", "density")
        )
        return cls(same, every, density, over_checkpoints([one.strange for one in checkpoints]), labels, guess)


@dataclass(frozen=True)
class Comparison:
    """The same at one checkpoint."""

    same: Float[Tensor, " n"]
    every: Float[Tensor, " n"]
    density: Float[Tensor, " n"]
    strange: Strangeness


@dataclass(frozen=True)
class Inner:
    """Input of the layer before the last, at one checkpoint, and the principal features of it."""

    values: Float[Tensor, "k e"]
    features: Float[Tensor, "k w"]


def compare(
    train: Trace,
    labels: Int[Tensor, " n"],
    reference: ReferenceSamples,
    t: int,
    inner: Inner,
    reference_inner: Inner,
    seed: int,
    groups: SampleGroups | None = None,
) -> Comparison:
    """Compare at checkpoint t, without the sample's group; `seed` decides which training rows stand for many."""
    own = reference.own_columns(len(labels))
    same, every = reference_support(inner.values, labels, reference_inner.values, reference.labels, groups, own)
    density = influence_density(
        train, labels, reference.trace, reference.labels, t, torch.Generator().manual_seed(seed), groups, own
    )
    draws = torch.Generator().manual_seed(seed)
    strange = strangeness(inner.features, reference_inner.features, draws, groups, reference.training_rows)
    return Comparison(same, every, density, strange)
