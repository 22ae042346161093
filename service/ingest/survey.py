"""First pass over an upload: counts over each column of the whole file, in bounded memory."""

import re
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from service.domain.dataset import DatasetSpec, SkippedRow
from service.ingest import values
from service.ingest.column_counts import ColumnCounts
from service.ingest.counters import RowOrder
from service.ingest.limits import Limits
from service.ingest.source import RowSource
from service.ingest.values import MissingWords
from service.store import fingerprints
from service.store.fingerprints import Fingerprints, Hashes

_BY_ID = re.compile(r"(?i)(.*[_\s.-])?(id|ids|uid|uuid|guid|identifier)|(?-i:.*[a-z0-9]I[dD])")
_BY_NAME = re.compile(
    r"(?i)key|name|(image|img|file)?[_ ]?(name|path)|file|image|img|(.*[_\s.-])(no|nr|num|number|code)\.?|"
    r"(order|ticket|invoice|receipt|booking|reference|ref|record|sample|case|serial|barcode|isbn|ssn)"
)
_BY_PLACE = re.compile(
    r"(?i)(unnamed[_: ]*\d.*|__index_level_\d+__|index|idx|rows?|row[_ .]?(id|names?|nos?|nrs?|num|numbers?|index)|#|"
    r"(s|sr|sl|serial)[_ .]*(no|nr|number)\.?|no\.?|nr\.?|number)"
)
_MOST_DISTINCT = 10_000
_MOST_IDS = 16


def is_id_name(name: str) -> bool:
    """Whether a column may name samples, by its own name."""
    return id_doubt(name) is not None


def id_doubt(name: str) -> int | None:
    """How doubtful a column is as the id by its own name: 0 for an id, 2 for the place of a row; None for no id at all."""
    if _BY_PLACE.fullmatch(name):
        return 2
    if _BY_ID.fullmatch(name):
        return 0
    return 1 if _BY_NAME.fullmatch(name) else None


@dataclass(frozen=True)
class Survey:
    """Counts over a whole upload, by column."""

    rows: int
    columns: dict[str, ColumnCounts]
    repeats: dict[str, tuple[int, int] | None]  # of columns that may be ids: positions of a value that occurs twice
    first_skipped: SkippedRow | None
    row_numbers: frozenset[str] = frozenset()  # columns that say where a row stands


def survey_columns(source: RowSource, spec: DatasetSpec, limits: Limits, scratch: Path) -> Survey:
    """Read everything but images once. Raises what the reader raises, and `TooLarge`."""
    with ExitStack() as stack:
        return _surveyed(source, spec, limits, scratch, stack)


def _surveyed(source: RowSource, spec: DatasetSpec, limits: Limits, scratch: Path, stack: ExitStack) -> Survey:
    columns: dict[str, ColumnCounts] = {}
    ids: dict[str, Fingerprints] = {}
    orders: dict[str, RowOrder] = {}
    rows = size = 0
    first_skipped: SkippedRow | None = None
    wanted = {source.id} if source.ids_hold else {spec.id, source.path}
    words = missing_words(source, spec)
    for batch in source.batches(False):
        size += batch.rows.nbytes
        limits.check_size(size)
        first_skipped = first_skipped or next(iter(batch.skipped), None)
        for name, values_ in zip(batch.rows.schema.names, batch.rows.columns, strict=True):
            if name not in columns:
                limits.check_columns(len(columns) + 1)
                columns[name] = ColumnCounts(name, max(_MOST_DISTINCT, limits.max_classes), words)
                orders[name] = RowOrder(name)
                named = name in wanted or (is_id_name(name) and len(ids) < _MOST_IDS)
                if named and _is_scalar(values_.type):
                    ids[name] = stack.enter_context(Fingerprints(scratch / f"ids-{len(ids)}"))
                    ids[name].add(_unlike_any(0, rows))
            columns[name].add(values_)
            orders[name].add(values_)
            if source.numbers is not None and name not in ids and columns[name].needs_no_text:
                source.numbers.add(name)
            if name in ids:
                ids[name].add(_id_fingerprints(values_, rows))
        rows += batch.rows.num_rows
        for name in ids.keys() - set(batch.rows.schema.names):
            ids[name].add(_unlike_any(rows - batch.rows.num_rows, rows))
    if source.numbers is not None:
        source.numbers.clear()
    for column in columns.values():
        column.settle()
        column.missing, column.null = column.missing + rows - column.seen, column.null + rows - column.seen
        column.seen = rows
    repeats = {name: prints.first_repeat() for name, prints in ids.items()}
    counting = frozenset(name for name, order in orders.items() if order.is_row_number(rows))
    return Survey(rows, columns, repeats, first_skipped, counting)


def missing_words(source: RowSource, spec: DatasetSpec) -> MissingWords:
    """Which texts mean a missing value in a source: the client's, and the usual ones where it has no null of its own."""
    return MissingWords(usual=source.null_words and spec.missing != [], own=tuple(spec.missing or ()))


def _is_scalar(kind: Any) -> bool:
    return not (pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _id_fingerprints(column: Any, start: int) -> Hashes:
    texts = values.without(values.as_text(column), ("",))
    hashes = fingerprints.of_texts(texts)
    return np.where(texts.is_null().to_numpy(zero_copy_only=False), _unlike_any(start, start + len(texts)), hashes)


def _unlike_any(start: int, stop: int) -> Hashes:
    """Fingerprints for rows without a value, each its own."""
    return fingerprints.mixed(np.arange(start, stop, dtype=np.uint64))
