"""Ranks: places of samples in the whole ranking by a signal, 1 = most suspicious, ties by index. No filter changes them.

Those by the two answers are columns, made when a ranking is saved. Others, and those of rankings that were saved before
there were columns, are counted for a page at once.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from service.domain.signal import HEADLINES
from service.store.tables import rank_column, suspects

_NAMED = 1_000  # indexes in one statement


def with_ranks(table: pa.Table) -> pa.Table:
    """The ranking with a column of ranks by each of the two answers that it has."""
    index = table["index"].to_numpy()
    for name in HEADLINES:
        if name in table.column_names:
            order = np.lexsort((index, -table[name].to_numpy()))
            ranks = np.empty(len(order), np.int64)
            ranks[order] = np.arange(1, len(order) + 1)
            table = table.append_column(rank_column(name), pa.array(ranks))
    return table


def stream_rank(connection: sa.Connection, job_id: str, by: str) -> tuple[sa.FromClause, sa.ColumnElement[int]]:
    """What a statement over many rows of a job reads from, `suspects` among it, and the ranks by the signal `by` in it."""
    if by in HEADLINES:
        recorded = suspects.c[rank_column(by)]
        if connection.execute(sa.select(recorded).where(suspects.c.job_id == job_id).limit(1)).scalar() is not None:
            return suspects, recorded.label("rank")
    ranked = sa.select(suspects.c.index, rank_by(by).label("rank")).where(suspects.c.job_id == job_id).subquery()
    return suspects.join(ranked, suspects.c.index == ranked.c.index), ranked.c.rank


def rank_by(by: str) -> sa.ColumnElement[int]:
    """The rank as a window over all rows that a statement reads: for statements that read a whole job."""
    return sa.func.row_number().over(order_by=(suspects.c[by].desc(), suspects.c.index))


def page_ranks(
    connection: sa.Connection,
    job_id: str,
    by: str,
    rows: Sequence[sa.RowMapping],
    before: tuple[float, int, int] | None = None,
) -> list[int]:
    """Ranks by the signal `by` of successive rows of a filtered ranking.

    `before`: score, index and rank of a sample before them, from which is counted; None: from the first of the ranking.
    At most one statement, and none for ranks that were recorded.
    """
    if not rows:
        return []
    if by in HEADLINES and all(row[rank_column(by)] is not None for row in rows):
        return [row[rank_column(by)] for row in rows]
    score, index, last = suspects.c[by], suspects.c.index, rows[-1]
    # Only rows between the sample before the page and the last of the page are counted.
    within = (suspects.c.job_id == job_id) & ((score > last[by]) | ((score == last[by]) & (index <= last["index"])))
    first = 0
    if before is not None:
        value, place, first = before
        within &= (score < value) | ((score == value) & (index > place))
    counted = sa.select(index, rank_by(by).label("rank")).where(within).subquery()
    found: dict[int, int] = {}
    for start in range(0, len(rows), _NAMED):
        wanted = counted.c.index.in_([row["index"] for row in rows[start : start + _NAMED]])
        reached = connection.execute(counted.select().where(wanted)).mappings()
        found |= {row["index"]: row["rank"] for row in reached}
    return [first + found[row["index"]] for row in rows]
