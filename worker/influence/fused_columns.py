"""Reference columns as the kernels for GPUs read them, and the calls of those kernels.

Columns are sorted by class, and each class is filled up to whole tiles, so that a tile adds to one sum alone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from worker.influence.packed_gradients import ERROR_STEP, PackedGradients, Packing, Terms
from worker.machine.devices import Precision, input_precision

ROWS = 128  # of a tile
COLUMNS = (64, 32, 16)  # of a tile
CHUNK = 32  # columns of which the strongest influence is kept
_MOST_CLASSES = 65_535
_MOST_ZEROS = 1.5  # columns over those that there are
WARPS = 8


@dataclass(frozen=True)
class Tiles:
    """Columns in tiles of `columns`. `originals`: the number of each, -1 where it only fills up; `first`: each class's first tile, and the end."""

    columns: int
    originals: Int[Tensor, " f"]
    first: Int[Tensor, " e"]

    @classmethod
    def of(cls, labels: Int[Tensor, " m"], classes: int) -> "Tiles | None":
        """None where classes are so small that more than a third would be zeros, or more than a launch takes."""
        if classes > _MOST_CLASSES:
            return None
        sizes = labels.bincount(minlength=classes)
        for columns in COLUMNS:
            tiles = (sizes + columns - 1) // columns
            filled = int(tiles.sum()) * columns
            if filled <= _MOST_ZEROS * len(labels):
                break
        else:
            return None
        order, first = labels.argsort(stable=True), pad(tiles.cumsum(0), (1, 0))
        in_class = torch.arange(len(labels)) - (sizes.cumsum(0) - sizes)[labels[order]]
        originals = order.new_full((filled,), -1)
        originals[first[labels[order]] * columns + in_class] = order
        return cls(columns, originals, first)

    @property
    def chunk(self) -> int:
        """Columns of which the strongest influence is kept."""
        return min(self.columns, CHUNK)

    @property
    def chunks(self) -> int:
        """How many there are."""
        return len(self.originals) // self.chunk

    def places(self) -> Int[Tensor, " m"]:
        """Where each column lies."""
        there = (self.originals >= 0).nonzero().squeeze(1)
        return torch.empty_like(there).index_put_((self.originals[there],), there)


@dataclass(frozen=True)
class ClassSums:
    """Influence of b rows by the reference's k classes: sums and numbers of both signs. `highest` and `lowest`: the strongest of each sign in each chunk."""

    positive: Float[Tensor, "b k"]
    negative: Float[Tensor, "b k"]
    positive_count: Float[Tensor, "b k"]
    negative_count: Float[Tensor, "b k"]
    highest: Float[Tensor, "b h"]
    lowest: Float[Tensor, "b h"]


