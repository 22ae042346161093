"""Every pair of training and reference rows as a computation over rows, which several workers may share."""

from collections.abc import Mapping

from jaxtyping import Int
from torch import Tensor

from worker.influence.gradient_recipes import SIDES, described, open_source
from worker.influence.gradient_sources import GradientSource, LastLayerGradients
from worker.influence.leaf_gradients import LeafGradients
from worker.influence.pair_sums import PairRows, PairSums, sums_of
from worker.influence.pairs_counted import PairsCounted
from worker.influence.row_computations import PRODUCTS_A_SECOND, Arrays, Numbers, OfRows, Recipe, RowComputation
from worker.influence.tracin import CheckpointInfluence

NAME = "pairs"
_LOOK_UP = 25  # products that take as long as the number of a leaf is looked up
_SECONDS_A_PAIR = 20e-9  # to reduce it, whatever the layer


def pair_computation(
    train: GradientSource,
    labels: Int[Tensor, " n"],
    reference: GradientSource,
    reference_labels: Int[Tensor, " m"],
    rates: tuple[float, ...],
    classes: int,
    counted: PairsCounted,
    *,
    by_checkpoint: bool,
    relabelled: bool,
) -> RowComputation:
    """Every pair, with the influence `by_checkpoint` where that is added up from the pairs, and with `relabelled` rows."""
    ours, theirs = described(train, "train"), described(reference, "reference")
    recipe = None
    if ours is not None and theirs is not None:
        labelled = {"labels": labels, "reference_labels": reference_labels}
        told = {"pair_rates": list(rates), "classes": classes, "by_checkpoint": by_checkpoint, "relabelled": relabelled}
        recipe = Recipe(NAME, {**ours[0], **theirs[0], **labelled, **counted.arrays}, {**ours[1], **told})

    def rows() -> OfRows:
        return PairRows(
            train,
            labels,
            reference,
            reference_labels,
            rates,
            classes,
            counted,
            by_checkpoint=by_checkpoint,
            relabelled=relabelled,
        )

    return RowComputation(NAME, len(labels), _seconds(train, reference_labels, len(rates)), rows, recipe)


def open_pairs(arrays: Mapping[str, Tensor], numbers: Numbers) -> OfRows:
    """The same function of rows from a recipe."""
    train, reference = (open_source(arrays, numbers, side) for side in SIDES)
    return PairRows(
        train,
        arrays["labels"],
        reference,
        arrays["reference_labels"],
        tuple(numbers["pair_rates"]),
        int(numbers["classes"]),
        PairsCounted.of(arrays),
        by_checkpoint=bool(numbers["by_checkpoint"]),
        relabelled=bool(numbers["relabelled"]),
    )


def pair_sums_of(
    found: Arrays,
    reference_labels: Int[Tensor, " m"],
    checkpoints: int,
    counted: PairsCounted,
) -> tuple[PairSums, list[CheckpointInfluence]]:
    """What the computation gave of all training rows, with the arguments that it had."""
    weight = counted.behind(len(found["positive.count"]), len(reference_labels))
    return sums_of(found, weight, checkpoints)


def _seconds(train: GradientSource, reference_labels: Int[Tensor, " m"], checkpoints: int) -> float:
    """About the time on one thread; of gradients that need the network itself, that of a small layer."""
    products = 0
    if isinstance(train, LastLayerGradients):
        activations, logits = train.trace.activations, train.trace.logits
        products = (1 if train.trace.shared else checkpoints) * activations.shape[2] + (checkpoints + 2) * logits.shape[
            2
        ]
    elif isinstance(train, LeafGradients):
        products = _LOOK_UP * (checkpoints + 2) * train.blocks[0].leaves.shape[1]
    return train.samples * len(reference_labels) * (_SECONDS_A_PAIR + products / PRODUCTS_A_SECOND)
