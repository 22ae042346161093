"""TracIn influence of every training row on every reference row, in blocks of training rows.

The n x m matrix is never held. `PairwiseInfluence` keeps the reference's gradients; a block is a value that depends on
its rows alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.influence.class_segments import ClassSegments
from worker.influence.gradient_sources import GradientSource, row_blocks
from worker.influence.gradients import Gradient, Outer, byte_size, concatenate, dots, scaled
from worker.influence.tracin import TINY, CheckpointInfluence, gradient_norms, self_influence
from worker.machine.devices import CPU

_BLOCK = 512  # training rows
_DEVICE_BLOCK, _SMALLEST_BLOCK = 4_096, 64  # the same on a GPU, which smaller blocks leave idle
_DEVICE_PAIRS = 2**26  # in a block there
_LARGEST = 4 * 2**30  # bytes of reference gradients, held at once


@dataclass(frozen=True)
class InputProducts:
    """`<u_i, u_j>` of what enters one layer at checkpoint t, for b training rows and m reference rows.

    `inputs` are the training rows' u_i.
    """

    t: int
    inputs: Float[Tensor, "b d"]
    products: Float[Tensor, "b m"]


@dataclass(frozen=True)
class PairBlock:
    """Influence of b training rows on m reference rows, summed over checkpoints. Unit: loss; positive: helped.

    `last_products`: per layer what the last checkpoint's influence keeps when labels change; None for a layer whose
    gradients are no outer products. `checkpoints`: the rows' influence at each checkpoint, empty unless asked for.
    """

    rows: slice
    influence: Float[Tensor, "b m"]
    last_products: tuple[InputProducts | None, ...]
    checkpoints: tuple[CheckpointInfluence, ...] = ()


class PairwiseInfluence:
    """Influence of training rows on m reference rows at T checkpoints of learning rates `rates`.

    With the `segments` of its classes, blocks also have the influence at each checkpoint: where layers are wide, adding up
    pairs costs less than `checkpoint_influence`, which multiplies with sums of gradients. Raises MemoryError where the
    reference's gradients take more than 4 GiB.
    """

    def __init__(
        self,
        train: GradientSource,
        labels: Int[Tensor, " n"],
        reference: GradientSource,
        reference_labels: Int[Tensor, " m"],
        rates: tuple[float, ...],
        segments: ClassSegments | None = None,
    ) -> None:
        self.labels, self.columns = labels, len(reference_labels)
        self._train, self._rates = train, rates
        on_device = max(_SMALLEST_BLOCK, min(_DEVICE_BLOCK, _DEVICE_PAIRS // max(self.columns, 1)))
        self._block = min(_BLOCK if labels.device == CPU else on_device, train.block)
        self._check_memory(reference, reference_labels)
        gradients = [_all_gradients(reference, t, reference_labels) for t in range(len(rates))]
        weighted = [
            [scaled(gradient, torch.full((self.columns,), rate)) for gradient in at_checkpoint]
            for at_checkpoint, rate in zip(gradients, rates, strict=True)
        ]
        self._layers = [_layer_pairs(list(layer)) for layer in zip(*weighted, strict=True)]
        self._segments = segments
        # Column by column: one over the length of the gradient, with the rate that the pairs have.
        self._inverse_norms = [
            1 / (rate * gradient_norms(at_checkpoint)).clamp(min=TINY)
            for at_checkpoint, rate in zip(gradients, rates, strict=True)
            if segments is not None
        ]

    def _check_memory(self, reference: GradientSource, labels: Int[Tensor, " m"]) -> None:
        few = slice(0, min(reference.block, self.columns))
        per_row = sum(map(byte_size, reference.gradients(0, few, labels[few]))) / max(few.stop, 1)
        needed = per_row * self.columns * len(self._rates)
        if needed > _LARGEST:
            raise MemoryError(
                f"the gradients of {self.columns} reference rows at {len(self._rates)} checkpoints take "
                f"{needed / 2**30:.0f} GiB; choose fewer layers, fewer columns or checkpoints, or estimator projected"
            )

    @property
    def checkpoints(self) -> int:
        """Number of checkpoints."""
        return len(self._rates)

    def blocks(self, rows: slice | None = None) -> Iterator[PairBlock]:
        """All training rows, or some, in order."""
        first, last = (0, len(self.labels)) if rows is None else (rows.start, rows.stop)
        for start in range(first, last, self._block):
            yield self.block(slice(start, min(start + self._block, last)))

    def block(self, rows: slice) -> PairBlock:
        """Influence of some training rows, with the labels that they have."""
        labels = self.labels[rows]
        gradients = [self._train.gradients(t, rows, labels) for t in range(len(self._rates))]
        if self._segments is not None:
            return self._block_by_checkpoint(rows, gradients, self._segments)
        total = torch.zeros(len(labels), self.columns)
        last_products = tuple(
            layer.add_all(total, list(of_layer))
            for layer, of_layer in zip(self._layers, zip(*gradients, strict=True), strict=True)
        )
        return PairBlock(rows, total, last_products)

    def _block_by_checkpoint(self, rows: slice, gradients: list[list[Gradient]], segments: ClassSegments) -> PairBlock:
        total = torch.zeros(rows.stop - rows.start, self.columns)
        at_checkpoint = torch.empty_like(total)
        projections = torch.empty_like(total)  # `<g_i, g_j> / |g_j|`
        buffers = [_Buffers.like(total) for _ in self._layers]
        products: list[InputProducts | None] = [None] * len(self._layers)
        checkpoints = []
        for t, of_layers in enumerate(gradients):
            at_checkpoint.zero_()
            products = [
                layer.add(at_checkpoint, gradient, t, known, room)
                for layer, gradient, known, room in zip(self._layers, of_layers, products, buffers, strict=True)
            ]
            norms = gradient_norms(of_layers)
            own, itself = self_influence(of_layers, norms, self._rates[t])
            torch.mul(at_checkpoint, self._inverse_norms[t], out=projections)
            checkpoints.append(
                CheckpointInfluence(
                    own,
                    norms,
                    itself,
                    segments.sums(at_checkpoint),
                    segments.sums(projections) / norms.clamp(min=TINY)[:, None],
                )
            )
            total.add_(at_checkpoint)
        return PairBlock(rows, total, tuple(products), tuple(checkpoints))

    def relabelled(self, block: PairBlock, labels: Int[Tensor, " b"]) -> Float[Tensor, "b m"]:
        """Influence of the block's rows at the last checkpoint alone, had they had these labels."""
        total = torch.zeros(len(labels), self.columns)
        buffers = _Buffers.like(total)
        last = len(self._rates) - 1
        gradients = self._train.gradients(last, block.rows, labels)
        for layer, gradient, products in zip(self._layers, gradients, block.last_products, strict=True):
            layer.add(total, gradient, last, products, buffers)
        return total


