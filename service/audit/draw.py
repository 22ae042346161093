"""Batches of samples to review next: some drawn by chance, some listed by their place in the ranking."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from service.audit.working_model import WorkingModel, bin_ends

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Item:
    """One sample of a batch: its place among those audited and its bin."""

    row: int
    bin: int
    is_drawn: bool


def choose_batch(
    model: WorkingModel,
    order: Array,
    is_left: Array,
    count: int,
    listed_share: float,
    random: np.random.Generator,
    cells: Array | None = None,
) -> Sequence[Item]:
    """At most `count` samples that are left, in the order of the log, in which they are to be reviewed.

    Listed ones stand among the drawn ones by chance, so that nobody can tell which are which; who stops in the middle leaves the last
    draws, which are then not used. `order` has the samples by rank (int n), `is_left` says which have no review and were not handed
    out (bool n), `cells` the cell of each with a proxy (int n).
    """
    count = min(count, int(is_left.sum()))
    # A share of 0.8 of 4 samples is 3 or 4 of them, by chance.
    listed = min(count, int(listed_share * count + random.random()))
    rows = _parts(order, is_left, cells, len(model.weight))
    left = np.array([len(part) for part in rows])
    chosen = []
    for is_drawn in random.permutation(np.arange(count) >= listed):
        if is_drawn:
            share = np.cumsum(left * model.weight)
            place = int(np.searchsorted(share / share[-1], random.random(), side="right"))
            at = int(random.integers(left[place]))
        else:
            place, at = int(np.where(left > 0, model.probability, -1).argmax()), 0
        part = rows[place]
        chosen.append(Item(int(part[at]), place, bool(is_drawn)))
        part[at:-1] = part[at + 1 :]
        rows[place] = part[:-1]
        left[place] -= 1
    return chosen


def _parts(order: Array, is_left: Array, cells: Array | None, count: int) -> list[Array]:
    """Samples of each bin or cell that are left, by rank: parts of an array that nobody else holds."""
    kept = is_left[order]
    rows = order[kept]
    if cells is None:
        ends = np.cumsum(kept)[bin_ends(len(order)) - 1].tolist()
    else:
        of_each = cells[rows]
        ends = np.cumsum(np.bincount(of_each, minlength=count)).tolist()
        rows = rows[np.argsort(of_each, kind="stable")]
    return [rows[start:end] for start, end in itertools.pairwise([0, *ends])]
