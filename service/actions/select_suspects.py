"""Which samples of a ranking a query matches, and their places in it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from service.actions.find import find_dataset_of_job
from service.actions.rows_in_part import rows_in_part
from service.actions.rows_in_region import rows_in_region
from service.domain.label_part import LabelPart
from service.domain.stage import FIRST, Stage
from service.services import Services
from service.store import rankings, searched_texts
from service.store.jobs import Job
from service.store.open_rankings import OpenRanking
from service.store.ranking_columns import RankingColumns
from service.store.standing import DECISIONS

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class SuspectQuery:
    """Filter and order of a ranking: `by` is the signal, the labels are class names, `min_score` is a value of the signal.

    `disagrees`: whether the suggested label differs from the given one. `reviewed`: whether a decision holds of the sample,
    `decision`: which, in terms of the labels that the job ranked. `search` is part of its id, or of its text. `region` is a
    line for `service.domain.region`. `part` is one of both parts of each label. `stage` is that of the ranking; None for the newest.
    """

    by: str = "mislabeled"
    label: str | None = None
    suggested: str | None = None
    verdict: str | None = None
    min_score: float | None = None
    min_confidence: float | None = None
    disagrees: bool | None = None
    reviewed: bool | None = None
    decision: str | None = None
    search: str | None = None
    region: str | None = None
    part: LabelPart | None = None
    stage: Stage | None = None

    @property
    def filters(self) -> bool:
        """Whether anything is filtered."""
        return replace(self, by="", stage=None) != _UNFILTERED


_UNFILTERED = SuspectQuery(by="")


@dataclass(frozen=True)
class Selection:
    """The samples that a query matches, in its order: `ranks` are places in the whole ranking by its signal, from 1.

    `kept` has these ranks; None where they are all ranks from `start`, counted from 0, on.
    """

    columns: RankingColumns
    order: Array  # the rows of the whole ranking
    count: int
    kept: Array | None = None
    start: int = 0

    def __len__(self) -> int:
        return self.count

    @property
    def ranks(self) -> Array:
        """Places in the whole ranking, from 1."""
        return np.arange(self.start + 1, self.start + self.count + 1) if self.kept is None else self.kept

    @property
    def index(self) -> list[int]:
        """Their places in the upload."""
        found: list[int] = self.columns.index[self.rows].tolist()
        return found

    @property
    def rows(self) -> Array:
        """Their rows in the columns."""
        found: Array = self.order[self.ranks - 1]
        return found

    def part(self, start: int, stop: int) -> "Selection":
        """Those from place `start` to before `stop`, counted from 0."""
        start, stop, _ = slice(start, stop).indices(self.count)
        kept = None if self.kept is None else self.kept[start:stop]
        return replace(self, kept=kept, start=self.start + start, count=max(0, stop - start))

    def start_after(self, rank: int) -> int:
        """The place of the first that is ranked after `rank`."""
        if self.kept is None:
            return min(max(0, rank - self.start), self.count)
        return int(np.searchsorted(self.kept, rank, side="right"))


def select(
    services: Services, connection: sa.Connection, job: Job, query: SuspectQuery, ids: Sequence[str] | None = None
) -> Selection:
    """The samples of a ranked job that `query` matches, those called `ids` alone where they are given.

    It reads columns in files, not the table: milliseconds for a million samples, whatever the filters and the signal.
    """
    ranking = _ranking(services, connection, job, query)
    order = ranking.columns.order(connection, job.id, query.by)
    if ids is None and not query.filters:
        return Selection(ranking.columns, order, len(order))
    by_decision = query.reviewed is not None or query.decision is not None
    moment = ranking.standing.now(connection).moment if by_decision else ()
    key = (job.id, ranking.columns.folder, query, moment)
    kept = services.open_rankings.selected.get(key) if ids is None else None
    if kept is None:
        kept = _kept(services, connection, job, ranking, query, ids)
        if ids is None:
            kept = services.open_rankings.selected.put(key, kept)
    return Selection(ranking.columns, order, len(kept), kept)


def _ranking(services: Services, connection: sa.Connection, job: Job, query: SuspectQuery) -> OpenRanking:
    version = FIRST if query.stage == "quick" else None
    return services.open_rankings.get(connection, services.blobs, job.id, version)


def _kept(
    services: Services,
    connection: sa.Connection,
    job: Job,
    ranking: OpenRanking,
    query: SuspectQuery,
    ids: Sequence[str] | None,
) -> Array:
    """The ranks of what passes every filter, ascending."""
    order = ranking.columns.order(connection, job.id, query.by)
    if query.min_score is not None:
        order = order[: rankings.count_scoring(connection, job.id, ranking.columns, query.by, [query.min_score])[0]]
    wanted = passing_rows(services, connection, job, query, ids)
    ranks = np.arange(len(order)) if wanted is None else np.flatnonzero(wanted[order])
    ranks += 1
    return ranks.astype(np.int32)


def passing_rows(
    services: Services, connection: sa.Connection, job: Job, query: SuspectQuery, ids: Sequence[str] | None = None
) -> Array | None:
    """Which rows of the columns pass every filter of `query` but that by score: bool n; None for all."""
    ranking = _ranking(services, connection, job, query)
    columns = ranking.columns
    passing: list[Array] = []
    for codes, names, value in (
        ("given", columns.labels, query.label),
        ("suggested", columns.labels, query.suggested),
        ("verdict", columns.verdicts, query.verdict),
    ):
        if value is not None:
            passing.append(getattr(columns, codes) == (names.index(value) if value in names else -1))
    if query.min_confidence is not None:
        passing.append(columns.confidence >= query.min_confidence)
    if query.disagrees is not None:
        passing.append((columns.given != columns.suggested) == query.disagrees)
    passing += _decided(connection, ranking, query)
    if query.search is not None:
        passing.append(_searched(services, job, ranking, query.search))
    if query.region is not None:
        passing.append(rows_in_region(ranking, query.region))
    if query.part is not None:
        passing.append(rows_in_part(columns, query.part))
    if ids is not None:
        named = np.zeros(len(columns), bool)
        named[columns.rows_at([row["index"] for row in rankings.rows_by_id(connection, job.id, ids).values()])] = True
        passing.append(named)
    return reduce(np.logical_and, passing) if passing else None


def _decided(connection: sa.Connection, ranking: OpenRanking, query: SuspectQuery) -> list[Array]:
    """Which rows pass the filters by decision, an array for each filter that is asked for."""
    if query.reviewed is None and query.decision is None:
        return []
    decisions = ranking.standing.decisions(connection)
    passing = [] if query.reviewed is None else [(decisions >= 0) == query.reviewed]
    return passing if query.decision is None else [*passing, decisions == DECISIONS.index(query.decision)]


def _searched(services: Services, job: Job, ranking: OpenRanking, part: str) -> Array:
    known = ranking.searched.get(part)
    if known is not None:
        return known
    found = ranking.columns.with_id(part)
    info = find_dataset_of_job(services, job)
    if info.modality == "text":
        blobs = services.blobs
        in_text = searched_texts.with_text(blobs.search(info.id), blobs.canonical(info.id), part)
        found |= in_text[ranking.columns.position]
    return ranking.searched.put(part, found)
