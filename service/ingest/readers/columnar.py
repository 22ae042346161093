"""Parquet and Arrow files, Hugging Face datasets among them."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from service.domain.dataset import SkippedRow
from service.ingest import values
from service.ingest.faults import malformed
from service.ingest.images import is_image
from service.ingest.limits import Limits
from service.ingest.readers.arrow_sizes import expanded_bytes
from service.ingest.readers.column_names import distinct_names, repeated_columns
from service.ingest.readers.decoded_size import decoded_bytes, view_bytes
from service.ingest.readers.parquet_sizes import declared_bytes, false_page, longest_value
from service.ingest.source import BATCH_BYTES, Batch, RowSource, Upload, batch_rows

_BUFFER = 1 << 20
_DECODED_AT_ONCE = 256 * 2**20  # bytes of texts, if each were as long as the longest may be
_ARROW, _STREAM_AT = b"ARROW1", 8  # how an IPC file begins, and where its messages do
_INDEX_COLUMN = "__index_level_0__"  # pandas writes its row names under it
_MEDIA_ROWS = 256
_ANY_BYTES = 2  # how doubtful it is that bytes of no said kind are an image
_IMAGE, _TEXT, _OTHER = "image", "text", "other"
_FIRST = 16  # values of bytes that say what a column of them holds
_SPACE = {ord(mark): " " for mark in "\t\r\n"}
_A_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


def open_parquet(upload: Upload) -> RowSource:
    """Read a Parquet file a few rows at a time. Raises `Malformed` when damaged, `TooLarge`."""
    with pq.ParquetFile(upload.path) as file:
        schema = file.schema_arrow
        upload.limits.check_columns(len(schema))
        size = upload.path.stat().st_size
        upload.limits.check_decoded(size, declared_bytes(file.metadata))
        if column := false_page(upload.path, file.metadata):
            raise malformed(
                f"a page of the column {column!r} claims more bytes than the column has", f"column {column}"
            )
        most = max(1, _DECODED_AT_ONCE // max(1, longest_value(upload.path, file.metadata)))

    def batches(columns: list[int], rows: int, path_of: int | None) -> Iterator[Any]:
        for batch in _joined(stored(columns, min(rows, most), path_of), rows):
            batch.validate(full=True)  # a damaged file's offsets would lead out of its memory
            yield batch

    def stored(columns: list[int], rows: int, path_of: int | None) -> Iterator[Any]:
        stored_names = schema.names  # a new list each time
        names = [f"{stored_names[place]}.path" if place == path_of else stored_names[place] for place in columns]
        with pq.ParquetFile(upload.path, buffer_size=_BUFFER, pre_buffer=False) as file:
            if len(set(schema.names)) == len(schema.names):
                yield from file.iter_batches(batch_size=rows, columns=names, use_threads=False)
            else:  # by name all columns of it would come
                yield from (one.select(columns) for one in file.iter_batches(batch_size=rows, use_threads=False))

    return _source("parquet", schema, batches, upload, size)


def open_arrow(upload: Upload) -> RowSource:
    """Read an Arrow IPC file or stream (Feather version 2)."""
    with pa.memory_map(str(upload.path)) as file:
        schema = open_ipc(file, upload.path)[0]
        upload.limits.check_columns(len(schema))
        size = upload.path.stat().st_size
        _check_messages(file, upload.limits, size)

    def batches(columns: list[int], rows: int, _path_of: int | None) -> Iterator[Any]:
        with pa.memory_map(str(upload.path)) as file:
            for batch in open_ipc(file, upload.path)[1]:
                upload.limits.check_decoded(size, view_bytes(batch))  # each is validated as a text of its own
                batch.validate(full=True)
                upload.limits.check_decoded(size, decoded_bytes(batch))
                for start in range(0, batch.num_rows, rows):
                    yield batch.slice(start, rows).select(columns)

    return _source("arrow", schema, batches, upload, size)


def _check_messages(file: Any, limits: Limits, size: int) -> None:
    """Raise `TooLarge` for messages that are much larger once they are expanded. What they say wrongly is noticed later."""
    file.seek(_STREAM_AT if file.read(len(_ARROW)) == _ARROW else 0)
    messages, expanded = pa.ipc.MessageReader.open_stream(file), 0
    with suppress(StopIteration, EOFError, ValueError, OSError):  # what is damaged is told by who reads the rows
        while True:
            expanded += expanded_bytes(messages.read_next_message())
            limits.check_decoded(size, expanded)


def open_ipc(file: Any, path: Path) -> tuple[Any, Iterator[Any], bool]:
    """Schema and batches of an Arrow file that is mapped, and whether it is a file rather than a stream."""
    with path.open("rb") as raw:
        is_file = raw.read(len(_ARROW)) == _ARROW
    if is_file:
        reader = pa.ipc.open_file(file)
        return reader.schema, (reader.get_batch(number) for number in range(reader.num_record_batches)), True
    stream = pa.ipc.open_stream(file)
    return stream.schema, iter(stream), False


def _source(kind: str, schema: Any, batches: Any, upload: Upload, size: int) -> RowSource:
    names, renamed = distinct_names(schema.names)
    schema = pa.schema([one.with_name(name) for one, name in zip(schema, names, strict=True)], schema.metadata)
    said = _huggingface(schema)
    classes, fields = class_names(schema), zip(names, schema, strict=True)
    encoded = {
        name: _doubt(field, said.get(name, {})) for name, field in fields if _is_image(field, said.get(name, {}))
    }
    places = {name: place for place, name in enumerate(names) if encoded.get(name) == _ANY_BYTES}
    kinds = {} if upload.spec.modality == "image" else _kinds_of_bytes(places, batches)
    images = [name for name in encoded if kinds.get(name, _IMAGE) == _IMAGE]
    texts = frozenset(name for name, one in kinds.items() if one == _TEXT)
    image = min(images, key=lambda name: encoded[name], default=None)
    paths = f"{image}.path" if image is not None and pa.types.is_struct(schema.field(image).type) else None
    if paths in names or renamed:
        paths = None

    def read(media: bool) -> Iterator[Batch]:
        index = decoded = 0
        # Of an image's structure the path is read alone where the bytes are not asked for.
        part_of = names.index(image) if image is not None and paths is not None and not media else None
        wanted = [place for place, name in enumerate(names) if media or name != image or place == part_of]
        rows = _MEDIA_ROWS if media and image is not None else batch_rows(_cells(schema))
        for part in batches(wanted, rows, part_of):
            decoded += decoded_bytes(part)
            upload.limits.check_decoded(size, decoded)
            named = part.rename_columns([names[place] for place in wanted])
            opened = named if image is None else _opened(named, image, paths, media=media)
            for piece in _bounded(opened):
                yield _batch(piece, texts, index, classes)
                index += piece.num_rows

    return RowSource(
        format=kind + (", Hugging Face" if said else ""),
        batches=read,
        columns=tuple(names),
        label=next(iter(classes)) if len(classes) == 1 else None,
        id=_INDEX_COLUMN if _INDEX_COLUMN in names else None,
        image=image,
        path=paths,
        warnings=repeated_columns(renamed),
    )


def _kinds_of_bytes(places: dict[str, int], batches: Any) -> dict[str, str]:
    """Whether the columns at these places hold images, texts in UTF-8 or other bytes, by the first values that they have."""
    held: dict[str, list[bytes]] = {name: [] for name in places}
    for part in batches([*places.values()], _MEDIA_ROWS, None) if places else ():
        for values_of, column in zip(held.values(), part.columns, strict=True):
            missing = _FIRST - len(values_of)
            if missing:
                values_of += [one for one in column.drop_null().slice(0, missing).to_pylist() if one]
        if all(len(values_of) >= _FIRST for values_of in held.values()):
            break
    return {
        name: _IMAGE if any(map(is_image, found)) else _TEXT if all(map(_is_text, found)) else _OTHER
        for name, found in held.items()
    }


def _is_text(value: bytes) -> bool:
    try:
        return value.decode().translate(_SPACE).isprintable()
    except UnicodeDecodeError:
        return False


def _plain(rows: Any, texts: frozenset[str]) -> Any:
    """Columns of types that say how others are stored or counted, as these: durations become seconds, `texts` in bytes texts."""
    columns = [
        values.as_whole_text(column) if name in texts else _plain_column(column)
        for name, column in zip(rows.schema.names, rows.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=rows.schema.names)


def _plain_column(column: Any) -> Any:
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_run_end_encoded(column.type):
        column = pc.run_end_decode(column)
    if pa.types.is_duration(column.type):
        return pc.divide(pc.cast(pc.cast(column, pa.int64()), pa.float64(), safe=False), _A_SECOND[column.type.unit])
    return column


def class_names(schema: Any) -> dict[str, list[str]]:
    """The class names of each column of numbers of classes, as Hugging Face's `datasets` writes them."""
    said = _huggingface(schema)
    return {name: feature["names"] for name, feature in said.items() if feature.get("_type") == "ClassLabel"}


