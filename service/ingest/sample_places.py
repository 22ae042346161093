"""The rows of the ids of a canonical file, held in memory for the last files that were asked for one.

Without them, an id that is in no order is looked for in half of the file on average.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from service.store import fingerprints
from service.store.seal import open_parquet

Array = npt.NDArray[Any]
_FILES = 4
MOST_ROWS = 4_000_000  # each takes sixteen bytes


@dataclass(frozen=True)
class _Places:
    """`hashes` of all ids, ascending, and the `rows` of the file that have them."""

    hashes: Array
    rows: Array


def with_id(data: Path, sample_id: str) -> list[int]:
    """The 0-based rows of a file that may have the id: one as a rule, or none; other ids with an equal hash are possible."""
    facts = data.stat()
    places = _places(data, facts.st_ino, facts.st_mtime_ns, facts.st_size)
    wanted = fingerprints.of_texts(pa.array([sample_id]))[0]
    first, last = (np.searchsorted(places.hashes, wanted, side) for side in ("left", "right"))
    found: list[int] = places.rows[first:last].tolist()
    return found


@lru_cache(_FILES)
def _places(data: Path, _number: int, _changed: int, _size: int) -> _Places:
    with open_parquet(data) as file:
        batches = file.iter_batches(columns=["id"], batch_size=2**16)
        hashes = np.concatenate([np.empty(0, np.uint64), *(fingerprints.of_texts(one.column(0)) for one in batches)])
    rows = hashes.argsort(kind="stable")
    return _Places(hashes[rows], rows)
