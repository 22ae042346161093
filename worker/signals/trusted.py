"""Comparison of the training samples with a trusted reference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.influence.activations import Trace
from worker.influence.row_computations import PRODUCTS_A_SECOND, Arrays, Numbers, OfRows, Recipe, RowComputation
from worker.signals.anomaly import Strangeness, StrangenessRows, over_checkpoints
from worker.signals.density import influence_density
from worker.signals.reference import ReferenceSamples
from worker.signals.sample_groups import SampleGroups
from worker.signals.support import reference_support

NAME = "comparison"
_SECONDS_A_PAIR = 25e-9


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

    @classmethod
    def of(cls, found: Arrays, strange: StrangenessRows) -> "Comparison":
        """From what the computation gave of all training rows."""
        return cls(found["same"], found["every"], found["density"], strange.in_units(found["strange"].T))


@dataclass(frozen=True)
class Inner:
    """Input of the layer before the last, at one checkpoint, and the principal features of it."""

    values: Float[Tensor, "k e"]
    features: Float[Tensor, "k w"]


def comparison(
    train: Trace,
    labels: Int[Tensor, " n"],
    reference: ReferenceSamples,
    t: int,
    inner: Inner,
    reference_inner: Inner,
    seed: int,
    groups: SampleGroups | None = None,
) -> tuple[RowComputation, StrangenessRows]:
    """The comparison at checkpoint t, without the sample's group, and what ends it; `seed` decides which training rows stand for many."""
    there = {
        "own": reference.own_columns(len(labels)),
        "training_rows": reference.training_rows,
        "groups": None if groups is None else groups.train,
        "known_groups": None if groups is None else groups.reference,
    }
    arrays = {
        "values": inner.values,
        "known_values": reference_inner.values,
        "features": inner.features,
        "known_features": reference_inner.features,
        "activations": train.activations[t],
        "logits": train.logits[t],
        "known_activations": reference.trace.activations[t],
        "known_logits": reference.trace.logits[t],
        "labels": labels,
        "known_labels": reference.labels,
        **{name: value for name, value in there.items() if value is not None},
    }
    recipe = Recipe(NAME, arrays, {"seed": seed, "bias": train.bias})
    products = inner.values.shape[1] + inner.features.shape[1] + train.activations.shape[2] + train.logits.shape[2]
    seconds = len(labels) * len(reference.labels) * (_SECONDS_A_PAIR + products / PRODUCTS_A_SECOND)
    computation = RowComputation(
        comparison_label(t), len(labels), seconds, partial(open_comparison, recipe.arrays, recipe.numbers), recipe
    )
    return computation, _strangeness_rows(arrays, seed)


def comparison_label(t: int) -> str:
    """Label of the comparison at checkpoint t."""
    return f"{NAME}-{t}"


def open_comparison(arrays: Mapping[str, Tensor], numbers: Numbers) -> OfRows:
    """The function of rows from a recipe."""
    seed, bias, own = int(numbers["seed"]), bool(numbers["bias"]), arrays.get("own")
    groups, strange = _groups(arrays), _strangeness_rows(arrays, seed)
    labels, known_labels = arrays["labels"], arrays["known_labels"]
    train, reference = (
        Trace(arrays[f"{side}activations"][None], arrays[f"{side}logits"][None], (1.0,), bias)
        for side in ("", "known_")
    )

    def of_rows(rows: slice) -> Arrays:
        values, known_values = arrays["values"], arrays["known_values"]
        same, every = reference_support(values, labels, known_values, known_labels, groups, own, rows)
        draws = torch.Generator().manual_seed(seed)
        density = influence_density(train, labels, reference, known_labels, 0, draws, groups, own, rows)
        return {"same": same, "every": every, "density": density, "strange": strange.train(rows).T}

    return of_rows


def _strangeness_rows(arrays: Mapping[str, Tensor], seed: int) -> StrangenessRows:
    draws = torch.Generator().manual_seed(seed)
    features, known = arrays["features"], arrays["known_features"]
    return StrangenessRows.with_draws(features, known, draws, _groups(arrays), arrays.get("training_rows"))


def _groups(arrays: Mapping[str, Tensor]) -> SampleGroups | None:
    return SampleGroups(arrays["groups"], arrays["known_groups"]) if "groups" in arrays else None
