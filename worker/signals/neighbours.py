"""Nearest neighbours by cosine in the model's features, exact for small sets, by cells for large ones."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from worker.machine.devices import CPU
from worker.signals.sample_groups import together

_BLOCK = 1024
_EXACT = 6_000  # up to here all pairs cost less than cells
_CELL = 128  # mean rows of a cell
_CELLS = 4_096  # at most: finding the cell of a row must not cost more than searching it
_SPILL = 2  # cells of each pool row: rows near a border are found from both sides
_WIDTH = 32
_PART = 65_536
_PAIRS = 2**23  # cosines held at once


def directions(activations: Float[Tensor, "n d"]) -> Float[Tensor, "n e"]:
    """Rows of length 1 in at most 32 dimensions, whose inner products approximate the cosines of the activations.

    More dimensions are reduced to the 32 principal ones: on the development tables votes found planted errors as well, and
    the search is faster.
    """
    if activations.shape[1] <= _WIDTH:
        return normalize(activations)
    # Block by block: a normalised copy of wide activations would be as large as they are.
    gram = torch.zeros(activations.shape[1], activations.shape[1])
    for part in torch.split(activations, _PART):
        rows = normalize(part)
        gram.addmm_(rows.T, rows)
    principal = eigenvectors(gram)[:, -_WIDTH:]
    # The result has length 1 whether or not the row is normalised first.
    return torch.cat([normalize(part @ principal) for part in torch.split(activations, _PART)])


def eigenvectors(gram: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    """Eigenvectors of a symmetric matrix, in ascending order of eigenvalues."""
    try:
        _, vectors = torch.linalg.eigh(gram)
    except RuntimeError:
        vectors = gram.new_full((1,), torch.nan)
    # Repeated eigenvalues, as of many equal rows, do not always converge in single precision.
    if not bool(vectors.isfinite().all()):
        _, vectors = torch.linalg.eigh(gram.double())
    found: Tensor = vectors.float()
    return found


def nearest(
    queries: Float[Tensor, "n d"],
    pool: Float[Tensor, "m d"],
    count: int,
    generator: torch.Generator,
    own: Int[Tensor, " n"] | None = None,
) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """Cosines and pool rows of the `count` nearest, nearest first. `own`: the pool row to leave out for each query.

    Queries and pool have rows of length 1. Above 6,000 pool rows the search is approximate: every pool row is in its two
    nearest cells, and a query searches its nearest cell. Missing neighbours have cosine -inf and row 0.
    """
    count = min(count, len(pool) - (own is not None))
    if len(pool) <= _EXACT:
        found = [
            _best(queries[start : start + _BLOCK] @ pool.T, None if own is None else own[start : start + _BLOCK], count)
            for start in range(0, len(queries), _BLOCK)
        ]
        return torch.cat([values for values, _ in found]), torch.cat([rows for _, rows in found])
    return _by_cells(queries, pool, count, generator, own)


def nearest_of_others(
    queries: Float[Tensor, "n d"],
    pool: Float[Tensor, "m d"],
    count: int,
    generator: torch.Generator,
    query_groups: Int[Tensor, " n"],
    pool_groups: Int[Tensor, " m"],
) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """The same, with all pool rows of the query's group left out.

    A group may fill its cell. Where a cell has fewer than `count` rows of other groups, 6,000 drawn pool rows are searched too.
    """
    if len(pool) <= _EXACT:
        every = torch.arange(len(pool))
        return _best_of_others(queries, pool, count, query_groups, pool_groups, every)
    values, rows = _by_cells(queries, pool, count, generator, None, (query_groups, pool_groups))
    short = (values[:, -1] == -torch.inf).nonzero().squeeze(1)
    drawn = torch.randperm(len(pool), generator=generator, device=CPU)[:_EXACT].to(pool.device)
    more, more_rows = _best_of_others(queries[short], pool, count, query_groups[short], pool_groups, drawn)
    # A row that the cell has given already does not count twice.
    more.masked_fill_((more_rows[:, :, None] == rows[short][:, None, :]).any(2), -torch.inf)
    top = torch.cat([values[short], more], 1).topk(count, dim=1)
    values[short], rows[short] = top.values, torch.cat([rows[short], more_rows], 1).gather(1, top.indices)
    return values, rows


def vote(cosines: Float[Tensor, "n k"], neighbour_labels: Int[Tensor, "n k"], classes: int) -> Float[Tensor, "n c"]:
    """Share of each class among the neighbours, weighted by cosine; negative ones weigh nothing. Rows sum to 1."""
    weight = cosines.clamp(min=0) + 1e-6
    votes = torch.zeros(len(cosines), classes).scatter_add_(1, neighbour_labels, weight)
    return votes / votes.sum(1, keepdim=True)


def vote_of_some(
    cosines: Float[Tensor, "n k"], neighbour_labels: Int[Tensor, "n k"], classes: int
) -> Float[Tensor, "n c"]:
    """The same where neighbours may be missing: they have no vote. Without any, all classes have equal shares."""
    weight = (cosines.clamp(min=0) + 1e-6).masked_fill(cosines == -torch.inf, 0)
    votes = torch.zeros(len(cosines), classes).scatter_add_(1, neighbour_labels, weight)
    total = votes.sum(1, keepdim=True)
    return torch.where(total > 0, votes / total.clamp(min=1e-9), 1 / classes)


def _best(
    cosines: Float[Tensor, "b m"], own: Int[Tensor, " b"] | None, count: int
) -> tuple[Float[Tensor, "b k"], Int[Tensor, "b k"]]:
    if own is not None:
        cosines[torch.arange(len(own)), own] = -torch.inf
    top = cosines.topk(count, dim=1)
    return top.values, top.indices


def _best_of_others(
    queries: Float[Tensor, "n d"],
    pool: Float[Tensor, "m d"],
    count: int,
    query_groups: Int[Tensor, " n"],
    pool_groups: Int[Tensor, " m"],
    among: Int[Tensor, " s"],
) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    count = min(count, len(among))
    values, rows = torch.empty(len(queries), count), torch.empty(len(queries), count, dtype=torch.int64)
    for part in torch.split(torch.arange(len(queries)), _BLOCK):
        cosines = queries[part] @ pool[among].T
        top = cosines.masked_fill_(together(query_groups[part], pool_groups[among]), -torch.inf).topk(count, dim=1)
        values[part], rows[part] = top.values, among[top.indices]
    return values, rows


def _by_cells(
    queries: Float[Tensor, "n d"],
    pool: Float[Tensor, "m d"],
    count: int,
    generator: torch.Generator,
    own: Int[Tensor, " n"] | None,
    groups: tuple[Int[Tensor, " n"], Int[Tensor, " m"]] | None = None,
) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    cells = min(len(pool) // _CELL, _CELLS)
    centres = _centres(pool, cells, generator)
    members, member_sizes = _by_cell(_nearest_centres(pool, centres, _SPILL), cells)
    askers, asker_sizes = _by_cell(_nearest_centres(queries, centres, 1), cells)
    values = torch.full((len(queries), count), -torch.inf)
    rows = torch.zeros(len(queries), count, dtype=torch.int64)
    for inside, asking in zip(torch.split(members, member_sizes), torch.split(askers, asker_sizes), strict=True):
        if len(asking) == 0 or len(inside) == 0:
            continue
        near = pool[inside]
        # Cells in dense regions are many times larger than the mean.
        for part in torch.split(asking, max(1, _PAIRS // len(inside))):
            cosines = queries[part] @ near.T
            if own is not None:
                cosines.masked_fill_(inside[None, :] == own[part][:, None], -torch.inf)
            if groups is not None:
                cosines.masked_fill_(together(groups[0][part], groups[1][inside]), -torch.inf)
            top = cosines.topk(min(count, len(inside)), dim=1)
            values[part, : top.values.shape[1]] = top.values
            rows[part, : top.values.shape[1]] = inside[top.indices]
    return values, rows


def _nearest_centres(rows: Float[Tensor, "n d"], centres: Float[Tensor, "c d"], count: int) -> Int[Tensor, "n s"]:
    # Block by block: rows times cells would grow with the square of the rows.
    return torch.cat([(part @ centres.T).topk(count, dim=1).indices for part in torch.split(rows, _BLOCK)])


def _by_cell(cells_of: Int[Tensor, "n s"], cells: int) -> tuple[Int[Tensor, " e"], list[int]]:
    """Rows in the order of the cells that they are in, and how many each cell has."""
    flat = cells_of.flatten()
    return flat.argsort(stable=True) // cells_of.shape[1], flat.bincount(minlength=cells).tolist()


def _centres(pool: Float[Tensor, "m d"], cells: int, generator: torch.Generator) -> Float[Tensor, "c d"]:
    # Two rounds of k-means on a sample of the pool: enough for cells of similar size.
    drawn = torch.randperm(len(pool), generator=generator, device=CPU)[: cells * 32]
    sample = pool[drawn.to(pool.device)]
    centres = sample[:cells].clone()
    for _ in range(2):
        nearest_centre = _nearest_centres(sample, centres, 1).squeeze(1)
        sums = torch.zeros_like(centres).index_add_(0, nearest_centre, sample)
        full = sums.norm(dim=1) > 0
        centres[full] = normalize(sums[full])
    return centres
