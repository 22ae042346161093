"""Rankings that this process has open: their columns, and the decisions that hold of their samples."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy.typing as npt
import sqlalchemy as sa

from service.store import news, ranking_columns, rankings, rescorings
from service.store.blobs import Blobs
from service.store.ranking_columns import RankingColumns
from service.store.recent import Recent
from service.store.standing import Standing

_OPEN = 32
_SEARCHES = 8
_REMEMBERED = 64  # answers of one ranking
_COUNTED = 2_000
_SELECTED = 32
Array = npt.NDArray[Any]
T = TypeVar("T")


@dataclass(frozen=True)
class OpenRanking:
    """One ranking: its columns, the decisions on it, and what was searched in it last (bool n by the part)."""

    columns: RankingColumns
    standing: Standing
    searched: Recent[Array] = field(default_factory=lambda: Recent(_SEARCHES))
    _remembered: Recent[Any] = field(default_factory=lambda: Recent(_REMEMBERED))

    def remembered(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gave for this key, which names everything that the answer depends on beside the ranking."""
        known: T | None = self._remembered.get(key)
        return self._remembered.put(key, make()) if known is None else known


class OpenRankings:
    """The rankings that were used last; their columns stay in files.

    Memory of each: six bytes a sample for the decisions, one more for each of the last eight searches, 12 a vote where annotators were
    asked for, and what the last 64 answers take.
    """

    def __init__(self) -> None:
        self._recent: Recent[OpenRanking] = Recent(_OPEN)
        self._counted: Recent[dict[str, int]] = Recent(_COUNTED)
        # Ranks of what a filter keeps: four bytes a sample at most.
        self.selected: Recent[Array] = Recent(_SELECTED)

    def verdicts(self, connection: sa.Connection, blobs: Blobs, job_id: str) -> dict[str, int]:
        """How many samples of a completed job carry each verdict, without making its columns."""
        version = rescorings.version(connection, job_id)
        known = self._counted.get((job_id, version))
        if known is not None:
            return known
        if (rescorings.folder(connection, blobs, job_id, version) / "header.json").exists():
            counts = dict(self.get(connection, blobs, job_id).columns.counts)
        else:
            counts = rankings.count_by_verdict(connection, job_id)
        return self._counted.put((job_id, version), counts)

    def count_reviewed(self, connection: sa.Connection, blobs: Blobs, job_id: str) -> int:
        """On how many ranked samples of a completed job a decision holds."""
        if not any(news.review_numbers(connection, job_id).values()):
            return 0
        decisions = self.get(connection, blobs, job_id).standing.decisions(connection)
        return int((decisions >= 0).sum())

    def get(self, connection: sa.Connection, blobs: Blobs, job_id: str, version: int | None = None) -> OpenRanking:
        """A version of a completed job's ranking, which never changes; None for the one that it has now."""
        current = rescorings.version(connection, job_id)
        version = current if version is None else version
        key = (job_id, version, version == current)
        folder = rescorings.folder(connection, blobs, job_id, version)  # asked for each time, so that it stays here
        known = self._recent.get(key)
        if known is not None:
            return known
        columns = ranking_columns.opened(connection, folder, job_id, is_current=version == current)
        return self._recent.put(key, OpenRanking(columns, Standing(job_id, columns)))
