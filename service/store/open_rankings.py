"""Rankings that this process has open: their columns, and the decisions that hold of their samples."""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy.typing as npt
import sqlalchemy as sa

from service.store import news, ranking_columns, rankings
from service.store.blobs import Blobs
from service.store.ranking_columns import RankingColumns
from service.store.standing import Standing

_OPEN = 32
_SEARCHES = 8
_COUNTED = 2_000
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
        self._counted: Recent[dict[str, int]] = Recent(_COUNTED)

    def verdicts(self, connection: sa.Connection, blobs: Blobs, job_id: str) -> dict[str, int]:
        """How many samples of a completed job carry each verdict, without making its columns."""
        known = self._counted.get(job_id)
        if known is not None:
            return known
        if (blobs.ranking(job_id) / "header.json").exists():
            return self._counted.put(job_id, dict(self.get(connection, blobs, job_id).columns.counts))
        return self._counted.put(job_id, rankings.count_by_verdict(connection, job_id))

    def count_reviewed(self, connection: sa.Connection, blobs: Blobs, job_id: str) -> int:
        """On how many ranked samples of a completed job a decision holds."""
        if not any(news.review_numbers(connection, job_id).values()):
            return 0
        decisions = self.get(connection, blobs, job_id).standing.decisions(connection)
        return int((decisions >= 0).sum())

    def get(self, connection: sa.Connection, blobs: Blobs, job_id: str) -> OpenRanking:
        """That of a completed job, which never changes."""
        known = self._recent.get(job_id)
        if known is not None:
            return known
        columns = ranking_columns.opened(connection, blobs.ranking(job_id), job_id)
        return self._recent.put(job_id, OpenRanking(columns, Standing(job_id, columns)))
