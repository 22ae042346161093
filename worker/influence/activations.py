"""Activations and logits of every sample at every checkpoint: all that last-layer influence needs.

The gradient of the loss of sample i for the last Linear layer, weight and bias together, is the outer product of
`delta_i = softmax(z_i) - e_y` and `(a_i, 1)`, or `a_i` for a layer without bias. It is never formed: inner products of
gradients factor into inner products of these two (arXiv:2002.08484, appendix F).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from usual_suspects.files import reserve
from worker.machine.devices import CPU, device_of
from worker.machine.placed_samples import PlacedSamples

_IN_MEMORY = 2**30  # bytes
_BATCH = 256  # larger batches of images do not fit the cache, and gain nothing
_FLAT_BATCH = 2048  # rows of numbers are small: fewer, larger calls
_GPU_BATCH = 16_384  # a GPU waits for the processor between smaller ones
_GPU_BYTES = 2**28  # of the inputs of a batch there, as numbers of float32
_ALL = slice(None)


@dataclass(frozen=True)
class Trace:
    """What n samples gave at T checkpoints: inputs of the last layer (`activations`, width d) and its outputs (`logits`).

    `rates`: the learning rate of each checkpoint, above 0. `bias`: whether the last layer has one.
    """

    activations: Float[Tensor, "t n d"]
    logits: Float[Tensor, "t n c"]
    rates: tuple[float, ...]
    bias: bool = True

    @property
    def shared(self) -> bool:
        """Whether the activations are the same at every checkpoint and are stored once."""
        return self.activations.stride(0) == 0

    def rows(self, rows: Int[Tensor, " k"]) -> "Trace":
        """The trace of some of the samples."""
        if self.shared:
            activations = self.activations[0, rows].expand(len(self.rates), -1, -1)
        else:
            activations = self.activations[:, rows]
        return Trace(activations, self.logits[:, rows], self.rates, self.bias)

    def on(self, device: torch.device) -> "Trace":
        """The same on a device; what is stored once is copied once."""
        stored = self.activations[:1] if self.shared else self.activations
        activations = stored.to(device).expand(len(self.rates), -1, -1)
        return Trace(activations, self.logits.to(device), self.rates, self.bias)

    def inputs(self, t: int, rows: slice | Int[Tensor, " k"] = _ALL) -> Float[Tensor, "k e"]:
        """The factor of the gradients of some rows at checkpoint t: the activations, and a 1 if the layer has a bias."""
        activations = self.activations[t, rows]
        return torch.cat([activations, activations.new_ones(len(activations), 1)], 1) if self.bias else activations


def logit_errors(logits: Float[Tensor, "n c"], labels: Int[Tensor, " n"]) -> Float[Tensor, "n c"]:
    """Gradient of the cross-entropy for the logits, `softmax(z) - e_y`; each row sums to 0."""
    rows, deltas = torch.arange(len(labels)), torch.softmax(logits, 1)
    # 1 - p_y loses all digits where p_y is close to 1; the sum of the other probabilities keeps them.
    deltas[rows, labels] = 0
    deltas[rows, labels] = -deltas.sum(1)
    return deltas


class PenultimateInput:
    """Hooks that record the input of the layer before the last: the last Linear on flat rows that runs before `head`.

    A network without such a layer gives the input of the head itself.
    """

    def __init__(self, model: nn.Module, head: nn.Linear) -> None:
        self._recorded: Tensor | None = None
        self._hooks = [
            module.register_forward_pre_hook(self._record)
            for module in model.modules()
            if isinstance(module, nn.Linear) and module is not head
        ]

    def _record(self, _module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        if arguments[0].dim() == 2:
            self._recorded = arguments[0]

    def pop(self, head_input: Float[Tensor, "b d"]) -> Float[Tensor, "b e"]:
        """The input recorded in the forward pass that has just ended, else `head_input`."""
        recorded, self._recorded = self._recorded, None
        return head_input if recorded is None else recorded

    def remove(self) -> None:
        """Remove the hooks from the model."""
        for hook in self._hooks:
            hook.remove()


@torch.inference_mode()
def record_outputs(
    model: nn.Module,
    head: nn.Linear,
    inputs: Sequence[Tensor],
    activations: Float[Tensor, "n d"] | None,
    logits: Float[Tensor, "n c"],
    inner: list[Tensor] | None = None,
) -> None:
    """Run the model over all samples in evaluation mode; write logits, and inputs of `head` unless `activations` is None.

    Inputs of the layer before the last are appended to `inner`, one tensor a batch.
    """
    head_inputs: list[Tensor] = []
    device = device_of(model)
    hook = head.register_forward_pre_hook(lambda _module, arguments: head_inputs.append(arguments[0]))
    penultimate = None if inner is None else PenultimateInput(model, head)
    samples, batch, start = PlacedSamples(tuple(inputs), device), _batch(model, inputs, device), 0
    model.eval()
    try:
        while start < len(logits):
            rows = slice(start, start + batch)
            try:
                found = model(*samples.take(rows))
            except torch.OutOfMemoryError:
                if batch == 1:
                    raise
                batch //= 2
                head_inputs.clear()
                continue
            logits[rows] = found
            head_input = head_inputs.pop()
            if activations is not None:
                activations[rows] = head_input
            if inner is not None and penultimate is not None:
                inner.append(penultimate.pop(head_input).to(CPU))
            start = rows.stop
    finally:
        hook.remove()
        if penultimate is not None:
            penultimate.remove()


def _batch(model: nn.Module, inputs: Sequence[Tensor], device: torch.device) -> int:
    """How many samples a model takes in one pass."""
    at_once: int | None = getattr(model, "at_once", None)  # of a large network
    if at_once is not None:
        return at_once
    if device.type == "cuda":
        numbers = sum(math.prod(part.shape[1:]) for part in inputs)
        return max(1, min(_GPU_BATCH, _GPU_BYTES // (4 * max(numbers, 1))))
    return _BATCH if inputs[0].dim() > 2 else _FLAT_BATCH


@runtime_checkable
class ActivationSource(Protocol):
    """Fills a trace, one checkpoint at a time: from a model, a recording or predictions."""

    trace: Trace

    def read_checkpoint(self, t: int, *, inner: bool = False) -> Float[Tensor, "n e"] | None:
        """Fill the trace at checkpoint t; with `inner` return the inputs of the layer before the last."""
        ...


class ActivationRecorder:
    """Runs a model over samples at each of its checkpoints. A trace of more than 1 GiB lies in files of `scratch`.

    Where nothing but the head is trained, activations are the same at every checkpoint and are stored once.
    """

    def __init__(
        self, model: nn.Module, head: nn.Linear, inputs: Sequence[Tensor], rates: Sequence[float], scratch: Path
    ) -> None:
        self._model, self._head, self._inputs = model, head, inputs
        trained = sum(parameter.numel() for parameter in model.parameters())
        frozen = trained == sum(parameter.numel() for parameter in head.parameters())
        # The inputs of a model that is nothing but a head are its activations.
        self._only_head = model is head
        self._stored, samples = 0 if self._only_head else 1 if frozen else len(rates), len(inputs[0])
        activations = inputs[0][None]
        if not self._only_head:
            activations = allocate(scratch / "activations.f4", (self._stored, samples, head.in_features))
        logits = allocate(scratch / "logits.f4", (len(rates), samples, head.out_features))
        self.trace = Trace(activations.expand(len(rates), -1, -1), logits, tuple(rates), head.bias is not None)

    @cached_property
    def _placed(self) -> tuple[Tensor, ...]:
        """The inputs: on a GPU from the first checkpoint on, where they fit."""
        return PlacedSamples.on(device_of(self._model), self._inputs).parts

    def read_checkpoint(self, t: int, *, inner: bool = False) -> Float[Tensor, "n e"] | None:
        """Fill the trace at checkpoint t, whose parameters the model has now.

        With `inner` returns the inputs of the layer before the last: a large matrix, which is not stored.
        """
        batches: list[Tensor] | None = [] if inner else None
        activations = self.trace.activations[t] if t < self._stored else None
        if self._only_head:
            record_outputs(self._model, self._head, self._placed, None, self.trace.logits[t])
            return self.trace.activations[t]
        record_outputs(self._model, self._head, self._placed, activations, self.trace.logits[t], batches)
        return None if batches is None else torch.cat(batches)


def allocate(path: Path, shape: tuple[int, ...]) -> Tensor:
    """An uninitialised float32 tensor: in memory up to 1 GiB, else mapped from a file at `path`. Raises OSError without room."""
    # Writing to memory is faster; what grows with the dataset goes to a file.
    size = math.prod(shape)
    if size * 4 <= _IN_MEMORY:
        return torch.empty(shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    reserve(path, size * 4)
    return torch.from_file(str(path), shared=True, size=size, dtype=torch.float32).reshape(shape)
