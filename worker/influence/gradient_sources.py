"""Sources of per-sample gradients: the trace of the last layer, or chosen layers that are run again block by block.

Both give the gradients of some rows at a checkpoint for given labels, one entry per layer; memory holds one block.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor, nn

from worker.influence.activations import Trace, logit_errors
from worker.influence.gradients import Gradient, Outer
from worker.influence.layer_gradients import ForwardPass, LayerGradients
from worker.influence.projection import Projection
from worker.machine.devices import CPU, device_of

_FLAT_ON_GPU = 4_096  # rows at once: fewer leave it idle
Rows = slice | Int[Tensor, " k"]


@runtime_checkable
class GradientSource(Protocol):
    """Gradients of one set of samples. `samples`: how many; `block`: how many are best computed at once."""

    samples: int
    block: int

    def gradients(self, t: int, rows: Rows, labels: Int[Tensor, " b"]) -> list[Gradient]:
        """One entry per layer: gradients of the loss of some rows at checkpoint t, as if they had these labels."""
        ...

    def on(self, device: torch.device) -> "GradientSource":
        """The same gradients, on a device."""
        ...


class LastLayerGradients:
    """Gradients of the last layer, computed from a trace."""

    block = 8_192

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.samples = trace.logits.shape[1]

    def gradients(self, t: int, rows: Rows, labels: Int[Tensor, " b"]) -> list[Gradient]:
        """See GradientSource."""
        return [Outer(self.trace.inputs(t, rows), logit_errors(self.trace.logits[t, rows], labels))]

    def on(self, device: torch.device) -> "LastLayerGradients":
        """See GradientSource."""
        return LastLayerGradients(self.trace.on(device))


class CheckpointedModel:
    """A model that can be set to any checkpoint added so far; `names` are the layers whose gradients are wanted."""

    def __init__(self, model: nn.Module, names: Sequence[str], projection: Projection | None) -> None:
        self.model, self.names, self.projection = model, list(names), projection
        self._states: list[dict[str, Tensor]] = []
        self._loaded = -1
        self.changes = 0  # how often the model's parameters were changed

    def add_checkpoint(self, state: dict[str, Tensor]) -> None:
        """Add the next checkpoint, whose parameters the model has now."""
        self._states.append({name: value.clone() for name, value in state.items()})
        self._loaded = len(self._states) - 1
        self.changes += 1

    def at_checkpoint(self, t: int) -> nn.Module:
        """The model, with the parameters of checkpoint t."""
        if self._loaded != t:
            self.model.load_state_dict(self._states[t])
            self._loaded = t
            self.changes += 1
        return self.model


class ChosenLayerGradients:
    """Gradients of any supported layers: a forward pass for every block and checkpoint, and a backward pass for each of its labels."""

    def __init__(self, model: CheckpointedModel, inputs: Sequence[Tensor], device: torch.device = CPU) -> None:
        self._model, self._inputs, self._device = model, inputs, device
        self._last: tuple[slice, int, ForwardPass] | None = None  # rows, changes of the model before it, the pass
        self.samples = len(inputs[0])
        # Of images more would take gigabytes, for activations and for gradients that are formed.
        at_once = 64 if inputs[0].dim() > 2 else 512 if device_of(model.model) == CPU else _FLAT_ON_GPU
        self.block = min(at_once, getattr(model.model, "at_once", at_once))

    def gradients(self, t: int, rows: Rows, labels: Int[Tensor, " b"]) -> list[Gradient]:
        """See GradientSource. Asked again for the same rows, with other labels, it does not run them again."""
        return self._forward(t, rows).gradients(labels)

    def on(self, device: torch.device) -> "ChosenLayerGradients":
        """See GradientSource. The model is where it is."""
        return ChosenLayerGradients(self._model, self._inputs, device)

    def _forward(self, t: int, rows: Rows) -> ForwardPass:
        model = self._model.at_checkpoint(t)
        if self._last is not None and isinstance(rows, slice) and self._last[:2] == (rows, self._model.changes):
            return self._last[2]
        self._last = None  # before the next one is computed
        with LayerGradients(model, self._model.names, self._model.projection, self._device) as layer_gradients:
            wanted = rows if isinstance(rows, slice) else rows.to(self._inputs[0].device)
            ran = layer_gradients.forward([part[wanted] for part in self._inputs])
        if isinstance(rows, slice):
            self._last = rows, self._model.changes, ran
        return ran


class ReorderedGradients:
    """The samples of a source in another order."""

    def __init__(self, source: GradientSource, order: Int[Tensor, " k"]) -> None:
        self._source, self._order = source, order
        self.samples, self.block = len(order), source.block

    def gradients(self, t: int, rows: Rows, labels: Int[Tensor, " b"]) -> list[Gradient]:
        """See GradientSource."""
        return self._source.gradients(t, self._order[rows], labels)

    def on(self, device: torch.device) -> "ReorderedGradients":
        """See GradientSource."""
        return ReorderedGradients(self._source.on(device), self._order.to(device))


def row_blocks(source: GradientSource) -> Iterator[slice]:
    """All rows of a source as consecutive slices of `source.block` rows."""
    for start in range(0, source.samples, source.block):
        yield slice(start, min(start + source.block, source.samples))
