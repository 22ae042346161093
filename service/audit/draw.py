"""Batches of samples to review next: some drawn by chance, some listed by their place in the ranking, shuffled together."""

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
    model: WorkingModel, order: Array, is_left: Array, count: int, listed_share: float, random: np.random.Generator
) -> Sequence[Item]:
    """At most `count` samples that are left, in the order of the log: the listed ones leave before the first draw.

    `order` has the samples by rank (int n), `is_left` says which have no review and were not handed out (bool n).
    """
    count = min(count, int(is_left.sum()))
    # A share of 0.8 of 4 samples is 3 or 4 of them, by chance.
    listed = min(count, int(listed_share * count + random.random()))
    is_left = is_left.copy()
    ends = bin_ends(len(order))
    ranks = np.flatnonzero(is_left[order])[:listed]
    chosen = [Item(int(order[rank]), int(np.searchsorted(ends, rank, side="right")), is_drawn=False) for rank in ranks]
    is_left[order[ranks]] = False
    rows = [part[is_left[part]] for part in np.split(order, ends[:-1])]
    for _ in range(count - listed):
        left = np.array([len(part) for part in rows])
        share = left * model.weight
        place = int(random.choice(len(rows), p=share / share.sum()))
        at = int(random.integers(len(rows[place])))
        chosen.append(Item(int(rows[place][at]), place, is_drawn=True))
        rows[place] = np.delete(rows[place], at)
    return chosen
