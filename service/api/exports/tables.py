"""Rankings as tables: CSV, JSON lines, Parquet, and the table of cleanlab."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from service.api.exports.export import Chunks, Export, Writer
from service.domain.spreadsheet import shown
from service.ingest.streams import Sink

_OWN: tuple[tuple[str, Any], ...] = (
    ("rank", pa.int64()),
    ("sample_id", pa.string()),
    ("path", pa.string()),
    ("index", pa.int64()),
    ("given_label", pa.string()),
    ("suggested_label", pa.string()),
    ("suggested_confidence", pa.float64()),
    ("score", pa.float64()),
    ("verdict", pa.string()),
    ("decision", pa.string()),
    ("decided_label", pa.string()),
    ("reviewer", pa.string()),
    ("reviewed_at", pa.timestamp("us", tz="UTC")),
    ("planted_kind", pa.string()),
    ("planted_label", pa.string()),
)
_GROUP_ROWS = 5_000
_ISSUE = ("index", "sample_id", "is_label_issue", "label_score", "given_label", "predicted_label")


def columns(signals: Sequence[str]) -> tuple[str, ...]:
    """Names of the columns of a table, in order: of the ranking, then the values of the signals."""
    return (*(name for name, _ in _OWN), *signals)


def to_csv(chunks: Chunks, export: Export) -> Iterator[bytes]:
    """RFC 4180, with a header; numbers in full, nothing for null; see `shown` for texts."""
    return _csv(chunks, export.columns, raw=export.raw)


def _csv(chunks: Chunks, names: Sequence[str], *, raw: bool) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    yield text.getvalue().encode()
    for chunk in chunks:
        text.seek(0)
        text.truncate()
        rows = map(itemgetter(*names), map(_with_text_times, chunk))
        writer.writerows(rows if raw else ([shown(one) if type(one) is str else one for one in row] for row in rows))
        yield text.getvalue().encode()


def to_jsonl(chunks: Chunks, export: Export) -> Iterator[bytes]:
    """One object a line."""
    for chunk in chunks:
        rows = map(_with_text_times, chunk)
        lines = (json.dumps({name: row[name] for name in export.columns}, ensure_ascii=False) for row in rows)
        yield "".join(f"{line}\n" for line in lines).encode()


def to_parquet(chunks: Chunks, export: Export) -> Iterator[bytes]:
    """The first chunk is a row group, so that the file begins at once; each further one has as many rows as all before, from there on 5,000.

    Gives a piece for each chunk, of no bytes where the chunk waits for its group: between two pieces a client that is gone is noticed.
    """
    kinds = dict(_OWN)
    schema = pa.schema([(name, kinds.get(name, pa.float64())) for name in export.columns])
    sink, values_of = Sink(), itemgetter(*export.columns)
    held: list[pa.Table] = []
    written = 0
    with pq.ParquetWriter(pa.PythonFile(sink, mode="w"), schema, compression="zstd") as writer:
        for chunk in chunks:
            columns = zip(*map(values_of, chunk), strict=True)
            arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
            held.append(pa.Table.from_arrays(arrays, schema=schema))
            if (rows := sum(map(len, held))) >= min(written, _GROUP_ROWS):
                writer.write_table(pa.concat_tables(held))
                written += rows
                held = []
            yield sink.take()
        if held:
            writer.write_table(pa.concat_tables(held))
    yield sink.take()


def to_cleanlab(chunks: Chunks, export: Export) -> Iterator[bytes]:
    """The table of cleanlab's `get_issues("label")`, with the sample's id: a `label_score` near 0 is bad."""
    issues = (
        [
            {
                "index": row["index"],
                "sample_id": row["sample_id"],
                "is_label_issue": row["verdict"] == "mislabeled",
                "label_score": 1 - row["mislabeled"],
                "given_label": row["given_label"],
                "predicted_label": row["suggested_label"],
            }
            for row in chunk
        ]
        for chunk in chunks
    )
    return _csv(issues, _ISSUE, raw=export.raw)


def _with_text_times(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row with its time as the API writes it, RFC 3339 in UTC."""
    time = row.get("reviewed_at")
    return row if time is None else {**row, "reviewed_at": time.isoformat().replace("+00:00", "Z")}


TABLES: dict[str, Writer] = {"csv": to_csv, "jsonl": to_jsonl, "parquet": to_parquet, "cleanlab": to_cleanlab}
