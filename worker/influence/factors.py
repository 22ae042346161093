"""What last-layer influence is made of: activations and logits of every sample at every checkpoint.

The gradient of the loss of sample i for the last Linear layer, weight and bias together, is the outer product of
`delta_i = softmax(z_i) - e_y` and `(a_i, 1)`. It is never formed: inner products of gradients factor into inner
products of these two (arXiv:2002.08484, appendix F).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

_BATCH = 2048


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
    model: nn.Module, head: nn.Linear, inputs: Sequence[Tensor]
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n c"]]:
    """Activations that enter `head` and the logits, for every sample, in evaluation mode."""
    caught: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _module, arguments: caught.append(arguments[0]))
    model.eval()
    try:
        logits = [model(*(part[start : start + _BATCH] for part in inputs)) for start in _starts(inputs)]
    finally:
        hook.remove()
    return torch.cat(caught), torch.cat(logits)


def record(
    model: nn.Module,
    head: nn.Linear,
    inputs: Sequence[Tensor],
    states: Sequence[Callable[[], dict[str, Tensor]]],
    rates: Sequence[float],
    scratch: Path,
    after_checkpoint: Callable[[int], None],
) -> Trace:
    """Run every checkpoint over every sample. The trace lies in files of `scratch`, not in memory.

    `states` load the checkpoints' parameters, one at a time. When nothing but the head is trained, activations are
    the same at every checkpoint and are kept once.
    """
    count, samples = len(states), len(inputs[0])
    trained = sum(parameter.numel() for parameter in model.parameters())
    frozen = trained == sum(parameter.numel() for parameter in head.parameters())
    kept = 1 if frozen else count
    activations = _mapped(scratch / "activations.f4", (kept, samples, head.in_features))
    logits = _mapped(scratch / "logits.f4", (count, samples, head.out_features))
    for step, state in enumerate(states):
        model.load_state_dict(state())
        caught, scores = capture(model, head, inputs)
        if step < kept:
            activations[step] = caught
        logits[step] = scores
        after_checkpoint(step)
    return Trace(activations.expand(count, -1, -1), logits, tuple(rates))


def _starts(inputs: Sequence[Tensor]) -> range:
    return range(0, max(len(inputs[0]), 1), _BATCH)


def _mapped(path: Path, shape: tuple[int, ...]) -> Tensor:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    size = 1
    for side in shape:
        size *= side
    if size == 0:
        return torch.empty(shape)
    return torch.from_file(str(path), shared=True, size=size, dtype=torch.float32).reshape(shape)
