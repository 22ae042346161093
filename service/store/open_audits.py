"""Audits that this process has open: their logs, and the orders of samples that draws are made by."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from service.audit.log import Draws, Log, draws_of
from service.audit.measure import Measured
from service.audit.working_model import bin_ends, bins_by_rank, cells_of
from service.store import audits, proxies
from service.store.audits import StoredModel
from service.store.blobs import Blobs
from service.store.open_rankings import OpenRankings
from service.store.recent import Recent
from service.store.tables import suspects

Array = npt.NDArray[Any]
_OPEN, _ORDERS = 64, 16
_CHUNK = 20_000


@dataclass(frozen=True)
class StoredLog:
    """Entries in order: places in the upload (int64), bins (int16), whether drawn (bool); and the models that drew them."""

    seed: int
    index: Array
    bin: Array
    is_drawn: Array
    models: Sequence[StoredModel]

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def draws(self) -> Draws:
        """Its draws, of all samples."""
        return draws_of(Log(self.index, self.bin, self.is_drawn, [one.model for one in self.models]))


@dataclass(frozen=True)
class RankedRows:
    """The rows of a job by a ranking, most likely mislabeled first (int64 n), and the bin of each row (int8 n).

    `cells`: the bins, divided by the opinions of a proxy where there is one (int n), and `width`, how many there are.
    """

    order: Array
    bins: Array
    cells: Array
    width: int


class OpenAudits:
    """The audits that were used last. Entries are only added, so what was read once is not read again.

    `measured` keeps numbers by whatever names the log and the answers that they follow from.
    """

    def __init__(self) -> None:
        self._logs: Recent[list[StoredLog]] = Recent(_OPEN)
        self._ranked: Recent[RankedRows] = Recent(_ORDERS)
        self.measured: Recent[Measured] = Recent(_OPEN)

    def log(self, connection: sa.Connection, job_id: str) -> StoredLog | None:
        """The log of the audit of a job as it is stored; None where none was begun."""
        audit = audits.get(connection, job_id)
        if audit is None:
            return None
        seed = audit.seed
        kept = self._logs.put((job_id, seed), [StoredLog(seed, *_NOTHING, ())])
        known = kept[0]
        index, bins, is_drawn = audits.entries_after(connection, job_id, len(known))
        if not len(index):
            return known
        after = known.models[-1].model.first + 1 if known.models else 0
        # One that was added since the entries were read waits for its entries.
        end = len(known) + len(index)
        new = [one for one in audits.models_after(connection, job_id, after) if one.model.first < end]
        models = [*known.models, *new]
        log = StoredLog(
            seed=seed,
            index=np.concatenate([known.index, index]),
            bin=np.concatenate([known.bin, bins]),
            is_drawn=np.concatenate([known.is_drawn, is_drawn]),
            models=models,
        )
        kept[0] = log
        return log

    def ranked(
        self, connection: sa.Connection, rankings: OpenRankings, blobs: Blobs, job_id: str, ranked_by: str
    ) -> RankedRows:
        """The rows of a job by the ranking of a job of its chain. Samples which that one did not rank come last.

        `ranked_by` is the name of an `audits.DrawnBy`.
        """
        known = self._ranked.get((job_id, ranked_by))
        if known is not None:
            return known
        drawn_by = audits.DrawnBy.of(ranked_by)
        ranker, version = drawn_by.job_id, drawn_by.version
        rows = rankings.get(connection, blobs, job_id).columns
        by = rankings.get(connection, blobs, ranker, version).columns
        order = by.order(connection, ranker, "mislabeled")
        rank = np.full(len(by), len(by), np.int64)
        rank[order] = np.arange(len(order))
        if ranker != job_id:
            mine, theirs = _paired(connection, job_id, ranker)
            of_mine = np.full(len(rows), len(by), np.int64)
            of_mine[rows.rows_at(mine)] = rank[by.rows_at(theirs)]
            rank = of_mine
        sorted_rows = np.argsort(rank, kind="stable")
        bins = np.empty(len(sorted_rows), np.int8)
        bins[sorted_rows] = bins_by_rank(len(sorted_rows))
        width = len(bin_ends(len(bins)))
        ranked = RankedRows(sorted_rows, bins, bins, width)
        proxy = proxies.get(connection, job_id, drawn_by.proxy) if drawn_by.proxy else None
        if proxy is not None:
            cells = cells_of(bins, proxy.opinions, len(bins)).astype(np.int16)
            ranked = RankedRows(sorted_rows, bins, cells, width * proxies.OPINIONS)
        return self._ranked.put((job_id, ranked_by), ranked)


_NOTHING = np.zeros(0, np.int64), np.zeros(0, np.int16), np.zeros(0, bool)


def _paired(connection: sa.Connection, job_id: str, other_id: str) -> tuple[Array, Array]:
    """Places in the uploads of two jobs of the samples that both ranked."""
    mine, theirs = suspects.alias("mine"), suspects.alias("theirs")
    same = (mine.c.job_id == job_id) & (theirs.c.job_id == other_id) & (mine.c.sample_id == theirs.c.sample_id)
    wanted = sa.select(mine.c["index"], theirs.c["index"]).join(theirs, same)
    rows = connection.execute(wanted, execution_options={"yield_per": _CHUNK})
    found = np.array([tuple(row) for row in rows], np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]
