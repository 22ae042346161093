"""Rankings: written at once by a worker, read row by row. What is before what, service.store.ranking_columns says."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import sqlalchemy as sa

from service.domain.signal import SIGNALS
from service.store import first_rankings
from service.store.ranking_columns import RankingColumns
from service.store.tables import signal_summaries, suspects

Row = Mapping[str, Any]
Array = npt.NDArray[Any]
_CHUNK = 5_000
_NAMED = 1_000  # ids in one statement
_MANY = 10_000  # rows; a wrong plan over fewer costs less than the statistics


def save(connection: sa.Connection, job_id: str, table: pa.Table) -> None:
    """Write every ranked sample of a job, in place of those of an earlier attempt.

    `table` has the columns of `suspects` without `job_id`; a signal that was not computed may be left out.
    """
    connection.execute(suspects.delete().where(suspects.c.job_id == job_id))
    table = table.add_column(0, "job_id", pa.array([job_id] * len(table), pa.string()))
    if connection.dialect.name == "postgresql":
        _copy(connection, table)
        if len(table) >= _MANY:
            # Until autovacuum comes, the planner knows nothing of these rows, and reads a whole index for each page.
            connection.execute(sa.text("ANALYZE suspects"))
        return
    columns = ", ".join(f'"{name}"' for name in table.column_names)
    places = ", ".join("?" * len(table.column_names))
    for batch in table.to_batches(_CHUNK):
        # As tuples, without SQLAlchemy: none of these types is converted, and dictionaries take several times as long.
        rows = list(zip(*(column.to_pylist() for column in batch.columns), strict=True))
        connection.exec_driver_sql(f"INSERT INTO suspects ({columns}) VALUES ({places})", rows)  # noqa: S608 - names of columns


def replace_columns(connection: sa.Connection, job_id: str, table: pa.Table) -> None:
    """Write other values into some columns of every ranked sample of a job; `table` has them, and `index`."""
    changed = [name for name in table.column_names if name != "index"]
    if connection.dialect.name == "postgresql":
        columns = [suspects.c[name] for name in table.column_names]
        fresh = sa.Table("fresh_scores", sa.MetaData(), *(sa.Column(one.name, one.type) for one in columns))
        connection.execute(sa.text("DROP TABLE IF EXISTS pg_temp.fresh_scores"))
        definition = str(sa.schema.CreateTable(fresh).compile(dialect=connection.dialect))
        connection.execute(sa.text(definition.replace("CREATE TABLE", "CREATE TEMPORARY TABLE")))
        _copy(connection, table, "fresh_scores")
        mine = (suspects.c.job_id == job_id) & (suspects.c.index == fresh.c.index)
        connection.execute(suspects.update().where(mine).values({name: fresh.c[name] for name in changed}))
        connection.execute(sa.text("DROP TABLE pg_temp.fresh_scores"))
        return
    mine = (suspects.c.job_id == job_id) & (suspects.c.index == sa.bindparam("at"))
    renamed = table.rename_columns(["at" if name == "index" else f"new_{name}" for name in table.column_names])
    update = suspects.update().where(mine).values({name: sa.bindparam(f"new_{name}") for name in changed})
    for batch in renamed.to_batches(_CHUNK):
        connection.execute(update, batch.to_pylist())


def _copy(connection: sa.Connection, table: pa.Table, into: str = "suspects") -> None:
    # COPY loads a million rows in seconds where INSERT takes minutes; Arrow writes the CSV without a Python loop.
    columns = ", ".join(f'"{name}"' for name in table.column_names)
    options = pa.csv.WriteOptions(include_header=False, quoting_style="needed")
    cursor = connection.connection.cursor()
    with cursor.copy(f"COPY {into} ({columns}) FROM STDIN (FORMAT csv)") as copy:
        for batch in table.to_batches(_CHUNK):
            buffer = io.BytesIO()
            pa.csv.write_csv(batch, buffer, options)
            copy.write(buffer.getvalue())


def save_summaries(connection: sa.Connection, job_id: str, summaries: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the summary of each signal: histogram, quantiles, detection of planted errors."""
    connection.execute(signal_summaries.delete().where(signal_summaries.c.job_id == job_id))
    rows = [{"job_id": job_id, "name": name, "summary": dict(summary)} for name, summary in summaries.items()]
    if rows:
        connection.execute(signal_summaries.insert(), rows)


def replace_summaries(connection: sa.Connection, job_id: str, changed: Mapping[str, Mapping[str, Any]]) -> None:
    """Write some summaries of a job, in place of those of the same names."""
    save_summaries(connection, job_id, {**summaries(connection, job_id), **changed})


