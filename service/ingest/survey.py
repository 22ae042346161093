"""First pass over an upload: counts over each column of the whole file, in bounded memory."""

import re
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from service.domain.dataset import DatasetSpec, SkippedRow
from service.ingest import fingerprints, values
from service.ingest.column_counts import ColumnCounts
from service.ingest.fingerprints import Fingerprints, Hashes
from service.ingest.limits import Limits
from service.ingest.source import RowSource
from service.ingest.values import MissingWords

_ID_NAME = re.compile(
    r"(?i)(unnamed[_: ]*\d+|__index_level_0__|(.*[_\s.-])?(id|ids|uid|uuid|guid)|key|index|idx|name|row|rowid|"
    r"file_?name|path)"
)
_CAMEL_ID = re.compile(r".*[a-z0-9]I[dD]")
_MOST_DISTINCT = 10_000
_MOST_IDS = 16


def is_id_name(name: str) -> bool:
    """Whether a column may name samples, by its own name."""
    return bool(_ID_NAME.fullmatch(name) or _CAMEL_ID.fullmatch(name))


@dataclass(frozen=True)
class Survey:
    """Counts over a whole upload, by column."""

    rows: int
    columns: dict[str, ColumnCounts]
    repeats: dict[str, tuple[int, int] | None]  # of columns that may be ids: positions of a value that occurs twice
    first_skipped: SkippedRow | None


def survey_columns(source: RowSource, spec: DatasetSpec, limits: Limits, scratch: Path) -> Survey:
    """Read everything but images once. Raises what the reader raises, and `TooLarge`."""
    with ExitStack() as stack:
        return _surveyed(source, spec, limits, scratch, stack)


def _surveyed(source: RowSource, spec: DatasetSpec, limits: Limits, scratch: Path, stack: ExitStack) -> Survey:
    columns: dict[str, ColumnCounts] = {}
    ids: dict[str, Fingerprints] = {}
    rows = size = 0
    first_skipped: SkippedRow | None = None
    id_column = source.id if source.ids_hold else spec.id
    words = missing_words(source, spec)
    for batch in source.batches(False):
        size += batch.rows.nbytes
        limits.check_size(size)
        first_skipped = first_skipped or next(iter(batch.skipped), None)
        for name, values_ in zip(batch.rows.schema.names, batch.rows.columns, strict=True):
            if name not in columns:
                limits.check_columns(len(columns) + 1)
                columns[name] = ColumnCounts(name, max(_MOST_DISTINCT, limits.max_classes), words)
                named = name == id_column or (is_id_name(name) and len(ids) < _MOST_IDS)
                if named and _is_scalar(values_.type):
                    ids[name] = stack.enter_context(Fingerprints(scratch / f"ids-{len(ids)}"))
                    ids[name].add(_unlike_any(0, rows))
            columns[name].add(values_)
            if name in ids:
                ids[name].add(_id_fingerprints(values_, rows))
        rows += batch.rows.num_rows
        for name in ids.keys() - set(batch.rows.schema.names):
            ids[name].add(_unlike_any(rows - batch.rows.num_rows, rows))
    for column in columns.values():
        column.settle()
        column.missing, column.null = column.missing + rows - column.seen, column.null + rows - column.seen
        column.seen = rows
    repeats = {name: prints.first_repeat() for name, prints in ids.items()}
    return Survey(rows, columns, repeats, first_skipped)


def missing_words(source: RowSource, spec: DatasetSpec) -> MissingWords:
    """Which texts mean a missing value in a source: the client's, and the usual ones where it has no null of its own."""
    return MissingWords(usual=source.null_words and spec.missing != [], own=tuple(spec.missing or ()))


def _is_scalar(kind: Any) -> bool:
    return not (pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _id_fingerprints(column: Any, start: int) -> Hashes:
    texts = values.without(values.as_text(column), ("",))
    hashes = fingerprints.of_objects(texts.to_pylist())
    return np.where(texts.is_null().to_numpy(zero_copy_only=False), _unlike_any(start, start + len(texts)), hashes)


def _unlike_any(start: int, stop: int) -> Hashes:
    """Fingerprints for rows without a value, each its own."""
    return fingerprints.mixed(np.arange(start, stop, dtype=np.uint64))
