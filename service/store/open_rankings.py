"""Rankings that this process has open: their columns, and the decisions that hold of their samples."""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy.typing as npt
import sqlalchemy as sa

from service.store import ranking_columns
from service.store.blobs import Blobs
from service.store.ranking_columns import RankingColumns
from service.store.standing import Standing

_OPEN = 32
_SEARCHES = 8
Array = npt.NDArray[Any]
T = TypeVar("T")


@dataclass(frozen=True)
class OpenRanking:
    """One ranking: its columns, the decisions on it, and what was searched in it last (bool n by the part)."""

    columns: RankingColumns
    standing: Standing
    searched: "Recent[Array]" = field(default_factory=lambda: Recent(_SEARCHES))


class Recent(Generic[T]):
    """The values used last, by a key. Threads may share it."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._values: OrderedDict[object, T] = OrderedDict()

    def get(self, key: object) -> T | None:
        """The value, which counts as used now."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: object, value: T) -> T:
        """Keep a value, unless another thread has put one, which is given then."""
        with self._lock:
            kept = self._values.setdefault(key, value)
            while len(self._values) > self._most:
                self._values.popitem(last=False)
            return kept


class OpenRankings:
    """The rankings that were used last. Memory: a byte a sample; the columns stay in files."""

    def __init__(self) -> None:
        self._recent: Recent[OpenRanking] = Recent(_OPEN)

    def get(self, connection: sa.Connection, blobs: Blobs, job_id: str) -> OpenRanking:
        """That of a completed job, which never changes."""
        known = self._recent.get(job_id)
        if known is not None:
            return known
        columns = ranking_columns.opened(connection, blobs.ranking(job_id), job_id)
        return self._recent.put(job_id, OpenRanking(columns, Standing(job_id, columns)))
