"""Influence on the classes of a reference as computations over rows, which several workers may share.

The sums of the reference's gradients come first, one pass over the reference at each checkpoint: they are added up block after block,
and in another order would have other bits. What is multiplied with them is shared.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial

import torch
from jaxtyping import Int
from torch import Tensor

from worker.influence.activations import Trace
from worker.influence.gradient_recipes import TRAINING_ROWS, described, open_source
from worker.influence.gradient_sources import GradientSource, LastLayerGradients
from worker.influence.gradients import GradientSums
from worker.influence.leaf_gradients import LeafGradients
from worker.influence.row_computations import (
    PRODUCTS_A_SECOND,
    Arrays,
    Begin,
    Numbers,
    OfRows,
    OnShare,
    Recipe,
    RowComputation,
)
from worker.influence.tracin import ClassGradientSums, checkpoint_influence, class_gradient_sums
from worker.machine.devices import CPU, computed_on
from worker.signals.class_influence import ClassInfluence

NAME = "influence"
_SECONDS_A_ROW = 1e-6  # at a checkpoint, beside the products
_LOOK_UP = 25  # products that take as long as the sums of a leaf are looked up
_HELD = 2**28  # bytes of sums


@dataclass(frozen=True)
class SummedGradients:
    """Sums of the reference's gradients at some checkpoints from `first` on, of learning rates `rates`.

    `sizes`: how many samples of each class they sum over; with `is_training_set` these are the training samples themselves.
    """

    first: int
    rates: tuple[float, ...]
    sums: tuple[ClassGradientSums, ...]
    sizes: Int[Tensor, " c"]
    is_training_set: bool

    def on(self, device: torch.device) -> "SummedGradients":
        """The same on a device."""
        return replace(self, sums=tuple(one.on(device) for one in self.sums), sizes=self.sizes.to(device))


@dataclass
class BegunClassInfluence:
    """The influence of n training samples, whose gradients are those of `source`, on the classes of a reference, begun as sums are added.

    Sums of several checkpoints are kept until they take 256 MB, or until there are no more, and what is computed of them is one computation. `on_progress(t)`
    gives the function that takes the share done of checkpoint t.
    """

    source: GradientSource
    labels: Int[Tensor, " n"]
    reference: GradientSource
    reference_labels: Int[Tensor, " m"]
    classes: int
    rates: tuple[float, ...]
    is_training_set: bool
    begin: Begin
    on_progress: Callable[[int], OnShare]
    device: torch.device = CPU
    _sums: list[ClassGradientSums] = field(default_factory=list)
    _begun: list[tuple[range, Callable[[], Arrays]]] = field(default_factory=list)
    _next: int = 0

    def add_checkpoint(self) -> None:
        """Sum the reference's gradients at the next checkpoint, at which both sources can be read now."""
        t = self._next
        self._sums.append(self._summed(t))
        self._next += 1
        one = sum(layer.flat.nbytes for layer in self._sums[-1].layers)
        if one * (len(self._sums) + 1) > _HELD:
            self.begin_rest()

    def _summed(self, t: int) -> ClassGradientSums:
        if self.device == CPU or isinstance(self.reference, LeafGradients):
            return class_gradient_sums(self.reference, t, self.reference_labels, self.classes)
        source, place = self.reference, t
        if isinstance(source, LastLayerGradients):
            source, place = _of_checkpoints(source.trace, slice(t, t + 1)), 0

        def summed(device: torch.device) -> ClassGradientSums:
            labels = self.reference_labels.to(device)
            return class_gradient_sums(source.on(device), place, labels, self.classes).on(CPU)

        return computed_on(self.device, summed)

    def begin_rest(self) -> None:
        """Begin what is to be computed of the sums that are kept."""
        if not self._sums:
            return
        checkpoints = range(self._next - len(self._sums), self._next)
        rates = self.rates[checkpoints.start : checkpoints.stop]
        sizes = self.reference_labels.bincount(minlength=self.classes)
        summed = SummedGradients(checkpoints.start, rates, tuple(self._sums), sizes, self.is_training_set)
        self._sums.clear()
        told = [self.on_progress(t) for t in checkpoints]

        def on_share(share: float) -> None:
            for one in told:
                one(share)

        self._begun.append((checkpoints, self.begin(class_computation(self.source, self.labels, summed), on_share)))

    def end(self, influence: ClassInfluence) -> None:
        """Fill in all checkpoints once they are computed."""
        while self._begun:
            checkpoints, arrays = self._begun.pop(0)
            found = arrays()
            for place, t in enumerate(checkpoints):
                for one in fields(influence):
                    # They are as large as what they are copied to.
                    getattr(influence, one.name)[t] = found.pop(_name(place, one.name))


