"""Probes: small classifiers on embeddings. Each takes `(x [n, d],)`."""

from rtdl_revisiting_models import MLP
from torch import nn

from service.domain.models.entry import MLPParams, NoParams
from worker.data.shape import InputShape


def _width(shape: InputShape) -> int:
    if shape.embedding is None:
        raise ValueError("a probe needs embeddings")
    return shape.embedding


def linear_probe(_params: NoParams, shape: InputShape, classes: int) -> nn.Module:
    """One linear layer."""
    return nn.Linear(_width(shape), classes)


def mlp_probe(params: MLPParams, shape: InputShape, classes: int) -> nn.Module:
    """Hidden layers with ReLU."""
    network: nn.Module = MLP(
        d_in=_width(shape), d_out=classes, n_blocks=params.blocks, d_block=params.width, dropout=params.dropout
    )
    return network


BUILDERS = {"linear_probe": linear_probe, "mlp_probe": mlp_probe}
