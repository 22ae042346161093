"""Rows of numbers, embeddings or numeric columns as they are, for networks that bring their own scale."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from worker.backbones.sources import unfit
from worker.data.decode import Canonical, numeric_batches

_TOGETHER = 512  # rows in one pass


@dataclass(frozen=True)
class Rows:
    """Reads rows of `width` numbers; None where the network takes any number of them."""

    width: int | None

    normalise = nn.Identity()

    def chunks(self, dataset: Canonical, rows: Int[Tensor, " k"]) -> Iterator[Float[Tensor, "b w"]]:
        """The named rows, which ascend, in parts. Raises Invalid for another width, or a number that is missing."""
        for matrix, names in numeric_batches(dataset, rows):
            if self.width is not None and matrix.shape[1] != self.width:
                raise unfit(f"it takes {self.width} numbers a sample, and the dataset has {matrix.shape[1]}")
            with np.errstate(over="ignore"):
                found = torch.from_numpy(matrix.astype(np.float32))
            if not bool(torch.isfinite(found).all()):
                column = int((~torch.isfinite(found)).any(0).nonzero()[0])
                raise unfit(
                    f"{names[column]} has a value that is missing or too large; an exported program is given numbers as "
                    "they are: fill such values in, or leave the column out"
                )
            yield found

    def passes(self, chunk: Float[Tensor, "b w"], *, even: bool) -> Iterator[tuple[Int[Tensor, " p"], Tensor]]:
        """Rows of a chunk that go through a network together, and what goes; they are of one width, `even` or not."""
        del even
        for rows in torch.split(torch.arange(len(chunk)), _TOGETHER):
            yield rows, chunk[rows]


def digest(dataset: Canonical) -> str:
    """SHA-256 of all numbers of a dataset, in their order."""
    found = hashlib.sha256()
    for matrix, names in numeric_batches(dataset):
        found.update(len(names).to_bytes(8, "little"))
        found.update(np.ascontiguousarray(matrix).data)
    return found.hexdigest()
