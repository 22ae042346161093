"""Row groups of a canonical file: where each begins, how large it is, and which ids it may hold.

Reading this of a million rows takes longer than reading one of them, so it is kept of the last files that were opened.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service.store.seal import open_parquet

Array = npt.NDArray[Any]
_OWN_ID = re.compile(r"^row-(\d{1,18})$")
_FILES = 16


@dataclass(frozen=True)
class RowGroups:
    """`starts`: the first row of each of g groups, and the number of all rows. `sizes`: bytes of each, not compressed.

    `index` and `ids`: the smallest and the largest of each group, by the statistics of the file; None where it has none.
    """

    starts: Array
    sizes: Array
    index: tuple[Array, Array] | None
    ids: tuple[Array, Array] | None

    def at(self, position: int) -> tuple[int, int]:
        """The group of a 0-based row of the file, and the row's place in it. Raises IndexError outside the file."""
        if not 0 <= position < self.starts[-1]:
            raise IndexError(f"no row {position}; the file has {self.starts[-1]}")
        group = int(np.searchsorted(self.starts, position, side="right")) - 1
        return group, position - int(self.starts[group])

    def of(self, positions: Sequence[int]) -> dict[int, list[tuple[int, int]]]:
        """By group, ascending: the places in `positions` of the rows that it has, and their places in it. Raises IndexError."""
        found: dict[int, list[tuple[int, int]]] = {}
        for asked, position in enumerate(positions):
            group, place = self.at(position)
            found.setdefault(group, []).append((asked, place))
        return dict(sorted(found.items()))

    def with_id(self, sample_id: str) -> tuple[list[int], list[int]]:
        """The groups that may hold an id: by its number, if it has the form row-<index>, and the others."""
        own = _OWN_ID.match(sample_id)
        numbered = _holding(self.index, int(own.group(1)), len(self.sizes)) if own else []
        others = _holding(self.ids, sample_id, len(self.sizes))
        return numbered, [group for group in others if group not in numbered]


@contextmanager
def opened(data: Path) -> Iterator[tuple[Any, RowGroups]]:
    """The open Parquet file and its groups."""
    facts = data.stat()
    metadata, groups = _described(data, facts.st_ino, facts.st_mtime_ns, facts.st_size)
    with open_parquet(data, metadata=metadata, pre_buffer=False) as file:
        yield file, groups


@lru_cache(_FILES)
def _described(data: Path, _number: int, _changed: int, _size: int) -> tuple[Any, RowGroups]:
    with open_parquet(data) as file:
        metadata, names = file.metadata, file.schema_arrow.names
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    bounds = (_bounds([group.column(names.index(column)) for group in groups]) for column in ("index", "id"))
    return metadata, RowGroups(
        np.cumsum([0, *(group.num_rows for group in groups)]),
        np.array([group.total_byte_size for group in groups], np.int64),
        *bounds,
    )


def _bounds(chunks: Sequence[Any]) -> tuple[Array, Array] | None:
    statistics = [chunk.statistics for chunk in chunks]
    if not all(known is not None and known.has_min_max for known in statistics):
        return None
    low, high = ([getattr(known, name) for known in statistics] for name in ("min", "max"))
    return np.array(low, object), np.array(high, object)  # numpy's own texts end before a NUL


def _holding(bounds: tuple[Array, Array] | None, value: Any, groups: int) -> list[int]:
    if bounds is None:
        return list(range(groups))
    found: list[int] = np.flatnonzero((bounds[0] <= value) & (value <= bounds[1])).tolist()
    return found