class FusedColumns:
    """m reference rows, of which the influence of training rows is asked. `keys`: a pair of a row and a column of equal keys counts as 0."""

    def __init__(
        self,
        known: PackedGradients,
        packing: Packing,
        tiles: Tiles,
        keys: Int[Tensor, " m"] | None,
        precision: Precision,
    ) -> None:
        place, filled = tiles.places(), len(tiles.originals)
        self._inputs, self._errors = (
            one.new_zeros(filled, one.shape[1]).index_copy_(0, place, one) for one in (known.inputs, known.errors)
        )
        self._packing, self._tiles = packing, tiles
        # Rows have keys from -1 on.
        self._keys = None if keys is None else keys.new_full((filled,), -2).index_copy_(0, place, keys)
        self._precision = input_precision(self._inputs.device, precision)
        # Made once: a copy from the processor would wait for all that is being computed.
        self._every, self._last = (_table(terms) for terms in (packing.terms(), packing.last_terms()))

    def class_sums(self, packed: PackedGradients, keys: Int[Tensor, " b"] | None, *, last: bool = False) -> ClassSums:
        """Sums over all columns of each class; of the `last` checkpoint alone, without the strongest of chunks."""
        from worker.influence.fused_kernels import class_sums_kernel

        rows, tiles, table = len(packed.inputs), self._tiles, self._last if last else self._every
        classes, chunks = len(tiles.first) - 1, 0 if last else tiles.chunks
        widths = [classes] * 4 + [chunks] * 2
        found = ClassSums(*(torch.empty(rows, width) for width in widths))
        with _current(packed.inputs.device):
            class_sums_kernel[(-(-rows // ROWS), classes)](
                *self._arguments(packed, table, keys),
                tiles.first,
                *(getattr(found, one.name) for one in fields(found)),
                rows,
                *self._packing.widths,
                len(table),
                classes,
                chunks,
                HAS_KEYS=keys is not None,
                HAS_EXTREMES=not last,
                ROWS=ROWS,
                COLUMNS=tiles.columns,
                CHUNK=tiles.chunk,
                STEP=self._packing.step,
                ERROR_STEP=ERROR_STEP,
                PRECISION=self._precision,
                num_warps=WARPS,
            )
        return found

    def strongest(
        self, packed: PackedGradients, keys: Int[Tensor, " b"] | None, sums: ClassSums, count: int
    ) -> tuple[tuple[Float[Tensor, "b s"], Int[Tensor, "b s"]], ...]:
        """The strongest pairs of each row, positive and then negative: `|I_ij|`, descending, and columns, -1 where there is none."""
        kept = min(count, sums.highest.shape[1])
        chunks = torch.cat([side.topk(kept, dim=1).indices for side in (sums.highest, sums.lowest)], 1)
        values, chunk = self._of_chunks(packed, keys, chunks), self._tiles.chunk
        columns = chunks[:, :, None] * chunk + torch.arange(chunk)
        return (
            self._largest(values[:, :kept], columns[:, :kept], count),
            self._largest(values[:, kept:].neg(), columns[:, kept:], count),
        )

    def _largest(
        self, values: Float[Tensor, "b h c"], columns: Int[Tensor, "b h c"], count: int
    ) -> tuple[Float[Tensor, "b s"], Int[Tensor, "b s"]]:
        top = values.flatten(1).topk(count, dim=1)
        originals = self._tiles.originals[columns.flatten(1).gather(1, top.indices)]
        return top.values.clamp(min=0), torch.where(top.values > 0, originals, -1)

    def _of_chunks(
        self, packed: PackedGradients, keys: Int[Tensor, " b"] | None, chunks: Int[Tensor, "b h"]
    ) -> Float[Tensor, "b h c"]:
        """Influence on all columns of some chunks of each row, in full single precision."""
        from worker.influence.fused_kernels import chunk_influence_kernel

        (rows, wanted), chunk, table = chunks.shape, self._tiles.chunk, self._every
        found = torch.empty(rows, wanted, chunk)
        with _current(packed.inputs.device):
            chunk_influence_kernel[(rows, wanted)](
                *self._arguments(packed, table, keys),
                chunks,
                found,
                *self._packing.widths,
                len(table),
                wanted,
                HAS_KEYS=keys is not None,
                CHUNK=chunk,
                STEP=ERROR_STEP,
                num_warps=1,
            )
        return found

    def _arguments(
        self, packed: PackedGradients, table: Int[Tensor, "e 4"], keys: Int[Tensor, " b"] | None
    ) -> Sequence[Tensor]:
        # What a kernel does not read needs a place in memory all the same.
        own, known = (table, table) if keys is None or self._keys is None else (keys, self._keys)
        return packed.inputs, packed.errors, self._inputs, self._errors, table, own, known


def _table(terms: Terms) -> Int[Tensor, "e 4"]:
    return torch.tensor(terms, dtype=torch.int32)


@contextmanager
def _current(device: torch.device) -> Iterator[None]:
    """Triton starts kernels on the GPU that is the current one."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            yield
    else:
        yield
