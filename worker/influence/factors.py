"""What last-layer influence is made of: activations and logits of every sample at every checkpoint.

The gradient of the loss of sample i for the last Linear layer, weight and bias together, is the outer product of
`delta_i = softmax(z_i) - e_y` and `(a_i, 1)`. It is never formed: inner products of gradients factor into inner
products of these two (arXiv:2002.08484, appendix F).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

_IN_MEMORY = 2**30  # bytes
_BATCH = 256  # larger batches of images do not fit the cache, and gain nothing


@dataclass(frozen=True)
class Trace:
    """Activations before the last layer and logits, T checkpoints of n samples; `rates` are the learning rates."""

    activations: Float[Tensor, "t n d"]
    logits: Float[Tensor, "t n c"]
    rates: tuple[float, ...]

    def rows(self, rows: Int[Tensor, " k"]) -> "Trace":
        """The trace of some of the samples."""
        return Trace(self.activations[:, rows], self.logits[:, rows], self.rates)


def errors(logits: Float[Tensor, "n c"], labels: Int[Tensor, " n"]) -> Float[Tensor, "n c"]:
    """`softmax(z) - e_y`: the gradient of the cross-entropy for the logits."""
    return torch.softmax(logits, 1).index_put_(
        (torch.arange(len(labels)), labels), torch.tensor(-1.0, dtype=logits.dtype), accumulate=True
    )


@torch.inference_mode()
def capture(
    model: nn.Module,
    head: nn.Linear,
    inputs: Sequence[Tensor],
    activations: Float[Tensor, "n d"] | None,
    logits: Float[Tensor, "n c"],
) -> None:
    """Write every sample's logits, and what enters `head` unless that is None; evaluation mode."""
    caught: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _module, arguments: caught.append(arguments[0]))
    model.eval()
    try:
        for start in range(0, len(logits), _BATCH):
            rows = slice(start, start + _BATCH)
            logits[rows] = model(*(part[rows] for part in inputs))
            entered = caught.pop()
            if activations is not None:
                activations[rows] = entered
    finally:
        hook.remove()


def record(
    model: nn.Module,
    head: nn.Linear,
    inputs: Sequence[Tensor],
    states: Sequence[Callable[[], dict[str, Tensor]]],
    rates: Sequence[float],
    scratch: Path,
    after_checkpoint: Callable[[int], None],
) -> Trace:
    """Run every checkpoint over every sample. A trace of more than a gigabyte lies in files of `scratch`.

    `states` load the checkpoints' parameters, one at a time. When nothing but the head is trained, activations are
    the same at every checkpoint and are kept once.
    """
    count, samples = len(states), len(inputs[0])
    trained = sum(parameter.numel() for parameter in model.parameters())
    frozen = trained == sum(parameter.numel() for parameter in head.parameters())
    kept = 1 if frozen else count
    activations = _room(scratch / "activations.f4", (kept, samples, head.in_features))
    logits = _room(scratch / "logits.f4", (count, samples, head.out_features))
    for step, state in enumerate(states):
        model.load_state_dict(state())
        capture(model, head, inputs, activations[step] if step < kept else None, logits[step])
        after_checkpoint(step)
    return Trace(activations.expand(count, -1, -1), logits, tuple(rates))


def _room(path: Path, shape: tuple[int, ...]) -> Tensor:
    # What is small stays in memory, where writing is faster; what grows with the dataset goes to a mapped file.
    size = math.prod(shape)
    if size * 4 <= _IN_MEMORY:
        return torch.empty(shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    return torch.from_file(str(path), shared=True, size=size, dtype=torch.float32).reshape(shape)