def class_computation(source: GradientSource, labels: Int[Tensor, " n"], summed: SummedGradients) -> RowComputation:
    """The influence of the training samples on the classes, at the checkpoints of the sums."""
    label = influence_label(summed.first)
    if isinstance(source, LastLayerGradients):
        # What later checkpoints give is not known yet.
        there = slice(summed.first, summed.first + len(summed.rates))
        source, summed = _of_checkpoints(source.trace, there), _from_first(summed)
    ours, recipe = described(source, "train"), None
    if ours is not None:
        sums = {
            f"sums.{place}.{layer}": one.flat
            for place, at_checkpoint in enumerate(summed.sums)
            for layer, one in enumerate(at_checkpoint.layers)
        }
        told = {
            "first": summed.first,
            "checkpoint_rates": list(summed.rates),
            "layers": len(summed.sums[0].layers),
            "is_training_set": summed.is_training_set,
        }
        arrays = {**ours[0], **sums, "labels": labels, "sizes": summed.sizes}
        recipe = Recipe(NAME, arrays, {**ours[1], **told}, TRAINING_ROWS)

    def on(device: torch.device) -> OfRows:
        return _influence_rows(source.on(device), labels.to(device), summed.on(device))

    rows = partial(_influence_rows, source, labels, summed)
    return RowComputation(label, len(labels), _seconds(source, summed), rows, recipe, on)


def influence_label(t: int) -> str:
    """Label of the computation whose first checkpoint is t."""
    return f"{NAME}-{t}"


def open_class_influence(arrays: Mapping[str, Tensor], numbers: Numbers) -> OfRows:
    """The same function of rows from a recipe."""
    sizes, rates = arrays["sizes"], tuple(numbers["checkpoint_rates"])
    sums = tuple(
        ClassGradientSums(
            [GradientSums(arrays[f"sums.{place}.{layer}"]) for layer in range(numbers["layers"])], len(sizes)
        )
        for place in range(len(rates))
    )
    summed = SummedGradients(int(numbers["first"]), rates, sums, sizes, bool(numbers["is_training_set"]))
    return _influence_rows(open_source(arrays, numbers, "train"), arrays["labels"], summed)


def _influence_rows(source: GradientSource, labels: Int[Tensor, " n"], summed: SummedGradients) -> OfRows:
    def of_rows(rows: slice) -> Arrays:
        part = ClassInfluence.empty(len(summed.rates), rows.stop - rows.start, len(summed.sizes))
        for place, (sums, rate) in enumerate(zip(summed.sums, summed.rates, strict=True)):
            found = checkpoint_influence(source, summed.first + place, labels, sums, rate, rows)
            part.fill(place, found, labels[rows], summed.sizes, is_training_set=summed.is_training_set)
        return {
            _name(place, one.name): getattr(part, one.name)[place]
            for place in range(len(summed.rates))
            for one in fields(part)
        }

    return of_rows


def _of_checkpoints(trace: Trace, there: slice) -> LastLayerGradients:
    return LastLayerGradients(Trace(trace.activations[there], trace.logits[there], trace.rates[there], trace.bias))


def _from_first(summed: SummedGradients) -> SummedGradients:
    return SummedGradients(0, summed.rates, summed.sums, summed.sizes, summed.is_training_set)


def _seconds(source: GradientSource, summed: SummedGradients) -> float:
    """About the time on one thread; of gradients that need the network itself, that of their products with the sums."""
    products = sum(layer.flat.numel() for layer in summed.sums[0].layers)
    if isinstance(source, LeafGradients):
        products = _LOOK_UP * 2 * len(summed.sizes) * source.blocks[0].leaves.shape[1]
    return source.samples * len(summed.rates) * (_SECONDS_A_ROW + products / PRODUCTS_A_SECOND)


def _name(place: int, name: str) -> str:
    return f"{place}.{name}"
