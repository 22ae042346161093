"""Rankings: written at once by a worker, read page by page. Ties are broken by index, so that pages never overlap."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.csv
import sqlalchemy as sa

from service.store.tables import signal_summaries, suspects

Row = sa.RowMapping
_CHUNK = 5_000
_NAMED = 1_000  # ids in one statement
_MANY = 10_000  # rows; a wrong plan over fewer costs less than the statistics


@dataclass(frozen=True)
class Query:
    """Filter and order of a ranking: `by` is the signal; the labels are class names; `min_score` is a value of the signal."""

    by: str = "mislabeled"
    label: str | None = None
    suggested: str | None = None
    verdict: str | None = None
    min_score: float | None = None


@dataclass(frozen=True)
class PageStart:
    """The last sample of a page, after which the next page begins."""

    score: float
    index: int


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
    for batch in table.to_batches(_CHUNK):
        connection.execute(suspects.insert(), batch.to_pylist())


def _copy(connection: sa.Connection, table: pa.Table) -> None:
    # COPY loads a million rows in seconds where INSERT takes minutes; Arrow writes the CSV without a Python loop.
    columns = ", ".join(f'"{name}"' for name in table.column_names)
    options = pa.csv.WriteOptions(include_header=False, quoting_style="needed")
    cursor = connection.connection.cursor()
    with cursor.copy(f"COPY suspects ({columns}) FROM STDIN (FORMAT csv)") as copy:
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


def summaries(connection: sa.Connection, job_id: str) -> dict[str, dict[str, Any]]:
    """The summaries of a job, by signal."""
    rows = connection.execute(signal_summaries.select().where(signal_summaries.c.job_id == job_id))
    return {row.name: row.summary for row in rows}


def page(
    connection: sa.Connection, job_id: str, query: Query, after: PageStart | None = None, limit: int = 50
) -> Sequence[Row]:
    """The next `limit` samples, most suspicious first. Each row has the columns of `suspects`."""
    score, index = suspects.c[query.by], suspects.c.index
    wanted = _matching(job_id, query)
    if after is not None:
        wanted &= (score < after.score) | ((score == after.score) & (index > after.index))
    rows = connection.execute(suspects.select().where(wanted).order_by(score.desc(), index).limit(limit))
    return rows.mappings().all()


def stream(connection: sa.Connection, job_id: str, query: Query) -> Iterator[Sequence[Row]]:
    """The whole ranking in order, in chunks, so that memory does not grow with it."""
    ordered = suspects.select().where(_matching(job_id, query)).order_by(suspects.c[query.by].desc(), suspects.c.index)
    # One cursor in the database: a signal without an index is sorted once, not once a chunk.
    rows = connection.execute(ordered, execution_options={"yield_per": _CHUNK})
    yield from rows.mappings().partitions()


def count(connection: sa.Connection, job_id: str, query: Query) -> int:
    """How many samples the query matches."""
    return connection.execute(
        sa.select(sa.func.count()).select_from(suspects).where(_matching(job_id, query))
    ).scalar_one()


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
    return connection.execute(suspects.select().where(wanted)).mappings().one_or_none()


def score_of(connection: sa.Connection, job_id: str, index: int, by: str) -> float:
    """The score by a signal of the ranked sample at this place in the upload."""
    wanted = (suspects.c.job_id == job_id) & (suspects.c.index == index)
    score: float = connection.execute(sa.select(suspects.c[by]).where(wanted)).scalar_one()
    return score


def scores_by_index(connection: sa.Connection, job_id: str, index: Sequence[int], by: str) -> list[float]:
    """The scores by a signal of the ranked samples at these places in the upload, in that order."""
    return [found[by] for found in _chosen(connection, job_id, index, by)]


def ids_by_index(connection: sa.Connection, job_id: str, index: Sequence[int]) -> list[str]:
    """The ids of the ranked samples at these places in the upload, in that order."""
    return [found["sample_id"] for found in _chosen(connection, job_id, index, "sample_id")]


def _chosen(connection: sa.Connection, job_id: str, index: Sequence[int], column: str) -> list[Row]:
    found: dict[int, Row] = {}
    for start in range(0, len(index), _NAMED):
        wanted = (suspects.c.job_id == job_id) & suspects.c.index.in_(index[start : start + _NAMED])
        rows = connection.execute(sa.select(suspects.c.index, suspects.c[column]).where(wanted)).mappings()
        found |= {row["index"]: row for row in rows}
    return [found[place] for place in index]


def planted(connection: sa.Connection, job_id: str) -> dict[int, str]:
    """The kinds of the planted errors, by the samples' places in the upload."""
    wanted = (suspects.c.job_id == job_id) & suspects.c.planted_kind.is_not(None)
    rows = connection.execute(sa.select(suspects.c.index, suspects.c.planted_kind).where(wanted))
    return {int(index): kind for index, kind in rows}


