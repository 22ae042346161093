"""The trained part of a pretrained model: a probe on outputs of the frozen part, or the last blocks and a probe."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from service.domain.models.entry import HeadParams, MLPParams, NoParams
from worker.data.shape import InputShape
from worker.data.standard import FARTHEST, Standard
from worker.models.probes import linear_probe, mlp_probe


def probe(params: HeadParams, shape: InputShape, classes: int) -> nn.Module:
    """A linear or an MLP probe on rows of numbers."""
    if params.head == "linear":
        return linear_probe(NoParams(), shape, classes)
    return mlp_probe(MLPParams(width=params.width, dropout=params.dropout), shape, classes)


class FineTuned(nn.Module):
    """Trained blocks, a fixed standardisation, a probe. Takes the outputs of the frozen part."""

    at_once = 64  # samples in one pass: activations are large

    mean: Tensor
    deviation: Tensor

    def __init__(self, body: nn.Module, standard: Standard, head: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.register_buffer("mean", torch.from_numpy(standard.mean).float())
        self.register_buffer("deviation", torch.from_numpy(standard.deviation).float())
        self.scale = standard.scale
        self.probe = head

    def forward(self, *inputs: Tensor) -> Float[Tensor, "n o"]:
        """Logits."""
        rows = (self.body(*inputs) - self.mean) / self.deviation
        logits: Tensor = self.probe(rows.clamp(-FARTHEST, FARTHEST) * self.scale)
        return logits


BUILDERS = {"pretrained_image": probe, "pretrained_text": probe, "exported": probe}
