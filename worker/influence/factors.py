"""What last-layer influence is made of: activations and logits of every sample at every checkpoint.

The gradient of the loss of sample i for the last Linear layer, weight and bias together, is the outer product of
`delta_i = softmax(z_i) - e_y` and `(a_i, 1)`. It is never formed: inner products of gradients factor into inner
products of these two (arXiv:2002.08484, appendix F).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from worker.devices import CPU, device_of, to_device

_IN_MEMORY = 2**30  # bytes
_BATCH = 256  # larger batches of images do not fit the cache, and gain nothing
_FLAT_BATCH = 2048  # rows of numbers are small: fewer, larger calls


@dataclass(frozen=True)
class Trace:
    """Activations before the last layer and logits, T checkpoints of n samples; `rates` are the learning rates."""

    activations: Float[Tensor, "t n d"]
    logits: Float[Tensor, "t n c"]
    rates: tuple[float, ...]

    @property
    def shared(self) -> bool:
        """Whether the activations are the same at every checkpoint, kept once."""
        return self.activations.stride(0) == 0

    def rows(self, rows: Int[Tensor, " k"]) -> "Trace":
        """The trace of some of the samples."""
        if self.shared:
            return Trace(self.activations[0, rows].expand(len(self.rates), -1, -1), self.logits[:, rows], self.rates)
        return Trace(self.activations[:, rows], self.logits[:, rows], self.rates)


def errors(logits: Float[Tensor, "n c"], labels: Int[Tensor, " n"]) -> Float[Tensor, "n c"]:
    """`softmax(z) - e_y`: the gradient of the cross-entropy for the logits."""
    rows, found = torch.arange(len(labels)), torch.softmax(logits, 1)
    # Of a sample that is fitted well, 1 - p_y has no digits left; what the others have has them all.
    found[rows, labels] = 0
    found[rows, labels] = -found.sum(1)
    return found


class Inner:
    """Catches what enters the layer before the last one, as `forward` runs: the last Linear on flat rows before `head`.

    A network without such a layer gives what enters the head itself.
    """

    def __init__(self, model: nn.Module, head: nn.Linear) -> None:
        self._last: Tensor | None = None
        self._hooks = [
            module.register_forward_pre_hook(self._catch)
            for module in model.modules()
            if isinstance(module, nn.Linear) and module is not head
        ]

    def _catch(self, _module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        if arguments[0].dim() == 2:
            self._last = arguments[0]

    def take(self, entered: Float[Tensor, "b d"]) -> Float[Tensor, "b e"]:
        """What was caught in the forward pass that has just ended, else `entered`."""
        caught, self._last = self._last, None
        return entered if caught is None else caught

    def remove(self) -> None:
        """Take the hooks off."""
        for hook in self._hooks:
            hook.remove()


@torch.inference_mode()
def capture(
    model: nn.Module,
    head: nn.Linear,
    inputs: Sequence[Tensor],
    activations: Float[Tensor, "n d"] | None,
    logits: Float[Tensor, "n c"],
    inner: list[Tensor] | None = None,
) -> None:
    """Write every sample's logits, and what enters `head` unless that is None; evaluation mode.

    What enters the layer before is appended to `inner`, batch by batch.
    """
    caught: list[Tensor] = []
    device = device_of(model)
    hook = head.register_forward_pre_hook(lambda _module, arguments: caught.append(arguments[0]))
    within = None if inner is None else Inner(model, head)
    # A large network says how many samples it takes at once.
    batch = getattr(model, "at_once", _BATCH if inputs[0].dim() > 2 else _FLAT_BATCH)
    model.eval()
    try:
        for start in range(0, len(logits), batch):
            rows = slice(start, start + batch)
            logits[rows] = model(*to_device((part[rows] for part in inputs), device))
            entered = caught.pop()
            if activations is not None:
                activations[rows] = entered
            if inner is not None and within is not None:
                inner.append(within.take(entered).to(CPU))
    finally:
        hook.remove()
        if within is not None:
            within.remove()


@runtime_checkable
class Tape(Protocol):
    """Whoever fills a trace, a checkpoint at a time."""

    trace: Trace

    def at(self, step: int, *, inner: bool = False) -> Float[Tensor, "n e"] | None:
        """Fill the trace's row of a checkpoint; what enters the layer before the last when asked."""
        ...


class Recorder:
    """Runs checkpoints over samples, one at a time. A trace of more than a gigabyte lies in files of `scratch`.

    When nothing but the head is trained, activations are the same at every checkpoint and are kept once.
    """

    def __init__(
        self, model: nn.Module, head: nn.Linear, inputs: Sequence[Tensor], rates: Sequence[float], scratch: Path
    ) -> None:
        self._model, self._head, self._inputs = model, head, inputs
        trained = sum(parameter.numel() for parameter in model.parameters())
        frozen = trained == sum(parameter.numel() for parameter in head.parameters())
        # A model that is nothing but a head is fed with its activations.
        self._fed = model is head
        self._kept, samples = 0 if self._fed else 1 if frozen else len(rates), len(inputs[0])
        activations = inputs[0][None]
        if not self._fed:
            activations = room(scratch / "activations.f4", (self._kept, samples, head.in_features))
        logits = room(scratch / "logits.f4", (len(rates), samples, head.out_features))
        self.trace = Trace(activations.expand(len(rates), -1, -1), logits, tuple(rates))

    def at(self, step: int, *, inner: bool = False) -> Float[Tensor, "n e"] | None:
        """Fill the trace's row of a checkpoint, whose parameters the model holds now.

        Gives what enters the layer before the last, when asked: a large matrix, which is not kept.
        """
        caught: list[Tensor] | None = [] if inner else None
        activations = self.trace.activations[step] if step < self._kept else None
        if self._fed:
            capture(self._model, self._head, self._inputs, None, self.trace.logits[step])
            return self.trace.activations[step]
        capture(self._model, self._head, self._inputs, activations, self.trace.logits[step], caught)
        return None if caught is None else torch.cat(caught)


def room(path: Path, shape: tuple[int, ...]) -> Tensor:
    """Room for so many numbers: in memory, or in a file of that path."""
    # What is small stays in memory, where writing is faster; what grows with the dataset goes to a mapped file.
    size = math.prod(shape)
    if size * 4 <= _IN_MEMORY:
        return torch.empty(shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    return torch.from_file(str(path), shared=True, size=size, dtype=torch.float32).reshape(shape)
