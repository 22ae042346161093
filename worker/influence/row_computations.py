"""Computations over the training rows that are done in blocks of rows, each by any process.

A block is a function of its rows alone: wherever it is computed, with as many threads and on the same kind of processor, it has
the same bits. Blocks begin at multiples of `GRAIN` rows, so that what is computed of a few rows at a time within a block is
divided alike in every block.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

GRAIN = 1_024  # rows; what blocks are computed in divides it
PRODUCTS_A_SECOND = 5e10  # numbers that a thread multiplies and adds; measured, and rough
_AT_ONCE = 8 * GRAIN  # rows of a block that is computed for nobody else

Arrays = dict[str, Tensor]  # by name, one row for each training row
OfRows = Callable[[slice], Arrays]
OnShare = Callable[[float], None]  # is called with the share that is done, from 0 to 1
Numbers = Mapping[str, Any]  # as JSON can hold them


@dataclass(frozen=True)
class Recipe:
    """All that another process needs: the name of a computation, the arrays that it reads, and numbers.

    `rows`: of arrays of which some training rows need no others, the axis that those rows are on; empty where all need all.
    """

    name: str
    arrays: Mapping[str, Tensor]
    numbers: Numbers = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class RowComputation:
    """A computation over `samples` rows, which takes about `seconds` on one thread. `open` makes the function of rows.

    `recipe` is None where no other process can have what it reads; then `open_on` makes the function on another device, where it can be
    had there. `label` tells it from others of a job.
    """

    label: str
    samples: int
    seconds: float
    open: Callable[[], OfRows]
    recipe: Recipe | None = None
    open_on: Callable[[torch.device], OfRows] | None = None


# Begins a computation; what it gives is called for the arrays of all rows. A computation that others share goes on between.
Begin = Callable[[RowComputation, OnShare], Callable[[], Arrays]]


class Merged:
    """The arrays of all rows, put together from those of blocks."""

    def __init__(self, samples: int) -> None:
        self._samples = samples
        self.arrays: Arrays = {}

    def add(self, rows: slice, part: Arrays) -> None:
        """Put in what was computed of some rows."""
        if not self.arrays:
            self.arrays = {name: one.new_empty(self._samples, *one.shape[1:]) for name, one in part.items()}
        for name, one in part.items():
            self.arrays[name][rows] = one


def ranges(rows: slice, count: int) -> list[slice]:
    """Rows, in ranges of so many."""
    return [slice(first, min(first + count, rows.stop)) for first in range(rows.start, rows.stop, count)]


def alone(computation: RowComputation, on_share: OnShare) -> Callable[[], Arrays]:
    """Compute all blocks, at once and in this process."""
    function, merged = computation.open(), Merged(computation.samples)
    for rows in ranges(slice(0, computation.samples), _AT_ONCE):
        merged.add(rows, function(rows))
        on_share(rows.stop / computation.samples)
    return lambda: merged.arrays
