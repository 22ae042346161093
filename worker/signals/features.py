"""Principal directions of the input of the layer before the last: where a sample lies, in at most 32 numbers.

Early in training these features have not adapted to the labels, so they hardly depend on the sample's own label.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from worker.signals.neighbours import eigenvectors

WIDTH = 32
_SAMPLED = 4_000  # rows, drawn, that give the directions
_ROUNDS = 4
_SPARE = 8  # extra directions that the iteration needs to converge, dropped in the end
_BLOCK = 8_192


def principal_features(
    inner: Float[Tensor, "n e"], known: Float[Tensor, "m e"] | None, generator: torch.Generator
) -> tuple[Float[Tensor, "n w"], Float[Tensor, "m w"] | None]:
    """Centre on the mean of `inner` and project on at most 32 of its principal directions; `known` likewise."""
    mean = inner.mean(0)
    if inner.shape[1] <= WIDTH:
        return inner - mean, None if known is None else known - mean
    drawn = torch.randperm(len(inner), generator=generator)[:_SAMPLED]
    axes = _axes(inner[drawn] - mean, generator)
    return _project(inner, mean, axes), None if known is None else _project(known, mean, axes)


def common_features(
    inner: Float[Tensor, "n e"], known: Float[Tensor, "m e"], generator: torch.Generator
) -> tuple[Float[Tensor, "n w"], Float[Tensor, "m w"]]:
    """The same with the mean and the directions of all n + m rows, so that both parts can be compared.

    Directions of `inner` alone fit it better than `known`, the more so the fewer rows there are: what lies alike in both would
    seem remote from `known`.
    """
    count = len(inner)
    mean = torch.lerp(inner.mean(0), known.mean(0), len(known) / (count + len(known)))
    if inner.shape[1] <= WIDTH:
        return inner - mean, known - mean
    drawn = torch.randperm(count + len(known), generator=generator)[:_SAMPLED]
    rows = torch.cat([inner[drawn[drawn < count]], known[drawn[drawn >= count] - count]])
    axes = _axes(rows - mean, generator)
    return _project(inner, mean, axes), _project(known, mean, axes)


def _axes(rows: Float[Tensor, "s e"], generator: torch.Generator) -> Float[Tensor, "e w"]:
    # Subspace iteration: a decomposition in all e dimensions would cost more than the rest of the measuring.
    axes = torch.randn(rows.shape[1], min(WIDTH + _SPARE, rows.shape[1]), generator=generator)
    for _ in range(_ROUNDS):
        axes = torch.linalg.qr(rows.T @ (rows @ axes)).Q
    turned = eigenvectors((rows @ axes).T @ (rows @ axes))
    widest: Tensor = axes @ turned[:, -WIDTH:]
    return widest


def _project(rows: Float[Tensor, "n e"], mean: Float[Tensor, " e"], axes: Float[Tensor, "e w"]) -> Float[Tensor, "n w"]:
    return torch.cat([(part - mean) @ axes for part in torch.split(rows, _BLOCK)])