@dataclass(frozen=True)
class _Buffers:
    """Room for the products of one layer, reused by all checkpoints: the system maps fresh memory page by page."""

    products: Float[Tensor, "b m"]
    errors: Float[Tensor, "b m"]

    @classmethod
    def like(cls, total: Float[Tensor, "b m"]) -> "_Buffers":
        return cls(torch.empty_like(total), torch.empty_like(total))


class _OuterPairs:
    """One layer whose gradients are outer products at all checkpoints: two matrix products a checkpoint."""

    def __init__(self, reference: list[Outer]) -> None:
        self._same_inputs = all(torch.equal(one.inputs, reference[0].inputs) for one in reference)
        first = reference[0].inputs.T.contiguous()
        self._inputs = [first if self._same_inputs else one.inputs.T.contiguous() for one in reference]
        self._errors = [one.errors.T for one in reference]
        self._stacked_errors = torch.cat(self._errors)

    def add_all(self, total: Float[Tensor, "b m"], gradients: list[Outer]) -> InputProducts:
        """Add the influence at all checkpoints to `total`; gives the products of the last one's inputs."""
        t, last = len(gradients) - 1, gradients[-1].inputs
        product, factor = torch.empty_like(total), torch.empty_like(total)
        if self._same_inputs and all(torch.equal(one.inputs, last) for one in gradients):
            # Where inputs never change, one product stands for those of all checkpoints, and one for all errors.
            torch.mm(last, self._inputs[0], out=product)
            torch.mm(torch.cat([one.errors for one in gradients], 1), self._stacked_errors, out=factor)
            total.addcmul_(product, factor)
            return InputProducts(t, last, product)
        for gradient, inputs, errors in zip(gradients, self._inputs, self._errors, strict=True):
            torch.mm(gradient.inputs, inputs, out=product)
            total.addcmul_(product, torch.mm(gradient.errors, errors, out=factor))
        return InputProducts(t, last, product)

    def add(
        self,
        total: Float[Tensor, "b m"],
        gradient: Outer,
        t: int,
        known: InputProducts | None,
        buffers: "_Buffers",
    ) -> InputProducts:
        """Add the influence at checkpoint t to `total`; gives the products of its inputs: `known`, where they are those.

        Labels change errors alone, and layers that are not trained have the same inputs at every checkpoint. `buffers`
        are overwritten; products that are new lie in them.
        """
        if known is None or not self._are_those(known, gradient, t):
            products = torch.mm(gradient.inputs, self._inputs[t], out=buffers.products)
            known = InputProducts(t, gradient.inputs, products)
        total.addcmul_(known.products, torch.mm(gradient.errors, self._errors[t], out=buffers.errors))
        return known

    def _are_those(self, known: InputProducts, gradient: Outer, t: int) -> bool:
        return (self._same_inputs or known.t == t) and torch.equal(known.inputs, gradient.inputs)


class _OtherPairs:
    """One layer whose gradients have any other form."""

    def __init__(self, reference: list[Gradient]) -> None:
        self._reference = reference

    def add_all(self, total: Float[Tensor, "b m"], gradients: list[Gradient]) -> None:
        """Add the influence at all checkpoints to `total`."""
        for gradient, reference in zip(gradients, self._reference, strict=True):
            total.add_(dots(gradient, reference))

    def add(
        self,
        total: Float[Tensor, "b m"],
        gradient: Gradient,
        t: int,
        known: InputProducts | None,
        buffers: "_Buffers",
    ) -> None:
        """Add the influence at checkpoint t to `total`."""
        del known, buffers  # only outer products have a use for them
        total.add_(dots(gradient, self._reference[t]))


def _layer_pairs(reference: list[Gradient]) -> Any:
    outer = [gradient for gradient in reference if isinstance(gradient, Outer)]
    return _OuterPairs(outer) if len(outer) == len(reference) else _OtherPairs(reference)


def _all_gradients(source: GradientSource, t: int, labels: Int[Tensor, " m"]) -> list[Gradient]:
    parts = [source.gradients(t, rows, labels[rows]) for rows in row_blocks(source)]
    return [concatenate(list(layer)) for layer in zip(*parts, strict=True)]
