"""Parquet and Arrow files with the column of labels changed; schema, metadata and all other columns as they were."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from service.ingest.readers.column_names import distinct_names
from service.ingest.readers.columnar import class_names, open_ipc
from service.ingest.rewritten.edits import Edits, is_blank, no_form, spellings
from service.ingest.source import BATCH_ROWS, RowSource, Upload
from service.ingest.streams import Sink

_IMAGE_ROWS = 256


def rewrite_parquet(upload: Upload, _source: RowSource, label: str, edits: Edits) -> Iterator[bytes]:
    """The file in pieces, each column compressed as it was. Raises Conflict for a class that the column cannot hold."""
    with pq.ParquetFile(upload.path) as file:
        schema, packed = file.schema_arrow, _compression(file)

    def batches() -> Iterator[Any]:
        with pq.ParquetFile(upload.path, pre_buffer=False) as file:
            yield from file.iter_batches(batch_size=_rows(schema), use_threads=False)

    changed = _changed(schema, label, edits, batches)

    def pieces() -> Iterator[bytes]:
        sink = Sink()
        with pq.ParquetWriter(pa.PythonFile(sink, mode="w"), changed.schema, compression=packed) as writer:
            for batch in changed.batches():
                writer.write_batch(batch)
                yield sink.take()
        yield sink.take()

    return pieces()


def rewrite_arrow(upload: Upload, _source: RowSource, label: str, edits: Edits) -> Iterator[bytes]:
    """The file in pieces, in the IPC format that it has, file or stream. Raises Conflict as `rewrite_parquet` does."""
    with pa.memory_map(str(upload.path)) as mapped:
        schema, _, is_file = open_ipc(mapped, upload.path)

    def batches() -> Iterator[Any]:
        with pa.memory_map(str(upload.path)) as mapped:
            yield from open_ipc(mapped, upload.path)[1]

    changed = _changed(schema, label, edits, batches)
    opened = pa.ipc.new_file if is_file else pa.ipc.new_stream

    def pieces() -> Iterator[bytes]:
        sink = Sink()
        with opened(pa.PythonFile(sink, mode="w"), changed.schema) as writer:
            for batch in changed.batches():
                writer.write_batch(batch)
                yield sink.take()
        yield sink.take()

    return pieces()


class _Changed:
    """A table with other labels and fewer rows."""

    def __init__(
        self, schema: Any, edits: Edits, spelt: Mapping[int, Mapping[str, Any]], batches: Callable[[], Iterable[Any]]
    ) -> None:
        """`spelt` has the value of each new class by place of the column that says it."""
        for name in edits.columns:
            schema = schema.append(pa.field(name, pa.string()))
        self.schema, self._edits, self._spelt, self._batches = schema, edits, spelt, batches

    def batches(self) -> Iterator[Any]:
        """The batches that have rows left."""
        start = 0
        for batch in self._batches():
            yield from self._one(batch, start)
            start += batch.num_rows

    def _one(self, batch: Any, start: int) -> Iterator[Any]:
        edits, positions = self._edits, range(start, start + batch.num_rows)
        columns = batch.columns
        for place, spelt in self._spelt.items() if any(index in edits.labels for index in positions) else ():
            new = [
                spelt[edits.labels[index]] if index in edits.labels and not is_blank(value) else value
                for index, value in zip(positions, columns[place].to_pylist(), strict=True)
            ]
            columns[place] = as_type(new, columns[place].type)
        added = [edits.values(index) for index in positions] if edits.columns else []
        columns += [pa.array([row[number] for row in added], pa.string()) for number in range(len(edits.columns))]
        changed = pa.RecordBatch.from_arrays(columns, schema=self.schema)
        if any(index in edits.removed for index in positions):
            changed = changed.filter(pa.array([index not in edits.removed for index in positions]))
        if changed.num_rows:
            yield changed


def as_type(values: list[Any], kind: Any) -> Any:
    """An array of a type, dictionaries included."""
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode().cast(kind)
    return pa.array(values, kind)


def _changed(schema: Any, label: str, edits: Edits, batches: Callable[[], Iterator[Any]]) -> _Changed:
    names = distinct_names(schema.names)[0]
    place = names.index(label)
    numbers = class_names(schema).get(schema.names[place])
    kind = schema.field(place).type
    if numbers is not None and pa.types.is_integer(kind):
        spelt: dict[str, Any] = {name: number for number, name in enumerate(numbers)}
    else:
        spelt = spellings(_labels(batches(), place), edits)
    for name in sorted(set(edits.labels.values()) - set(spelt)):
        try:
            spelt[name] = as_type([name], kind)[0].as_py() if numbers is None else numbers.index(name)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError) as error:
            raise no_form(f"the column {label!r} is {kind} and has no value for the class {name!r}") from error
    copies: dict[int, dict[str, Any]] = {}
    for copy in map(names.index, edits.copies):
        copies[copy] = dict.fromkeys(edits.labels.values()) | spellings(_labels(batches(), copy), edits)
        if None in copies[copy].values() and not schema.field(copy).nullable:
            raise no_form(f"the column {names[copy]!r} says the label too, and may not be empty for a new class")
    return _Changed(schema, edits, {place: spelt, **copies}, batches)


def _labels(batches: Iterable[Any], place: int) -> Iterator[tuple[int, Any]]:
    start = 0
    for batch in batches:
        yield from enumerate(batch.column(place).to_pylist(), start)
        start += batch.num_rows


def _rows(schema: Any) -> int:
    """Few rows of columns that may hold images."""
    wide = any(pa.types.is_struct(one.type) or pa.types.is_binary(one.type) for one in schema)
    return _IMAGE_ROWS if wide else BATCH_ROWS


def _compression(file: Any) -> dict[str, str]:
    if not file.metadata.num_row_groups:
        return {}
    columns = file.metadata.row_group(0)
    each = map(columns.column, range(columns.num_columns))
    return {one.path_in_schema: {"UNCOMPRESSED": "none"}.get(one.compression, one.compression.lower()) for one in each}
