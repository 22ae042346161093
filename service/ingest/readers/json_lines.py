"""JSON lines: one object a line; keys may differ from line to line."""

import io
import json
from collections.abc import Iterator
from math import inf, isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from service.ingest.encoding import encoding_of
from service.ingest.faults import malformed
from service.ingest.limits import Limits
from service.ingest.source import BATCH_BYTES, BATCH_ROWS, Batch, RowSource, Upload

_LONGEST_LINE = 64 * 2**20


def open_json_lines(upload: Upload) -> RowSource:
    """Read one JSON object a line. Raises `Malformed` naming the line that is none."""
    encoding = encoding_of(upload.path)
    return RowSource(
        format=f"jsonl, encoding {encoding}",
        batches=lambda _media: _batches(upload.path, encoding, upload.limits),
    )


def _batches(path: Path, encoding: str, limits: Limits) -> Iterator[Batch]:
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    index = size = 0
    for number, length, row in numbered_rows(path, encoding):
        rows.append(row)
        lines.append(number)
        size += length
        if len(rows) == BATCH_ROWS or size > BATCH_BYTES:
            yield _batch(rows, lines, index, limits)
            index, size, rows, lines = index + len(rows), 0, [], []
    if rows:
        yield _batch(rows, lines, index, limits)


def numbered_rows(path: Path, encoding: str) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """The number of each line that is not blank, its length and its object. Raises `Malformed`."""
    with path.open("rb") as raw, io.TextIOWrapper(raw, encoding=encoding) as text:
        number = 0
        while line := text.readline(_LONGEST_LINE):
            number += 1
            if line.strip():
                yield number, len(line), _row(line, number)


def _row(line: str, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        column = f", column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise malformed(
            f"line {number}{column} is not JSON: {reason}; one object a line is expected", f"line {number}"
        ) from error
    if not isinstance(row, dict):
        raise malformed(f"line {number} is not a JSON object but {type(row).__name__}", f"line {number}")
    found: dict[str, Any] = sound(row, line)
    return found


def sound(value: Any, text: str) -> Any:
    """A decoded value with a question mark for each half of a surrogate pair, which JSON can write and no text can hold."""
    return _mended(value) if "\\ud" in text.lower() else value


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_mended(one) for one in value]
    if isinstance(value, dict):
        return {_mended(key): _mended(one) for key, one in value.items()}
    return value


def _batch(rows: list[dict[str, Any]], lines: list[int], index: int, limits: Limits) -> Batch:
    names = list(dict.fromkeys(name for row in rows for name in row))
    limits.check_columns(len(names))
    columns = [as_column([row.get(name) for row in rows]) for name in names]
    return Batch(
        rows=pa.RecordBatch.from_arrays(columns, names=names) if names else _without_columns(len(rows)),
        index=np.arange(index, index + len(rows), dtype=np.int64),
        where=lambda position: f"line {lines[position]}",
    )


def as_column(values: list[Any]) -> Any:
    """Lists of numbers stay lists; everything else becomes text, as it would stand in a CSV."""
    if any(isinstance(value, list) for value in values) and all(_is_vector(value) for value in values):
        return pa.array([_floats(value) for value in values], pa.list_(pa.float64()))
    return pa.array([_text(value) for value in values], pa.string())


def _floats(value: list[float | None] | None) -> list[float | None] | None:
    return None if value is None else [None if number is None else _float(number) for number in value]


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return inf


def _is_vector(value: Any) -> bool:
    return value is None or (
        isinstance(value, list) and all(type(number) in (int, float, type(None)) for number in value)
    )


def _text(value: Any) -> str | None:
    if isinstance(value, float) and not isfinite(value):
        return None  # JSON has no such numbers: what writes them means that there is none
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _without_columns(rows: int) -> Any:
    return pa.RecordBatch.from_arrays([pa.nulls(rows, pa.string())], names=[""])
