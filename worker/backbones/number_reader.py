"""Reads rows of numbers, embeddings or numeric columns, unscaled: exported programs do their own scaling."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from worker.backbones.backbone_files import invalid_backbone
from worker.data.canonical import Canonical
from worker.data.encoding import numeric_batches

_TOGETHER = 512  # rows in one pass


@dataclass(frozen=True)
class NumberReader:
    """Reads rows of `width` numbers; None where the network accepts any width."""

    width: int | None

    normalise = nn.Identity()

    def chunks(self, dataset: Canonical, rows: Int[Tensor, " k"]) -> Iterator[Float[Tensor, "b w"]]:
        """Some rows, in ascending order, in parts. Raises Invalid for another width and for a missing or infinite number."""
        for matrix, names in numeric_batches(dataset, rows):
            if self.width is not None and matrix.shape[1] != self.width:
                raise invalid_backbone(f"it takes {self.width} numbers a sample, and the dataset has {matrix.shape[1]}")
            with np.errstate(over="ignore"):
                found = torch.from_numpy(matrix.astype(np.float32))
            if not bool(torch.isfinite(found).all()):
                column = int((~torch.isfinite(found)).any(0).nonzero()[0])
                raise invalid_backbone(
                    f"{names[column]} has a value that is missing or too large; an exported program is given numbers as "
                    "they are: fill such values in, or leave the column out"
                )
            yield found

    def passes(self, chunk: Float[Tensor, "b w"], *, even: bool) -> Iterator[tuple[Int[Tensor, " p"], Tensor]]:
        """Batches of a chunk: their rows and numbers. Rows have one width, so `even` changes nothing."""
        del even
        for rows in torch.split(torch.arange(len(chunk)), _TOGETHER):
            yield rows, chunk[rows]


def digest(dataset: Canonical) -> str:
    """SHA-256 of all numbers of a dataset, in order."""
    found = hashlib.sha256()
    for matrix, names in numeric_batches(dataset):
        found.update(len(names).to_bytes(8, "little"))
        found.update(np.ascontiguousarray(matrix).data)
    return found.hexdigest()
