"""Computations over training rows on a GPU: what they read is copied there, and what they give comes back."""

from collections.abc import Callable, Iterator, Mapping

import structlog
import torch
from torch import Tensor

from worker.influence.row_computations import (
    GRAIN,
    Arrays,
    Begin,
    Merged,
    OfRows,
    OnShare,
    Recipe,
    RowComputation,
    ranges,
)
from worker.machine.devices import CPU, Copies, free_memory, free_unused, is_fast_in_double, is_out_of_memory
from worker.signals.held_out import ERRORS, SCORES
from worker.signals.shared_computations import OPENED_BY

log = structlog.get_logger()

_ROWS = 65_536  # computed between two copies of results
_FEWEST = 4  # times GRAIN rows that a part has: each part prepares the reference anew
_LARGEST_PART = 2**28  # bytes
_SHARE = 0.4  # of the free memory, for what is copied; the rest is for what is computed
_IN_DOUBLE = (ERRORS, SCORES)
_TREES = "trees"  # what their computations look up is faster where the trees are grown


class OnDevice:
    """Begins computations on a device; its `begin` is that of `worker.influence.row_computations`. Those that the device does not suit go to `otherwise`."""

    def __init__(
        self, device: torch.device, otherwise: Begin, room: Callable[[torch.device], int] = free_memory
    ) -> None:
        self._device, self._otherwise, self._room = device, otherwise, room

    def begin(self, computation: RowComputation, on_share: OnShare) -> Callable[[], Arrays]:
        """Compute all rows, at once."""
        arrays = self._computed(computation, on_share)
        return self._otherwise(computation, on_share) if arrays is None else lambda: arrays

    def _computed(self, computation: RowComputation, on_share: OnShare) -> Arrays | None:
        """The arrays of all rows; None where the device does not suit, or its memory runs out."""
        parts = self._parts(computation, int(_SHARE * self._room(self._device)))
        if parts is None:
            return None
        merged = Merged(computation.samples)
        try:
            with self._device:
                for rows, found in parts:
                    merged.add(rows, {name: one.to(CPU) for name, one in found.items()})
                    on_share(rows.stop / computation.samples)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            log.warning("the GPU's memory ran out, so the processor computes", computation=computation.label)
        else:
            return merged.arrays
        # After the error, which holds what was computed.
        del parts
        free_unused(self._device)
        return None

    def _parts(self, computation: RowComputation, room: int) -> Iterator[tuple[slice, Arrays]] | None:
        """What is computed of some rows after others; None where the device does not suit, or has no room."""
        recipe, every = computation.recipe, slice(0, computation.samples)
        if recipe is None:
            opened = computation.open_on
            return None if opened is None else self._with_all(lambda: opened(self._device), every)
        if _TREES in recipe.numbers or (recipe.name in _IN_DOUBLE and not is_fast_in_double(self._device)):
            return None
        if _byte_size(recipe.arrays) <= room:
            return self._with_all(lambda: self._opened(recipe, self._moved(recipe.arrays)), every)
        rows = self._rows_of_parts(recipe, computation.samples, room)
        if rows < _FEWEST * GRAIN:
            log.warning("the GPU has no room, so the processor computes", computation=computation.label)
            return None
        return self._in_parts(recipe, ranges(every, rows))

    @staticmethod
    def _rows_of_parts(recipe: Recipe, samples: int, room: int) -> int:
        """How many rows may be copied at once, of arrays that are copied part by part; 0 where others alone have no room."""
        of_rows = _byte_size({name: array for name, array in recipe.arrays.items() if name in recipe.rows})
        # Two parts at once: one is computed while the next is copied.
        rest = min((room - _byte_size(recipe.arrays) + of_rows) // 2, _LARGEST_PART)
        most = min(rest * samples // of_rows, _ROWS) if of_rows and rest > 0 else 0
        return most - most % GRAIN

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
