"""Datasets as CSV, JSON lines and Parquet, and lists of images, in pieces."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, time
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from service.domain.spreadsheet import shown
from service.ingest.streams import Sink
from service.ingest.writers.view import View

_WHOLE = 2.0**53
_MANIFEST = ("path", "old_label", "new_label", "decision", "reviewer")


def to_csv(view: View) -> Iterator[bytes]:
    """RFC 4180 with a header; nothing for a missing value, JSON for a vector; images by their paths alone; see `shown` for texts."""
    rows = (table.to_pylist() for table in view.rows())
    return _csv(
        ([[_cell(value) for value in row.values()] for row in chunk] for chunk in rows), _names(view), raw=view.raw
    )


def to_jsonl(view: View) -> Iterator[bytes]:
    """One object a line; images by their paths alone."""
    for table in view.rows():
        lines = (
            json.dumps({name: _plain(value) for name, value in row.items()}, ensure_ascii=False)
            for row in table.to_pylist()
        )
        yield "".join(f"{line}\n" for line in lines).encode(errors="replace")


def to_parquet(view: View) -> Iterator[bytes]:
    """Types as they are in the dataset; an image as a structure of bytes and path, as Hugging Face's datasets has it."""
    sink, writer = Sink(), None
    for table in view.rows(images=True):
        if writer is None:
            writer = pq.ParquetWriter(pa.PythonFile(sink, mode="w"), table.schema, compression="zstd")
        writer.write_table(table)
        yield sink.take()
    if writer is not None:
        writer.close()
    yield sink.take()


def to_manifest(view: View) -> Iterator[bytes]:
    """Path (or id), label in the upload and label now of every sample, then of those that are gone; who decided what."""
    changed = dict(view.amendments or {})

    def chunks() -> Iterator[list[Sequence[Any]]]:
        for rows in view.identities():
            yield [_listed(path, label, changed.pop(index, None)) for index, path, label in rows]
        yield [_listed(one.id, None, one) for one in changed.values()]

    return _csv(chunks(), _MANIFEST, raw=view.raw)


def _listed(path: str, label: str | None, found: Any) -> Sequence[Any]:
    if found is None:
        return (path, label, label, "", "")
    return (path, found.previous_label, label, found.decision, found.reviewed_by)


def _names(view: View) -> list[str]:
    first = next(iter(view.rows()), None)
    return [] if first is None else list(first.schema.names)


def _csv(chunks: Iterable[Iterable[Sequence[Any]]], names: Sequence[str], *, raw: bool) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names if raw else map(shown, names))
    yield text.getvalue().encode(errors="replace")
    for chunk in chunks:
        text.seek(0)
        text.truncate()
        writer.writerows(chunk if raw else (map(shown, row) for row in chunk))
        yield text.getvalue().encode(errors="replace")


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE:
        return int(value)
    return value.isoformat() if isinstance(value, datetime | time) else value


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list) else _plain(value)
