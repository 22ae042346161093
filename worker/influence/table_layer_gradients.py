"""Per-sample gradients of layers that only networks for tables have: TabM's shared layers, embeddings of numbers."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from worker.influence.gradients import Dense, Gradient
from worker.libraries.table_layers import ElementwiseAffine, LinearBatchEnsemble, LinearEmbeddings, _NLinear, _Periodic


def _shared_linear(layer: nn.Module, entered: Tensor, error: Tensor) -> Gradient:
    """Gradient of `s (W (r x)) + b`: members of an ensemble share W, and have r, s and b of their own."""
    assert isinstance(layer, LinearBatchEnsemble)
    inside, back = entered * layer.r, error * layer.s
    parts = [torch.bmm(back.transpose(1, 2), inside), back @ layer.weight * entered, error * (inside @ layer.weight.T)]
    return _formed(*parts, None if layer.bias is None else error)


def _scale(layer: nn.Module, entered: Tensor, error: Tensor) -> Gradient:
    """Gradient of `w x`, or `w x + b`, of every number by itself."""
    assert isinstance(layer, ElementwiseAffine)
    return _formed(entered * error, None if layer.bias is None else error)


def _linear_embeddings(layer: nn.Module, entered: Tensor, error: Tensor) -> Gradient:
    """Gradient of `w x + b`, vectors w and b for each column x."""
    assert isinstance(layer, LinearEmbeddings)
    return _formed(entered[..., None] * error, error)


def _column_linear(layer: nn.Module, entered: Tensor, error: Tensor) -> Gradient:
    """Gradient of `W x`, or `W x + b`, with a matrix for each column."""
    assert isinstance(layer, _NLinear)
    return _formed(entered[..., None] * error[..., None, :], None if layer.bias is None else error)


def _periodic(layer: nn.Module, entered: Tensor, error: Tensor) -> Gradient:
    """Gradient of `cos(2 pi w x), sin(2 pi w x)`, a vector w for each column x."""
    assert isinstance(layer, _Periodic)
    turn = 2 * math.pi * entered[..., None]
    of_cosine, of_sine = error.chunk(2, -1)
    angle = turn * layer.weight
    return _formed(turn * (of_sine * angle.cos() - of_cosine * angle.sin()))


def _formed(*parts: Tensor | None) -> Gradient:
    return Dense(torch.cat([part.flatten(1) for part in parts if part is not None], 1))


TABLE_GRADIENTS: dict[type[nn.Module], Callable[[nn.Module, Tensor, Tensor], Gradient]] = {
    LinearBatchEnsemble: _shared_linear,
    ElementwiseAffine: _scale,
    LinearEmbeddings: _linear_embeddings,
    _NLinear: _column_linear,
    _Periodic: _periodic,
}
