"""SVMlight and LIBSVM text: a label, then `index:value` for what is not zero; `qid:` groups rows of one query.

scikit-learn reads it, too, but all at once, and it is not a package of the service.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from operator import lt
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from service.domain.dataset import SkippedRow
from service.domain.errors import TooLarge
from service.ingest.encoding import sample_text
from service.ingest.faults import invalid
from service.ingest.limits import Limits
from service.ingest.source import BATCH_BYTES, Batch, RowSource, Upload, batch_rows

_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:nan|inf)"
_LINE = re.compile(rf"[^\s:#,]+(?:,[^\s:#,]+)*(?:\s+qid:\d+)?(?:\s+\d+:(?:{_NUMBER}))*\s*(?:#.*)?", re.IGNORECASE)
_PAIR = re.compile(rf"\s\d+:(?:{_NUMBER})", re.IGNORECASE)
_SAMPLE_LINES = 50
_EMBEDDING_FROM = 128  # as of NPZ
_LONGEST_LINE = 16 * 2**20
_LARGEST = 2**63 - 1
_GROUP = "qid"


@dataclass(frozen=True)
class SparseRow:
    """A row of the file: its line, its label and query, and its places and values; or why it is none."""

    line: int
    label: str = ""
    query: str | None = None
    places: Sequence[int] = ()
    values: Sequence[float] = ()
    fault: str = ""


def looks_like_svmlight(head: bytes) -> bool:
    """Whether the first lines are labels with pairs of an index and a value."""
    lines = (sample_text(head) or "").splitlines()
    rows = [line.strip() for line in lines[:_SAMPLE_LINES] if line.strip() and not line.lstrip().startswith("#")]
    rows = rows[:-1] if len(lines) <= _SAMPLE_LINES and len(rows) > 2 else rows
    return len(rows) > 1 and all(map(_LINE.fullmatch, rows)) and 2 * sum(map(bool, map(_PAIR.search, rows))) > len(rows)


def open_svmlight(upload: Upload) -> RowSource:
    """Read sparse rows as dense columns, or as a vector where there are many. Raises `TooLarge` for too many, `Invalid` for none.

    Columns are called by their index, x1, x2 …; with an index 0 they begin with x0.
    """
    low, high, queries = _extent(upload.path, upload.limits)
    width = high - low + 1
    names = [f"x{place}" for place in range(low, high + 1)] if width < _EMBEDDING_FROM else ["x"]
    columns = ["label", *([_GROUP] if queries else []), *names]
    return RowSource(
        format=f"svmlight, indices {low} to {high}",
        batches=lambda _media: _batches(upload.path, names, low, width, queries=queries),
        columns=tuple(columns),
        label="label",
    )


def _extent(path: Path, limits: Limits) -> tuple[int, int, bool]:
    """The first index, which is 0 or 1, the last, and whether there are queries."""
    low, high, queries, fault = 1, 0, False, ""
    for row in _rows(path):
        fault = fault or (row.fault and f"line {row.line}: {row.fault}")
        queries = queries or row.query is not None
        if len(row.places):
            low, high = min(low, row.places[0]), max(high, row.places[-1])
            if high >= limits.max_columns:
                raise TooLarge(
                    f"line {row.line} has the index {high:,}; rows are held dense, up to {limits.max_columns:,} columns: number the "
                    "features without gaps, leave out rare ones, or project them to fewer"
                )
    if high < low:
        raise invalid(
            f"no row can be used; the first, {fault}"
            if fault
            else "no row has an index with a value, so there is nothing to learn from"
        )
    return low, high, queries


def _rows(path: Path) -> Iterator[SparseRow]:
    with path.open(encoding="utf-8-sig", errors="replace") as text:
        for number, line in enumerate(iter(lambda: text.readline(_LONGEST_LINE), ""), start=1):
            said = line.partition("#")[0].split()
            if said:
                yield _row(number, said)


def _row(number: int, said: list[str]) -> SparseRow:
    label, *pairs = said
    query = None
    if pairs and pairs[0].lower().startswith("qid:"):
        query = pairs.pop(0).partition(":")[2]
    if "," in label:
        return SparseRow(number, fault=f"it has several labels, {label[:40]!r}; one class a row is expected")
    # Lists: most rows have few pairs, and to make an array takes longer than to read ten of them.
    split = [pair.partition(":") for pair in pairs]
    try:
        places, values = [int(place) for place, _, _ in split], [float(value) for _, _, value in split]
    except ValueError:
        odd = next((pair for pair in pairs if not _PAIR.fullmatch(f" {pair}")), max(pairs, key=len))
        return SparseRow(number, fault=f"{odd[:40]!r} is no index with a value, as 7:0.5")
    if places and max(places) > _LARGEST:
        return SparseRow(number, fault=f"{max(pairs, key=len)[:40]!r} is no index with a value, as 7:0.5")
    if places and (places[0] < 0 or not all(map(lt, places, places[1:]))):
        return SparseRow(number, fault="the indices do not grow from left to right")
    return SparseRow(number, label.removeprefix("+"), query, places, values)


def _batches(path: Path, names: list[str], low: int, width: int, *, queries: bool) -> Iterator[Batch]:
    rows, index = _rows(path), 0
    step = max(16, min(batch_rows(width), BATCH_BYTES // (8 * width)))
    while some := list(islice(rows, step)):
        good = [(place, row) for place, row in enumerate(some, start=index) if not row.fault]
        counts = [len(row.places) for _, row in good]
        places = np.fromiter(chain.from_iterable(row.places for _, row in good), np.int64, sum(counts))
        dense = np.zeros((len(good), width))
        dense[np.repeat(np.arange(len(good)), counts), places - low] = np.fromiter(
            chain.from_iterable(row.values for _, row in good), np.float64, sum(counts)
        )
        skipped = [
            SkippedRow(index=place, where=f"line {row.line}", reason=row.fault)
            for place, row in enumerate(some, start=index)
            if row.fault
        ]
        yield _batch(good, dense, names, skipped, queries=queries)
        index += len(some)


def _batch(
    good: list[tuple[int, SparseRow]],
    dense: npt.NDArray[np.float64],
    names: list[str],
    skipped: list[SkippedRow],
    *,
    queries: bool,
) -> Batch:
    columns = [pa.array([row.label for _, row in good], pa.string())]
    if queries:
        columns.append(pa.array([row.query for _, row in good], pa.string()))
    if len(names) == dense.shape[1]:
        columns += [pa.array(np.ascontiguousarray(column)) for column in dense.T]
    else:
        flat = pa.array(dense.reshape(-1).astype(np.float32))
        columns.append(pa.FixedSizeListArray.from_arrays(flat, dense.shape[1]))
    return Batch(
        rows=pa.RecordBatch.from_arrays(columns, names=["label", *([_GROUP] if queries else []), *names]),
        index=np.array([place for place, _ in good], np.int64),
        where=lambda position: f"line {good[position][1].line}",
        skipped=tuple(skipped),
    )
