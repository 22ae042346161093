"""Computations over training rows on a GPU: what they read is copied there, and what they give comes back."""

from collections.abc import Callable, Iterator, Mapping

import structlog
import torch
from torch import Tensor

from worker.influence.row_computations import Arrays, Begin, Merged, OfRows, OnShare, Recipe, RowComputation, ranges
from worker.machine.devices import CPU, Copies, free_memory
from worker.signals.shared_computations import OPENED_BY

log = structlog.get_logger()

_ROWS = 65_536  # computed between two copies of results
_SHARE = 0.4  # of the free memory, for what is copied; the rest is for what is computed
_TREES = "trees"  # what their computations look up is faster where the trees are grown


class OnDevice:
    """Begins computations on a device; its `begin` is that of `worker.influence.row_computations`. Those that the device does not suit go to `otherwise`."""

    def __init__(
        self, device: torch.device, otherwise: Begin, room: Callable[[torch.device], int] = free_memory
    ) -> None:
        self._device, self._otherwise, self._room = device, otherwise, room

    def begin(self, computation: RowComputation, on_share: OnShare) -> Callable[[], Arrays]:
        """Compute all rows, at once."""
        room = int(_SHARE * self._room(self._device))
        parts = self._parts(computation, room)
        if parts is None:
            return self._otherwise(computation, on_share)
        merged = Merged(computation.samples)
        with self._device:
            for rows, found in parts:
                merged.add(rows, {name: one.to(CPU) for name, one in found.items()})
                on_share(rows.stop / computation.samples)
        return lambda: merged.arrays

    def _parts(self, computation: RowComputation, room: int) -> Iterator[tuple[slice, Arrays]] | None:
        """What is computed of some rows after others; None where the device does not suit, or has no room."""
        recipe, every = computation.recipe, slice(0, computation.samples)
        if recipe is None:
            opened = computation.open_on
            return None if opened is None else self._with_all(lambda: opened(self._device), every)
        if _TREES in recipe.numbers:
            return None
        if _byte_size(recipe.arrays) <= room:
            return self._with_all(lambda: self._opened(recipe, self._moved(recipe.arrays)), every)
        by_row = {name: array for name, array in recipe.arrays.items() if name in recipe.rows}
        # Two parts at once: one is computed while the next is copied.
        rest = room - (_byte_size(recipe.arrays) - _byte_size(by_row))
        most = rest * computation.samples // (2 * _byte_size(by_row)) if by_row and rest > 0 else 0
        if most == 0:
            log.warning("too large for the GPU's memory, so it is computed on the processor", computation=recipe.name)
            return None
        return self._in_parts(recipe, ranges(every, min(most, _ROWS)))

    def _with_all(self, open_: Callable[[], OfRows], every: slice) -> Iterator[tuple[slice, Arrays]]:
        of_rows = open_()
        for rows in ranges(every, _ROWS):
            yield rows, of_rows(rows)

    def _in_parts(self, recipe: Recipe, parts: list[slice]) -> Iterator[tuple[slice, Arrays]]:
        shared = self._moved({name: array for name, array in recipe.arrays.items() if name not in recipe.rows})
        begin_copy = Copies(self._device).begin
        following = begin_copy(_part(recipe, parts[0]))
        for rows, after in zip(parts, [*parts[1:], None], strict=True):
            arrays = following()
            # The GPU computes while this is copied.
            found = self._opened(recipe, {**shared, **arrays})(slice(0, rows.stop - rows.start))
            if after is not None:
                following = begin_copy(_part(recipe, after))
            yield rows, found

    def _moved(self, arrays: Mapping[str, Tensor]) -> Arrays:
        return {name: array.to(self._device) for name, array in arrays.items()}

    @staticmethod
    def _opened(recipe: Recipe, arrays: Arrays) -> OfRows:
        return OPENED_BY[recipe.name](arrays, recipe.numbers)


def _part(recipe: Recipe, rows: slice) -> Arrays:
    """The arrays of some training rows."""
    return {
        name: array.narrow(recipe.rows[name], rows.start, rows.stop - rows.start)
        for name, array in recipe.arrays.items()
        if name in recipe.rows
    }


def _byte_size(arrays: Mapping[str, Tensor]) -> int:
    return sum(array.numel() * array.element_size() for array in arrays.values())
