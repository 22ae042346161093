"""Where gradients come from: the recorded trace of the last layer, or chosen layers that are run again block by block.

Both give the gradients of some rows at a checkpoint for given labels, one form a layer; memory holds a block of them.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor, nn

from worker.influence.factors import Trace, errors
from worker.influence.gradients import Gradient, Outer
from worker.influence.layers import Capture
from worker.influence.projection import Projection

Rows = slice | Int[Tensor, " k"]


@runtime_checkable
class Source(Protocol):
    """Gradients of one set of samples."""

    samples: int
    block: int

    def gradients(self, t: int, rows: Rows, labels: Int[Tensor, " b"]) -> list[Gradient]:
        """One a layer, of the named rows at checkpoint t, as if they carried these labels."""
        ...


class LastLayer:
    """The last layer's gradients, which a trace is enough for."""

    block = 8_192

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self.samples = trace.logits.shape[1]

    def gradients(self, t: int, rows: Rows, labels: Int[Tensor, " b"]) -> list[Gradient]:
        """See Source."""
        entered = self._trace.activations[t, rows]
        # The appended 1 carries the bias through the same products.
        inputs = torch.cat([entered, entered.new_ones(len(entered), 1)], 1)
        return [Outer(inputs, errors(self._trace.logits[t, rows], labels))]


class Network:
    """A model at any of its checkpoints, which are kept as they come."""

    def __init__(self, model: nn.Module, names: Sequence[str], projection: Projection | None) -> None:
        self.model, self.names, self.projection = model, list(names), projection
        self._states: list[dict[str, Tensor]] = []
        self._held = -1

    def keep(self, state: dict[str, Tensor]) -> None:
        """The next checkpoint's parameters, which the model holds now."""
        self._states.append({name: value.clone() for name, value in state.items()})
        self._held = len(self._states) - 1

    def at(self, t: int) -> nn.Module:
        """The model with the parameters of checkpoint t."""
        if self._held != t:
            self.model.load_state_dict(self._states[t])
            self._held = t
        return self.model


class ChosenLayers:
    """Gradients of any covered layers: a forward and a backward pass for every block and checkpoint."""

    def __init__(self, network: Network, inputs: Sequence[Tensor]) -> None:
        self._network, self._inputs = network, inputs
        self.samples = len(inputs[0])
        self.block = min(512 if inputs[0].dim() <= 2 else 64, getattr(network.model, "at_once", 512))

    def gradients(self, t: int, rows: Rows, labels: Int[Tensor, " b"]) -> list[Gradient]:
        """See Source."""
        with Capture(self._network.at(t), self._network.names, self._network.projection) as capture:
            _, found = capture([part[rows] for part in self._inputs], labels)
        return found


def blocks(source: Source) -> Iterator[slice]:
    """The rows of a source, a block at a time."""
    for start in range(0, source.samples, source.block):
        yield slice(start, min(start + source.block, source.samples))