def ranks(connection: sa.Connection, job_id: str, row: Row, names: Sequence[str]) -> dict[str, int]:
    """The rank of one sample by each named signal, 1 = most suspicious, ties by index."""
    ahead = [
        sa.func.count().filter(
            (suspects.c[name] > row[name]) | ((suspects.c[name] == row[name]) & (suspects.c.index < row["index"]))
        )
        for name in names
    ]
    if not ahead:
        return {}
    counts = connection.execute(sa.select(*ahead).where(suspects.c.job_id == job_id)).one()
    return {name: number + 1 for name, number in zip(names, counts, strict=True)}


def rows_by_index(connection: sa.Connection, job_id: str, index: Sequence[int]) -> list[Row]:
    """The ranked samples with these places in the upload, in that order; all must be ranked."""
    found: dict[int, Row] = {}
    for start in range(0, len(index), _NAMED):
        wanted = (suspects.c.job_id == job_id) & suspects.c.index.in_(index[start : start + _NAMED])
        found |= {row["index"]: row for row in connection.execute(suspects.select().where(wanted)).mappings()}
    return [found[place] for place in index if place in found]


def rows_at(connection: sa.Connection, job_id: str, positions: Sequence[int]) -> list[Row]:
    """The ranked samples at these rows of the canonical file, in that order; those that are not ranked are left out."""
    wanted = (suspects.c.job_id == job_id) & suspects.c.position.in_(positions)
    found = {row["position"]: row for row in connection.execute(suspects.select().where(wanted)).mappings()}
    return [found[position] for position in positions if position in found]


def ranked_ids(connection: sa.Connection, job_id: str, sample_ids: Sequence[str]) -> set[str]:
    """Ids among `sample_ids` that the job has ranked."""
    found: set[str] = set()
    for start in range(0, len(sample_ids), _NAMED):
        wanted = (suspects.c.job_id == job_id) & suspects.c.sample_id.in_(sample_ids[start : start + _NAMED])
        found.update(connection.execute(sa.select(suspects.c.sample_id).where(wanted)).scalars())
    return found


def given_labels(connection: sa.Connection, job_id: str, sample_ids: Sequence[str]) -> dict[str, str]:
    """The labels that the ranked samples among `sample_ids` had when the job ranked them, by id."""
    found: dict[str, str] = {}
    for start in range(0, len(sample_ids), _NAMED):
        wanted = (suspects.c.job_id == job_id) & suspects.c.sample_id.in_(sample_ids[start : start + _NAMED])
        for row in connection.execute(sa.select(suspects.c.sample_id, suspects.c.given_label).where(wanted)):
            found[row.sample_id] = row.given_label
    return found


def rows_by_id(connection: sa.Connection, job_id: str, sample_ids: Sequence[str]) -> dict[str, Row]:
    """The rows of the ranked samples among `sample_ids`, by id."""
    found: dict[str, Row] = {}
    for start in range(0, len(sample_ids), _NAMED):
        wanted = (suspects.c.job_id == job_id) & suspects.c.sample_id.in_(sample_ids[start : start + _NAMED])
        found |= {row["sample_id"]: row for row in connection.execute(suspects.select().where(wanted)).mappings()}
    return found


def top_ranks(connection: sa.Connection, job_id: str, by: str, count: int) -> dict[str, int]:
    """The ranks of the `count` most suspicious samples, by id."""
    wanted = sa.select(suspects.c.sample_id).where(_matching(job_id, Query(by)))
    ids = connection.execute(wanted.order_by(suspects.c[by].desc(), suspects.c.index).limit(count)).scalars()
    return {sample_id: rank for rank, sample_id in enumerate(ids, 1)}


def _matching(job_id: str, query: Query) -> sa.ColumnElement[bool]:
    score = suspects.c[query.by]
    wanted = (suspects.c.job_id == job_id) & score.is_not(None)
    for column, value in (
        ("given_label", query.label),
        ("suggested_label", query.suggested),
        ("verdict", query.verdict),
    ):
        if value is not None:
            wanted &= suspects.c[column] == value
    if query.min_score is not None:
        wanted &= score >= query.min_score
    return wanted
