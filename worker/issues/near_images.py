"""Images that are nearly the same: their thumbnails in grey correlate by .997 and more.

That finds images that were compressed anew, enlarged, or made somewhat brighter, and not those that were cut, turned or mirrored. On 15,000 photographs
(CIFAR-10) and 12,000 digits (MNIST) and clothes (Fashion-MNIST) it finds 1, 0 and 6 pairs, which look alike.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import normalize

from worker.issues.disjoint_sets import DisjointSets
from worker.issues.inputs import Rows
from worker.signals.neighbours import eigenvectors, nearest

CORRELATION = 0.997
_NEIGHBOURS = 4  # images that each one is compared with
_WIDTH = 32  # principal directions in which neighbours are searched
_BLOCK = 8_192


def near_image_sets(thumbnails: UInt8[np.ndarray, "n s s"], seed: int) -> list[Rows]:
    """Sets of places of images that are nearly the same, by their first place, each ascending. Each image of a set is like another one of it.

    None may be of one grey level. Neighbours of more than 6,000 images are searched by cells: see worker.signals.neighbours.
    """
    pixels = torch.from_numpy(thumbnails).flatten(1)
    if len(pixels) < 2:
        return []
    gram = torch.zeros(pixels.shape[1], pixels.shape[1])
    for part in _centred(pixels):
        gram.addmm_(part.T, part)
    axes = eigenvectors(gram)[:, -_WIDTH:]
    placed = torch.cat([normalize(part @ axes) for part in _centred(pixels)])
    draws = torch.Generator().manual_seed(seed)
    _, rows = nearest(placed, placed, _NEIGHBOURS, draws, torch.arange(len(placed)))
    sets = DisjointSets(len(pixels))
    for one, other in _alike(pixels, rows):
        sets.join(one, other)
    return sets.joined()


def _centred(pixels: UInt8[Tensor, "n p"]) -> Iterator[Float[Tensor, "b p"]]:
    """Rows of mean 0 and length 1, whose inner products are correlations, block by block."""
    for part in torch.split(pixels, _BLOCK):
        values = part.float()
        yield normalize(values - values.mean(1, keepdim=True))


def _alike(pixels: UInt8[Tensor, "n p"], rows: Int[Tensor, "n k"]) -> Iterator[tuple[int, int]]:
    start = 0
    for block in _centred(pixels):
        for column in rows[start : start + len(block)].T:
            (others,) = _centred(pixels[column])
            for place in ((block * others).sum(1) >= CORRELATION).nonzero().squeeze(1).tolist():
                yield start + place, int(column[place])
        start += len(block)
