"""Every pair of training and reference rows as a computation over rows, which several workers may share."""

from collections.abc import Mapping

from jaxtyping import Int
from torch import Tensor

from worker.influence.fused_check import kernels_work
from worker.influence.fused_pairs import FusedPairRows
from worker.influence.gradient_recipes import SIDES, TRAINING_ROWS, described, open_source
from worker.influence.gradient_sources import GradientSource, LastLayerGradients
from worker.influence.leaf_gradients import LeafGradients
from worker.influence.pair_inputs import PairInputs
from worker.influence.pair_sums import PairRows, PairSums, sums_of
from worker.influence.pairs_counted import ROWS_OF_COUNTED, PairsCounted
from worker.influence.row_computations import PRODUCTS_A_SECOND, Arrays, Numbers, OfRows, Recipe, RowComputation
from worker.influence.tracin import CheckpointInfluence

NAME = "pairs"
_LOOK_UP = 25  # products that take as long as the number of a leaf is looked up
_SECONDS_A_PAIR = 20e-9  # to reduce it, whatever the layer
_TOLD = ("classes", "by_checkpoint", "relabelled", "precision")
_TRAINING_ROWS = {**TRAINING_ROWS, **ROWS_OF_COUNTED}


def pair_computation(inputs: PairInputs) -> RowComputation:
    """Every pair, with the influence at each checkpoint where that is added up from the pairs."""
    train, reference = described(inputs.train, "train"), described(inputs.reference, "reference")
    recipe = None
    if train is not None and reference is not None:
        labels = {"labels": inputs.labels, "reference_labels": inputs.reference_labels}
        told = {name: getattr(inputs, name) for name in _TOLD}
        arrays = {**train[0], **reference[0], **labels, **inputs.counted.arrays}
        recipe = Recipe(NAME, arrays, {**train[1], **told, "pair_rates": list(inputs.rates)}, _TRAINING_ROWS)
    seconds = _seconds(inputs.train, inputs.reference_labels, len(inputs.rates))
    return RowComputation(
        NAME, len(inputs.labels), seconds, lambda: _rows(inputs), recipe, lambda device: _rows(inputs.on(device))
    )


def open_pairs(arrays: Mapping[str, Tensor], numbers: Numbers) -> OfRows:
    """The same function of rows from a recipe."""
    train, reference = (open_source(arrays, numbers, side) for side in SIDES)
    return _rows(
        PairInputs(
            train,
            arrays["labels"],
            reference,
            arrays["reference_labels"],
            tuple(numbers["pair_rates"]),
            counted=PairsCounted.of(arrays),
            **{name: numbers[name] for name in _TOLD},
        )
    )


def _rows(inputs: PairInputs) -> OfRows:
    fused = None
    if not inputs.by_checkpoint and kernels_work(inputs.labels.device, inputs.precision):
        fused = FusedPairRows.of(inputs)
    return PairRows(inputs) if fused is None else fused


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