def summaries(connection: sa.Connection, job_id: str) -> dict[str, dict[str, Any]]:
    """The summaries of a job, by signal."""
    rows = connection.execute(signal_summaries.select().where(signal_summaries.c.job_id == job_id))
    return {row.name: row.summary for row in rows}


def summary(connection: sa.Connection, job_id: str, name: str) -> dict[str, Any]:
    """One summary of a job; empty where it has none of this name."""
    wanted = (signal_summaries.c.job_id == job_id) & (signal_summaries.c.name == name)
    found = connection.execute(sa.select(signal_summaries.c.summary).where(wanted)).scalar_one_or_none()
    return found or {}


def in_order(
    connection: sa.Connection, job_id: str, columns: RankingColumns, rows: Array, chunk: int = _CHUNK
) -> Iterator[list[Row]]:
    """The samples in these rows of the columns, in that order and in chunks, so that memory does not grow with them."""
    for start in range(0, len(rows), chunk):
        yield rows_by_index(connection, job_id, columns.index[rows[start : start + chunk]].tolist())


def top(connection: sa.Connection, job_id: str, columns: RankingColumns, by: str, count: int) -> list[Row]:
    """The `count` most suspicious samples by a signal."""
    rows = columns.order(connection, job_id, by)[:count]
    return rows_by_index(connection, job_id, columns.index[rows].tolist())


def count_by_verdict(connection: sa.Connection, job_id: str) -> dict[str, int]:
    """How many samples carry each verdict."""
    rows = connection.execute(
        sa.select(suspects.c.verdict, sa.func.count().label("number"))
        .where(suspects.c.job_id == job_id)
        .group_by(suspects.c.verdict)
    )
    return {row.verdict: row.number for row in rows}


def get(connection: sa.Connection, job_id: str, sample_id: str) -> Row | None:
    """One ranked sample, or None: unknown, or held out of the ranking."""
    wanted = (suspects.c.job_id == job_id) & (suspects.c.sample_id == sample_id)
    found = connection.execute(suspects.select().where(wanted)).mappings().one_or_none()
    return None if found is None else dict(found)


def count_scoring(
    connection: sa.Connection, job_id: str, columns: RankingColumns, by: str, least: Sequence[float]
) -> list[int]:
    """How many samples, the first by a signal, score at least each of these values.

    A first ranking has its scores in files. All others have them in the table alone: some are looked up, as many at once as there are values.
    """
    order, wanted = columns.order(connection, job_id, by), np.asarray(least, np.float64)
    if by in columns.scores:
        counts: list[int] = np.searchsorted(-columns.scores[by][order], -wanted, side="right").tolist()
        return counts
    low, high = np.array([columns.bounds(by, score) for score in least], np.int64).reshape(-1, 2).T.copy()
    while len(unsure := np.flatnonzero(low < high)):
        middle = (low[unsure] + high[unsure]) // 2
        places = columns.index[order[middle]].tolist()
        reached = np.array(scores_by_index(connection, job_id, places, by)) >= wanted[unsure]
        low[unsure[reached]] = middle[reached] + 1
        high[unsure[~reached]] = middle[~reached]
    found: list[int] = low.tolist()
    return found


def scores_by_index(connection: sa.Connection, job_id: str, index: Sequence[int], by: str) -> list[float]:
    """The scores by a signal of the ranked samples at these places in the upload, in that order."""
    return _chosen(connection, job_id, index, by)


def ids_by_index(connection: sa.Connection, job_id: str, index: Sequence[int]) -> list[str]:
    """The ids of the ranked samples at these places in the upload, in that order."""
    return _chosen(connection, job_id, index, "sample_id")


def ranked_places(connection: sa.Connection, job_id: str, sample_ids: Sequence[str]) -> list[int]:
    """The places in the upload of those of these samples that the job ranked."""
    found: list[int] = []
    for start in range(0, len(sample_ids), _NAMED):
        wanted = (suspects.c.job_id == job_id) & suspects.c.sample_id.in_(sample_ids[start : start + _NAMED])
        found += connection.execute(sa.select(suspects.c.index).where(wanted)).scalars()
    return found


def _chosen(connection: sa.Connection, job_id: str, index: Sequence[int], column: str) -> list[Any]:
    """A column of the ranked samples at these places in the upload, in that order."""
    found: dict[int, Any] = {}
    for start in range(0, len(index), _NAMED):
        wanted = (suspects.c.job_id == job_id) & suspects.c.index.in_(index[start : start + _NAMED])
        # The id is not in the indexes of scores. SQLite would read such an index from end to end, because it has all columns asked for.
        asked = sa.select(suspects.c.index, suspects.c.sample_id, suspects.c[column].label("chosen"))
        rows = connection.execute(asked.where(wanted)).mappings()
        found |= {row["index"]: row["chosen"] for row in rows}
    return [found[place] for place in index]


