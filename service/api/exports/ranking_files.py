"""A whole ranking as CSV, JSON lines or Parquet, row by row: memory does not grow with it.

The forms of labelling tools, which show the samples too, are in `service.platforms.exports`.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from service.platforms.exports import FORMS, ToolForm

Format = Literal["json", "csv", "jsonl", "parquet", "cleanlab", ToolForm]
FORMATS: tuple[Format, ...] = get_args(Format)
MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "cleanlab": "text/csv; charset=utf-8",
    **{name: "application/x-ndjson" if form.lines else "application/json" for name, form in FORMS.items()},
}
# Of file names, where the form's own name is none.
ENDINGS: dict[Format, str] = {
    "cleanlab": "cleanlab.csv",
    **{name: f"{name}.{form.ending}" for name, form in FORMS.items()},
}
DESCRIPTION: dict[str, Any] = {
    "description": "A page as JSON, or the whole ranking in another form.",
    "content": {
        "text/csv": {"schema": {"type": "string"}},
        "application/x-ndjson": {"schema": {"type": "string"}},
        "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
    },
}

Index = Annotated[int, Field(ge=0, lt=2**63)]
Chunks = Iterable[list[dict[str, Any]]]

_OWN: tuple[tuple[str, Any], ...] = (
    ("rank", pa.int64()),
    ("sample_id", pa.string()),
    ("index", pa.int64()),
    ("given_label", pa.string()),
    ("suggested_label", pa.string()),
    ("suggested_confidence", pa.float64()),
    ("score", pa.float64()),
    ("verdict", pa.string()),
    ("planted_kind", pa.string()),
    ("planted_label", pa.string()),
)
_ISSUE = ("index", "sample_id", "is_label_issue", "label_score", "given_label", "predicted_label")


def columns(signals: Sequence[str]) -> list[str]:
    """Names of the exported columns, in order."""
    return [name for name, _ in _OWN] + list(signals)


def ranked(chunks: Iterable[Sequence[Any]], by: str) -> Chunks:
    """Rows of the store with their rank and score."""
    rank = 0
    for chunk in chunks:
        yield [{**row, "rank": place, "score": row[by]} for place, row in enumerate(chunk, rank + 1)]
        rank += len(chunk)


def to_csv(chunks: Chunks, names: Sequence[str]) -> Iterator[bytes]:
    """RFC 4180, with a header; numbers in full, nothing for null."""
    text = io.StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore")
    writer.writeheader()
    yield text.getvalue().encode()
    for chunk in chunks:
        text.seek(0)
        text.truncate()
        writer.writerows(chunk)
        yield text.getvalue().encode()


def to_jsonl(chunks: Chunks, names: Sequence[str]) -> Iterator[bytes]:
    """One object a line."""
    for chunk in chunks:
        lines = (json.dumps({name: row[name] for name in names}, ensure_ascii=False) for row in chunk)
        yield "".join(f"{line}\n" for line in lines).encode()


def to_parquet(chunks: Chunks, names: Sequence[str]) -> Iterator[bytes]:
    """One row group a chunk."""
    kinds = dict(_OWN)
    schema = pa.schema([(name, kinds.get(name, pa.float64())) for name in names])
    sink = _Sink()
    with pq.ParquetWriter(pa.PythonFile(sink, mode="w"), schema, compression="zstd") as writer:
        for chunk in chunks:
            writer.write_table(pa.Table.from_pylist([{name: row[name] for name in names} for row in chunk], schema))
            yield sink.take()
    yield sink.take()


def to_cleanlab(chunks: Chunks, _names: Sequence[str]) -> Iterator[bytes]:
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
    return to_csv(issues, _ISSUE)


class _Sink(io.RawIOBase):
    """Keeps what was written until it is taken."""

    def __init__(self) -> None:
        self._held, self._size = bytearray(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        return self._size

    def take(self) -> bytes:
        taken = bytes(self._held)
        self._held.clear()
        return taken


WRITERS: dict[Format, Callable[[Chunks, Sequence[str]], Iterator[bytes]]] = {
    "csv": to_csv,
    "jsonl": to_jsonl,
    "parquet": to_parquet,
    "cleanlab": to_cleanlab,
}
