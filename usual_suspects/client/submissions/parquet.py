"""Rows of any library in Parquet, some at a time."""

import base64
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from usual_suspects.client.submissions.prepared import MARK

ROWS = 65_536


def write_batches(path: Path, schema: Any, batches: Iterable[Any], **mark: Any) -> None:
    """Write record batches; `mark` says where they came from. Types that Parquet does not keep are written down beside it."""
    kept = base64.b64encode(schema.remove_metadata().serialize()).decode()
    marked = schema.with_metadata({**(schema.metadata or {}), MARK: json.dumps({**mark, "schema": kept}).encode()})
    with pq.ParquetWriter(path, marked, compression="zstd") as writer:
        for batch in batches:
            for part in _parts(batch):
                writer.write_batch(part.replace_schema_metadata(marked.metadata).cast(marked))


def mark_of(schema: Any) -> dict[str, Any]:
    """The mark of a file that the client wrote; empty for another file."""
    found: dict[str, Any] = json.loads((schema.metadata or {}).get(MARK, b"{}"))
    return found


def read_table(path: Path) -> tuple[Any, dict[str, Any]]:
    """All rows, without the mark, and the mark."""
    with path.open("rb") as file:
        table = pq.read_table(file)
    mark = mark_of(table.schema)
    metadata = {name: value for name, value in (table.schema.metadata or {}).items() if name != MARK}
    if "schema" in mark:
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(mark["schema"])))
        if table.schema.names == schema.names:
            columns = [_as_type(column, one.type) for column, one in zip(table.columns, schema, strict=True)]
            table = pa.Table.from_arrays(columns, schema=schema)
    return table.replace_schema_metadata(metadata or None), mark


def _as_type(column: Any, kind: Any) -> Any:
    if pa.types.is_dictionary(kind) and not pa.types.is_dictionary(column.type):
        column = column.cast(kind.value_type).dictionary_encode()
    return column.cast(kind)


def _parts(batch: Any) -> Iterator[Any]:
    for start in range(0, batch.num_rows, ROWS):
        yield batch.slice(start, ROWS)


def batches_of(data: Any) -> tuple[Any, Iterable[Any]]:
    """Schema and record batches of an Arrow table, batch, reader or dataset, or of what exports an Arrow stream."""
    if isinstance(data, pa.RecordBatch):
        return data.schema, [data]
    if isinstance(data, pa.Table):
        return data.schema, data.to_batches(max_chunksize=ROWS)
    if hasattr(data, "to_batches"):  # a pyarrow.dataset.Dataset
        return data.schema, data.to_batches()
    reader = pa.RecordBatchReader.from_stream(data)
    return reader.schema, reader
