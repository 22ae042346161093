"""Gradients of several layers and checkpoints side by side in one row of a sample, as the kernels for GPUs read them.

Influence is a sum of terms, each the inner product of what entered a layer times that of its errors. Every part of a row is filled up with
zeros to a multiple of what a kernel reads at once, which adds nothing to a product.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from jaxtyping import Float
from torch import Tensor

from worker.influence.gradients import Gradient, Outer

ERROR_STEP = 16  # the least that a product of matrices of a GPU takes
_STEPS = (32, 16)
_MORE_ZEROS = 1.125  # as many numbers as the narrower step has, for which the wider one is taken

Layers = Sequence[Gradient]  # of one checkpoint
Terms = list[tuple[int, int, int, int]]  # of each, from where to where its inputs lie, and its errors


@dataclass(frozen=True)
class PackedGradients:
    """Rows of n samples."""

    inputs: Float[Tensor, "n p"]
    errors: Float[Tensor, "n q"]


@dataclass(frozen=True)
class Packing:
    """Where each part lies: `inputs` and `errors` have a range of numbers for each layer at each of T checkpoints.

    With `shared` inputs those of all checkpoints are one. `step`: how many numbers of inputs a kernel reads at once.
    """

    inputs: tuple[tuple[range, ...], ...]
    errors: tuple[tuple[range, ...], ...]
    shared: bool
    step: int

    @classmethod
    def of(cls, gradients: Sequence[Layers], *, shared: bool) -> "Packing | None":
        """For gradients of these widths; None where a layer's are no outer products."""
        widths = []
        for layers in gradients:
            outer = [layer for layer in layers if isinstance(layer, Outer)]
            if len(outer) != len(layers):
                return None
            widths.append([(one.inputs.shape[1], one.errors.shape[1]) for one in outer])
        entered = [width for layers in (widths[:1] if shared else widths) for width, _ in layers]
        wide, narrow = (sum(_filled(width, step) for width in entered) for step in _STEPS)
        step = _STEPS[0] if wide <= _MORE_ZEROS * narrow else _STEPS[1]
        own = _in_turn([[_filled(width, step) for width, _ in layers] for layers in (widths[:1] if shared else widths)])
        # Layer by layer, so that the errors of one layer at all checkpoints are neighbours.
        by_layer = _in_turn([[_filled(width, ERROR_STEP) for _, width in one] for one in zip(*widths, strict=True)])
        inputs = own * len(widths) if shared else own
        return cls(inputs, tuple(zip(*by_layer, strict=True)), shared, step)

    @property
    def widths(self) -> tuple[int, int]:
        """Numbers of inputs and of errors in a row."""
        return self.inputs[-1][-1].stop, self.errors[-1][-1].stop

    def terms(self) -> Terms:
        """Those of all checkpoints."""
        if self.shared:
            # One product stands for those of all checkpoints, and one for all errors.
            first, last = self.errors[0], self.errors[-1]
            joined = [range(one.start, other.stop) for one, other in zip(first, last, strict=True)]
            return _bounds(self.inputs[0], joined)
        return [term for t in range(len(self.inputs)) for term in _bounds(self.inputs[t], self.errors[t])]

    def last_terms(self) -> Terms:
        """Those of the last checkpoint alone."""
        return _bounds(self.inputs[-1], self.errors[-1])

    def pack(self, gradients: Sequence[Layers]) -> PackedGradients:
        """The rows of some samples, of gradients at all checkpoints."""
        first = _outer(gradients[0])[0]
        rows, (input_width, error_width) = len(first.inputs), self.widths
        packed = PackedGradients(first.inputs.new_zeros(rows, input_width), first.errors.new_zeros(rows, error_width))
        for t, layers in enumerate(gradients):
            if t == 0 or not self.shared:
                for gradient, place in zip(_outer(layers), self.inputs[t], strict=True):
                    _put(packed.inputs, place, gradient.inputs)
            self.put_errors(packed, t, layers)
        return packed

    def put_errors(self, packed: PackedGradients, t: int, layers: Layers) -> None:
        """Write the errors at checkpoint t, in place of those that are there."""
        for gradient, place in zip(_outer(layers), self.errors[t], strict=True):
            _put(packed.errors, place, gradient.errors)


def _outer(layers: Layers) -> list[Outer]:
    return [layer for layer in layers if isinstance(layer, Outer)]


def _put(into: Float[Tensor, "n p"], place: range, values: Float[Tensor, "n d"]) -> None:
    into[:, place.start : place.start + values.shape[1]] = values


def _filled(width: int, step: int) -> int:
    return -(-width // step) * step


def _in_turn(widths: Sequence[Sequence[int]]) -> tuple[tuple[range, ...], ...]:
    """Ranges of these widths, one after another."""
    ends: Iterator[tuple[int, int]] = pairwise(accumulate((width for one in widths for width in one), initial=0))
    return tuple(tuple(range(*next(ends)) for _ in one) for one in widths)


def _bounds(inputs: Sequence[range], errors: Sequence[range]) -> Terms:
    return [
        (of_inputs.start, of_inputs.stop, of_errors.start, of_errors.stop)
        for of_inputs, of_errors in zip(inputs, errors, strict=True)
    ]
