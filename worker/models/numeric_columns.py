"""Embeddings of numeric columns (arXiv:2203.05556): each number becomes a vector."""

import warnings
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from service.domain.models.tabular import NumericEmbeddings
from worker.data.shape import InputShape
from worker.libraries.table_layers import PeriodicEmbeddings, PiecewiseLinearEmbeddings


class NumericColumns(nn.Module):
    """All numeric columns, embedded or unchanged, as one flat row. `width`: numbers per row; `widths`: per column."""

    def __init__(self, kind: Literal["none", "piecewise_linear", "periodic"], width: int, shape: InputShape) -> None:
        super().__init__()
        self.embedding = _embedding(kind, width, shape) if shape.numeric else None
        self.widths = [1 if self.embedding is None else width] * shape.numeric
        self.width = sum(self.widths)

    @classmethod
    def from_params(cls, params: NumericEmbeddings, shape: InputShape) -> "NumericColumns":
        """From the parameters of a model."""
        return cls(params.numeric_embeddings, params.embedding_width, shape)

    def forward(self, numeric: Float[Tensor, "n k"]) -> Float[Tensor, "n w"]:
        """One flat row per sample."""
        return numeric if self.embedding is None else self.embedding(numeric).flatten(1)


def _embedding(
    kind: Literal["none", "piecewise_linear", "periodic"], width: int, shape: InputShape
) -> nn.Module | None:
    match kind:
        case "none":
            return None
        case "periodic":
            waves: nn.Module = PeriodicEmbeddings(shape.numeric, width, lite=False)
            return waves
        case "piecewise_linear":
            if len(shape.bins) != shape.numeric:
                raise ValueError(f"{shape.numeric} numeric columns need their bins, {len(shape.bins)} are there")
            # Version B starts as a linear embedding and learns to bend.
            bins = [torch.tensor(edges) for edges in shape.bins]
            with warnings.catch_warnings():
                # A column of two values has one bin: linear is all that its embedding can be.
                warnings.filterwarnings("ignore", message=".*just two bin edges", category=UserWarning)
                bent: nn.Module = PiecewiseLinearEmbeddings(bins, width, activation=False, version="B")
            return bent