def _huggingface(schema: Any) -> Mapping[str, dict[str, Any]]:
    """The features that Hugging Face's `datasets` writes into a file's metadata; empty for other files."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _is_image(field: Any, feature: dict[str, Any]) -> bool:
    if feature.get("_type") == "Image":
        return True
    if pa.types.is_struct(field.type):
        return {child.name for child in field.type} == {"bytes", "path"}
    return bool(pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type))


def _doubt(field: Any, feature: dict[str, Any]) -> int:
    """0 for what is said to be an image, 1 for a structure that is one, 2 for bytes of whatever kind."""
    return 0 if feature.get("_type") == "Image" else 1 if pa.types.is_struct(field.type) else _ANY_BYTES


def _cells(schema: Any) -> int:
    """Columns, each list counted with its length where the type tells it."""
    sizes = (field.type.list_size if pa.types.is_fixed_size_list(field.type) else 1 for field in schema)
    return sum(sizes)


def _joined(batches: Iterator[Any], rows: int) -> Iterator[Any]:
    """Join small batches to ones of up to so many rows and about 8 MiB. Those with dictionaries, which may differ, stay as they are."""
    held: list[Any] = []
    for batch in batches:
        if any(pa.types.is_dictionary(one.type) for one in batch.schema):
            yield batch
            continue
        held.append(batch)
        if sum(one.num_rows for one in held) >= rows or sum(one.nbytes for one in held) > BATCH_BYTES:
            yield pa.concat_batches(held)
            held = []
    if held:
        yield pa.concat_batches(held)


def _bounded(batch: Any) -> Iterator[Any]:
    """Halve a batch until each piece is small."""
    if batch.num_rows > 1 and decoded_bytes(batch) > 2 * BATCH_BYTES:
        half = batch.num_rows // 2
        yield from _bounded(batch.slice(0, half))
        yield from _bounded(batch.slice(half))
    else:
        yield batch


def _opened(rows: Any, image: str, paths: str | None, *, media: bool) -> Any:
    """Rows with the bytes of a structure in its place, and its paths in a column of their own; without `media` these alone."""
    if image not in rows.schema.names or not pa.types.is_struct(rows.column(image).type):
        return rows
    place, struct = rows.schema.get_field_index(image), rows.column(image)
    rows = rows.set_column(place, image, pc.struct_field(struct, "bytes")) if media else rows.drop_columns([image])
    return rows if paths is None else rows.append_column(paths, pc.struct_field(struct, "path"))


def _batch(rows: Any, texts: frozenset[str], index: int, classes: Mapping[str, list[str]]) -> Batch:
    faults = _no_texts(rows, texts)
    kept = [position for position in range(rows.num_rows) if position not in faults]
    places = np.arange(index, index + rows.num_rows, dtype=np.int64)[kept]
    rows = _plain(rows.take(pa.array(kept, pa.int64())) if faults else rows, texts)
    for name, in_order in classes.items():
        if name in rows.schema.names and pa.types.is_integer(rows.column(name).type):
            rows = rows.set_column(rows.schema.get_field_index(name), name, _named(rows.column(name), in_order))
    return Batch(
        rows=rows,
        index=places,
        where=lambda position: f"row {places[position]}",
        skipped=tuple(
            SkippedRow(index=index + position, where=f"row {index + position}", reason=reason)
            for position, reason in faults.items()
        ),
    )


def _no_texts(rows: Any, texts: frozenset[str]) -> dict[int, str]:
    """The rows with bytes that are no UTF-8 in columns of texts, and what is wrong with each."""
    faults: dict[int, str] = {}
    for name in texts:
        try:
            pc.cast(rows.column(name), pa.string())
        except pa.ArrowInvalid:
            for position, value in enumerate(rows.column(name).to_pylist()):
                try:
                    (value or b"").decode()
                except UnicodeDecodeError as error:
                    faults[position] = f"{name} holds the byte 0x{value[error.start]:02X}, which is no UTF-8"
    return dict(sorted(faults.items()))


def _named(codes: Any, names: list[str]) -> Any:
    """Class numbers to their names; -1, which means no label, and numbers out of range to null."""
    known = pc.and_(pc.greater_equal(codes, 0), pc.less(codes, len(names)))
    return pc.take(pa.array(names, pa.string()), pc.if_else(known, codes, None))
