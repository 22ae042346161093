"""Every pair of training and reference rows as a computation over rows, which several workers may share."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from worker.influence.activations import Trace
from worker.influence.gradient_sources import GradientSource, LastLayerGradients
from worker.influence.pair_sums import PairRows, PairSums, Related, sums_of, weight_behind
from worker.influence.pairs import PairwiseInfluence
from worker.influence.row_computations import PRODUCTS_A_SECOND, Arrays, Numbers, OfRows, Recipe, RowComputation
from worker.influence.tracin import CheckpointInfluence

NAME = "pairs"
_RELATED = "related."
_SECONDS_A_PAIR = 30e-9  # to reduce it, whatever the layer


@dataclass(frozen=True)
class PairsCounted:
    """Which pairs are left out, and what the others stand for: arguments of PairRows."""

    weights: Float[Tensor, " m"] | None = None
    own_column: Int[Tensor, " n"] | None = None
    related: Related | None = None

    @property
    def arrays(self) -> Arrays:
        """Those that there are."""
        there = {"weights": self.weights, "own": self.own_column}
        if self.related is not None:
            there |= {f"{_RELATED}{name}": value for name, value in vars(self.related).items()}
        return {name: value for name, value in there.items() if value is not None}

    @classmethod
    def of(cls, arrays: Mapping[str, Tensor]) -> "PairsCounted":
        """From arrays by these names."""
        related = {name.removeprefix(_RELATED): value for name, value in arrays.items() if name.startswith(_RELATED)}
        return cls(arrays.get("weights"), arrays.get("own"), Related(**related) if related else None)


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
) -> RowComputation:
    """Every pair, with the influence `by_checkpoint` where that is added up from the pairs."""
    recipe = None
    if isinstance(train, LastLayerGradients) and isinstance(reference, LastLayerGradients) and not by_checkpoint:
        recipe = Recipe(
            NAME,
            {
                **_arrays_of("train", train.trace),
                **_arrays_of("reference", reference.trace),
                "labels": labels,
                "reference_labels": reference_labels,
                **counted.arrays,
            },
            {"rates": list(rates), "bias": train.trace.bias, "classes": classes},
        )

    def rows() -> OfRows:
        pairs = PairwiseInfluence(train, labels, reference, reference_labels, rates, classes if by_checkpoint else None)
        return PairRows(pairs, reference_labels, classes, **vars(counted))

    return RowComputation(NAME, len(labels), _seconds(train, reference_labels, len(rates), recipe), rows, recipe)


def open_pairs(arrays: Mapping[str, Tensor], numbers: Numbers) -> OfRows:
    """The same function of rows from a recipe."""
    rates, classes = tuple(numbers["rates"]), int(numbers["classes"])
    train, reference = (
        LastLayerGradients(_trace_of(side, arrays, rates, bias=bool(numbers["bias"])))
        for side in ("train", "reference")
    )
    known = arrays["reference_labels"]
    pairs = PairwiseInfluence(train, arrays["labels"], reference, known, rates)
    return PairRows(pairs, known, classes, **vars(PairsCounted.of(arrays)))


def pair_sums_of(
    found: Arrays,
    reference_labels: Int[Tensor, " m"],
    checkpoints: int,
    counted: PairsCounted,
) -> tuple[PairSums, list[CheckpointInfluence]]:
    """What the computation gave of all training rows, with the arguments that it had."""
    weight = weight_behind(len(found["moved"]), len(reference_labels), *vars(counted).values())
    return sums_of(found, weight, checkpoints)


def _seconds(
    train: GradientSource, reference_labels: Int[Tensor, " m"], checkpoints: int, recipe: Recipe | None
) -> float:
    """About the time on one thread; of gradients that no other process can have, that of a small layer."""
    products = 0
    if recipe is not None:
        activations, logits = recipe.arrays["train.activations"], recipe.arrays["train.logits"]
        products = len(activations) * activations.shape[2] + (checkpoints + 2) * logits.shape[2]
    return train.samples * len(reference_labels) * (_SECONDS_A_PAIR + products / PRODUCTS_A_SECOND)


def _arrays_of(side: str, trace: Trace) -> Arrays:
    activations = trace.activations[:1] if trace.shared else trace.activations
    return {f"{side}.activations": activations, f"{side}.logits": trace.logits}


def _trace_of(side: str, arrays: Mapping[str, Tensor], rates: tuple[float, ...], *, bias: bool) -> Trace:
    activations = arrays[f"{side}.activations"]
    return Trace(activations.expand(len(rates), -1, -1), arrays[f"{side}.logits"], rates, bias)
