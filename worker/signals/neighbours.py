"""Nearest neighbours by cosine in the model's features, exact for small sets, by cells for large ones."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

_BLOCK = 1024
_EXACT = 6_000  # up to here all pairs cost less than cells
_CELL = 128  # mean rows of a cell
_WIDTH = 32


def directions(activations: Float[Tensor, "n d"]) -> Float[Tensor, "n e"]:
    """Rows of length 1 in at most 32 dimensions whose inner products are, nearly, the cosines of the activations.

    More dimensions than 32 are reduced to the principal ones: on the development tables the votes found planted errors
    no worse, and the search is shorter.
    """
    rows = normalize(activations)
    if rows.shape[1] <= _WIDTH:
        return rows
    principal = torch.linalg.eigh(rows.T @ rows).eigenvectors[:, -_WIDTH:]
    return normalize(rows @ principal)


def nearest(
    queries: Float[Tensor, "n d"],
    pool: Float[Tensor, "m d"],
    count: int,
    generator: torch.Generator,
    own: Int[Tensor, " n"] | None = None,
) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """Cosines and pool rows of the `count` nearest, nearest first; `own` is the pool row never to be returned.

    Queries and pool are directions: rows of length 1.

    Above 6,000 pool rows the search is approximate: rows are put into cells around random pool rows, and a query
    looks into its two nearest cells. Where too few are found the cosine is -inf and the row 0.
    """
    count = min(count, len(pool) - (own is not None))
    if len(pool) <= _EXACT:
        found = [
            _best(queries[start : start + _BLOCK] @ pool.T, None if own is None else own[start : start + _BLOCK], count)
            for start in range(0, len(queries), _BLOCK)
        ]
        return torch.cat([values for values, _ in found]), torch.cat([rows for _, rows in found])
    return _by_cells(queries, pool, count, generator, own)


def vote(cosines: Float[Tensor, "n k"], neighbour_labels: Int[Tensor, "n k"], classes: int) -> Float[Tensor, "n c"]:
    """Share of each class among the neighbours, weighted by cosine (negative ones have no vote); rows sum to 1."""
    weight = cosines.clamp(min=0) + 1e-6
    votes = torch.zeros(len(cosines), classes).scatter_add_(1, neighbour_labels, weight)
    return votes / votes.sum(1, keepdim=True)


def _best(
    cosines: Float[Tensor, "b m"], own: Int[Tensor, " b"] | None, count: int
) -> tuple[Float[Tensor, "b k"], Int[Tensor, "b k"]]:
    if own is not None:
        cosines[torch.arange(len(own)), own] = -torch.inf
    top = cosines.topk(count, dim=1)
    return top.values, top.indices


def _by_cells(
    queries: Float[Tensor, "n d"],
    pool: Float[Tensor, "m d"],
    count: int,
    generator: torch.Generator,
    own: Int[Tensor, " n"] | None,
) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    cells = len(pool) // _CELL
    centres = _centres(pool, cells, generator)
    pool_cell = (pool @ centres.T).argmax(1)
    order = pool_cell.argsort(stable=True)
    ends = pool_cell.bincount(minlength=cells).cumsum(0)
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    query_cells = (queries @ centres.T).topk(2, dim=1).indices
    values = torch.full((len(queries), count), -torch.inf)
    rows = torch.zeros(len(queries), count, dtype=torch.int64)
    for probe in range(2):
        by_cell = query_cells[:, probe].argsort(stable=True)
        sizes = query_cells[:, probe].bincount(minlength=cells).tolist()
        for cell, asking in enumerate(torch.split(by_cell, sizes)):
            members = order[starts[cell] : ends[cell]]
            if len(asking) == 0 or len(members) == 0:
                continue
            cosines = queries[asking] @ pool[members].T
            if own is not None:
                cosines.masked_fill_(members[None, :] == own[asking][:, None], -torch.inf)
            top = cosines.topk(min(count, len(members)), dim=1)
            both = torch.cat([values[asking], top.values], 1).topk(count, dim=1)
            values[asking] = both.values
            rows[asking] = torch.cat([rows[asking], members[top.indices]], 1).gather(1, both.indices)
    return values, rows


def _centres(pool: Float[Tensor, "m d"], cells: int, generator: torch.Generator) -> Float[Tensor, "c d"]:
    # Two rounds of k-means on a sample of the pool: enough for cells of similar size.
    sample = pool[torch.randperm(len(pool), generator=generator)[: cells * 32]]
    centres = sample[:cells].clone()
    for _ in range(2):
        nearest_centre = (sample @ centres.T).argmax(1)
        sums = torch.zeros_like(centres).index_add_(0, nearest_centre, sample)
        full = sums.norm(dim=1) > 0
        centres[full] = normalize(sums[full])
    return centres
