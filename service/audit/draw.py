"""Batches of samples to review next: some drawn by chance, some listed by their place in the ranking."""

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
    rows = [part[is_left[part]] for part in _parts(order, cells, len(model.weight))]
    chosen = []
    for is_drawn in random.permutation(np.arange(count) >= listed):
        left = np.array([len(part) for part in rows])
        if is_drawn:
            share = left * model.weight
            place = int(random.choice(len(rows), p=share / share.sum()))
            at = int(random.integers(len(rows[place])))
        else:
            place, at = int(np.where(left > 0, model.probability, -1).argmax()), 0
        chosen.append(Item(int(rows[place][at]), place, bool(is_drawn)))
        rows[place] = np.delete(rows[place], at)
    return chosen


def _parts(order: Array, cells: Array | None, count: int) -> Sequence[Array]:
    """Samples of each bin or cell, by rank."""
    if cells is None:
        return np.split(order, bin_ends(len(order))[:-1])
    of_each = cells[order]
    ends = np.cumsum(np.bincount(of_each, minlength=count))[:-1]
    return np.split(order[np.argsort(of_each, kind="stable")], ends)
