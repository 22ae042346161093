"""Two coordinates a sample, for a map: samples that the model finds similar lie together.

Both maps are made of the features of the first checkpoint, which have not adapted to wrong labels: a wrong label stands
among samples of another class.
"""

import importlib.metadata
import warnings

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.signals.neighbours import eigenvectors

# UMAP takes minutes for many rows: those that are suspected and, of the rest, an equal share of each class.
UMAP_ROWS = 4_000
_SUSPECTS = 2_000  # of them
_BLOCK = 8_192
_NEIGHBOURS = 15
_MIXED = 0x9E3779B97F4A7C15  # 2^64 by the golden ratio: multiples of it are spread evenly


def principal_map(features: Float[Tensor, "n w"]) -> Float[Tensor, "n 2"]:
    """The two principal components, in units of the first one's standard deviation; 0 where there is no second one.

    Memory: one block of rows beside the result. The larger loading of each component is positive, so that the same features
    always give the same side.
    """
    found = torch.zeros(len(features), 2)
    if not len(features):
        return found
    # Block by block: a mean in double precision would copy the whole.
    mean = torch.stack([part.double().sum(0) for part in torch.split(features, _BLOCK)]).sum(0) / len(features)
    gram = torch.zeros(features.shape[1], features.shape[1], dtype=torch.float64)
    for part in torch.split(features, _BLOCK):
        centred = part.double() - mean
        gram += centred.T @ centred
    axes = eigenvectors(gram)[:, -2:].flip(1).double()
    axes *= axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    spread = float((axes[:, 0] @ gram @ axes[:, 0] / len(features)).clamp(min=0).sqrt())
    if not spread:
        return found
    done = 0
    for part in torch.split(features, _BLOCK):
        found[done : done + len(part), : axes.shape[1]] = ((part.double() - mean) @ axes / spread).float()
        done += len(part)
    return found


def umap_is_installed() -> bool:
    """Whether the package umap-learn is there; a folder that is called umap is not."""
    return any(importlib.metadata.distributions(name="umap-learn"))


def umap_map(features: Float[Tensor, "n w"], rows: Int[Tensor, " k"], seed: int) -> Float[Tensor, "n 2"]:
    """UMAP (arXiv:1802.03426) of these rows; NaN for the others."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # of parts that need tensorflow, which is not used
        import umap

    found = torch.full((len(features), 2), torch.nan)
    if len(rows) > _NEIGHBOURS:
        # One thread and a seed: the same features give the same map.
        model = umap.UMAP(n_neighbors=_NEIGHBOURS, init="pca", random_state=seed, n_jobs=1)
        found[rows] = torch.from_numpy(np.asarray(model.fit_transform(features[rows].numpy()), np.float32))
    return found


def rows_of_umap(
    index: Int[Tensor, " n"], labels: Int[Tensor, " n"], suspects: Int[Tensor, " s"], most: int = UMAP_ROWS
) -> Int[Tensor, " k"]:
    """The rows that UMAP shows, ascending: all of few; else the first suspects, and as many of each class as there is room for.

    `index`: the samples' places in the upload, which decide by hashing, so that the order of the rows changes nothing.
    """
    if len(index) <= most:
        return torch.arange(len(index))
    chosen = torch.zeros(len(index), dtype=torch.bool)
    chosen[suspects[: min(_SUSPECTS, most // 2)]] = True
    mixed = index.numpy().astype(np.uint64) * np.uint64(_MIXED)
    turn = np.empty(len(index), np.int64)  # place of the sample among those of its class
    order = np.lexsort((mixed, labels.numpy()))
    sizes = np.bincount(labels.numpy())
    turn[order] = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    by_turn = torch.from_numpy(np.lexsort((mixed, turn)))
    rest = by_turn[~chosen[by_turn]]
    chosen[rest[: most - int(chosen.sum())]] = True
    return chosen.nonzero().squeeze(1)