def planted(connection: sa.Connection, job_id: str) -> dict[int, str]:
    """The kinds of the planted errors, by the samples' places in the upload."""
    wanted = (suspects.c.job_id == job_id) & suspects.c.planted_kind.is_not(None)
    rows = connection.execute(sa.select(suspects.c.index, suspects.c.planted_kind).where(wanted))
    return {int(index): kind for index, kind in rows}


def ranks(
    connection: sa.Connection, job_id: str, columns: RankingColumns, row: Row | Mapping[str, Any], names: Sequence[str]
) -> dict[str, int]:
    """The rank of one sample by each named signal, 1 = most suspicious, ties by index."""
    if columns.has_orders(names):
        place = int(columns.rows_at([row["index"]])[0])
        return {name: columns.rank(name, place, row[name]) for name in names}
    # Of an earlier version: one look at every row of the job takes less than to sort by each signal.
    ahead = [
        sa.func.count().filter(
            (suspects.c[name] > row[name]) | ((suspects.c[name] == row[name]) & (suspects.c.index < row["index"]))
        )
        for name in names
    ]
    counts = connection.execute(sa.select(*ahead).where(suspects.c.job_id == job_id)).one()
    return {name: number + 1 for name, number in zip(names, counts, strict=True)}


def rows_by_index(connection: sa.Connection, job_id: str, index: Sequence[int]) -> list[Row]:
    """The ranked samples with these places in the upload, in that order; all must be ranked."""
    found: dict[int, Row] = {}
    for start in range(0, len(index), _NAMED):
        wanted = (suspects.c.job_id == job_id) & suspects.c.index.in_(index[start : start + _NAMED])
        found |= {row["index"]: row for row in connection.execute(suspects.select().where(wanted)).mappings()}
    return [found[place] for place in index if place in found]


def rows_of_version(
    connection: sa.Connection, job_id: str, columns: RankingColumns, index: Sequence[int]
) -> Sequence[Row]:
    """The samples of `rows_by_index` as this ranking judges them. A first ranking is read from its files: the table has the newest one."""
    rows = rows_by_index(connection, job_id, index)
    if not columns.scores:
        return rows
    others = dict.fromkeys(SIGNALS)
    places = columns.rows_at([row["index"] for row in rows]).tolist()
    return [{**row, **others, **first_rankings.told(columns, place)} for row, place in zip(rows, places, strict=True)]


def rows_at(connection: sa.Connection, job_id: str, columns: RankingColumns, positions: Sequence[int]) -> list[Row]:
    """The ranked samples at these rows of the canonical file, in that order; those that are not ranked are left out."""
    places = columns.rows_at_positions(positions)
    return rows_by_index(connection, job_id, columns.index[places].tolist())


def ranked_ids(connection: sa.Connection, job_id: str, sample_ids: Sequence[str]) -> set[str]:
    """Ids among `sample_ids` that the job has ranked."""
    found: set[str] = set()
    for start in range(0, len(sample_ids), _NAMED):
        wanted = (suspects.c.job_id == job_id) & suspects.c.sample_id.in_(sample_ids[start : start + _NAMED])
        found.update(connection.execute(sa.select(suspects.c.sample_id).where(wanted)).scalars())
    return found


def given_labels(connection: sa.Connection, job_id: str, sample_ids: Sequence[str]) -> dict[str, str]:
    """The labels that the ranked samples among `sample_ids` had when the job ranked them, by id."""
    return {name: row["given_label"] for name, row in labels_by_id(connection, job_id, sample_ids).items()}


def labels_by_id(connection: sa.Connection, job_id: str, sample_ids: Sequence[str]) -> dict[str, Row]:
    """`given_label`, `suggested_label` and `index` of the ranked samples among `sample_ids`, by id."""
    narrow = (suspects.c.sample_id, suspects.c.index, suspects.c.given_label, suspects.c.suggested_label)
    return _named(connection, job_id, sample_ids, narrow)


def rows_by_id(connection: sa.Connection, job_id: str, sample_ids: Sequence[str]) -> dict[str, Row]:
    """The rows of the ranked samples among `sample_ids`, by id."""
    return _named(connection, job_id, sample_ids, suspects.c)


def _named(
    connection: sa.Connection, job_id: str, sample_ids: Sequence[str], columns: Iterable[sa.Column[Any]]
) -> dict[str, Row]:
    wanted = sa.select(*columns).where(suspects.c.job_id == job_id)
    found: dict[str, Row] = {}
    for start in range(0, len(sample_ids), _NAMED):
        some = wanted.where(suspects.c.sample_id.in_(sample_ids[start : start + _NAMED]))
        found |= {row["sample_id"]: row for row in connection.execute(some).mappings()}
    return found
