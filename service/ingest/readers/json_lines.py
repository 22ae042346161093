"""JSON lines: one object a line; keys may differ from line to line, and members of an object in it are columns.

Objects of other JSON become rows here too.
"""

import io
import json
from collections.abc import Iterable, Iterator
from itertools import chain, count
from math import inf, isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from service.domain.dataset import SkippedRow
from service.ingest.encoding import BAD_BYTES, bad_byte, encoding_of, refuse_bad_bytes
from service.ingest.faults import malformed
from service.ingest.limits import Limits
from service.ingest.source import BATCH_BYTES, BATCH_ROWS, Batch, RowSource, Upload, batch_rows

_LONGEST_LINE = 64 * 2**20
_ENDS = ("\n", "\r\n", "")
_DECODE = json.JSONDecoder().raw_decode
_ENCODE = json.JSONEncoder(ensure_ascii=False).encode  # made once: that takes longer than a number
_MOST_LEVELS = 4  # of objects in objects that become columns


def open_json_lines(upload: Upload) -> RowSource:
    """Read one JSON object a line. Raises `Malformed` naming the line that is none."""
    encoding = encoding_of(upload.path)
    return RowSource(
        format=f"jsonl, encoding {encoding}",
        batches=lambda _media: _batches(upload.path, encoding, upload.limits),
    )


class Record(NamedTuple):  # which is made twice as fast as a frozen data class
    """An object that becomes a row, the place of it, and its size in characters; or the fault of a place without one."""

    where: str
    size: int
    values: dict[str, Any] | None
    fault: str = ""


def _batches(path: Path, encoding: str, limits: Limits) -> Iterator[Batch]:
    return record_batches(_records(path, encoding), limits)


def _records(path: Path, encoding: str) -> Iterator[Record]:
    for number, line in _numbered_lines(path, encoding):
        bad = None if line.isascii() else BAD_BYTES.search(line)
        where = f"line {number}"
        yield Record(where, len(line), None, bad_byte(bad[0])) if bad else Record(where, len(line), _row(line, number))


def record_batches(records: Iterable[Record], limits: Limits) -> Iterator[Batch]:
    """Batches of the records that are rows; the others are skipped."""
    rows: list[Record] = []
    places: list[int] = []
    skipped: list[SkippedRow] = []
    names: set[str] = set()
    size, most = 0, BATCH_ROWS
    for index, record in enumerate(records):
        if record.values is None:
            skipped.append(SkippedRow(index=index, where=record.where, reason=record.fault))
        else:
            rows.append(record)
            places.append(index)
            if not record.values.keys() <= names:
                names.update(record.values)
                most = batch_rows(len(names))
        size += record.size
        if len(rows) >= most or len(skipped) == BATCH_ROWS or size > BATCH_BYTES:
            yield _batch(rows, places, skipped, limits)
            size, rows, places, skipped = 0, [], [], []
            names, most = set(), BATCH_ROWS
    if rows or skipped:
        yield _batch(rows, places, skipped, limits)


def numbered_rows(path: Path, encoding: str) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """The number of each line that is not blank, its length and its object. Raises `Malformed`."""
    for number, line in _numbered_lines(path, encoding):
        refuse_bad_bytes(line, number)
        yield number, len(line), _row(line, number)


def _numbered_lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    with path.open("rb") as raw, io.TextIOWrapper(raw, encoding=encoding, errors="surrogateescape") as text:
        for number in count(1):
            line = text.readline(_LONGEST_LINE)
            if not line:
                return
            if line.strip():
                yield number, line


def _row(line: str, number: int) -> dict[str, Any]:
    try:
        row = sound(decoded(line), line)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        column = f", column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise malformed(
            f"line {number}{column} is not JSON: {reason}; one object a line is expected", f"line {number}"
        ) from error
    if not isinstance(row, dict):
        raise malformed(f"line {number} is not a JSON object but {type(row).__name__}", f"line {number}")
    return row


def decoded(line: str) -> Any:
    """What `json.loads` gives, or its error; a line that is an object and nothing else takes two thirds of the time."""
    if line.startswith("{"):
        try:
            value, end = _DECODE(line)
        except ValueError:
            return json.loads(line)
        if line[end:] in _ENDS:
            return value
    return json.loads(line)


def sound(value: Any, text: str) -> Any:
    """A decoded value with a question mark for each half of a surrogate pair, which JSON can write and no text can hold."""
    return _mended(value) if "\\" in text and "\\ud" in text.lower() else value


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_mended(one) for one in value]
    if isinstance(value, dict):
        return {_mended(key): _mended(one) for key, one in value.items()}
    return value


def _flat(rows: list[dict[str, Any]], levels: int = _MOST_LEVELS) -> list[dict[str, Any]]:
    """Rows with the members of an object in them as columns of their own, called `outer.inner`; below `levels` it is text.

    A name that has other values as well is left as it is.
    """
    if dict not in set(map(type, chain.from_iterable(row.values() for row in rows))):  # the usual case, and quick
        return rows
    nested = {name for row in rows for name, value in row.items() if isinstance(value, dict)}
    nested -= {name for row in rows for name, value in row.items() if value is not None and not isinstance(value, dict)}
    return _flat([_opened(row, nested) for row in rows], levels - 1) if nested and levels else rows


def _opened(row: dict[str, Any], nested: set[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in row.items():
        found |= {f"{name}.{inner}": one for inner, one in (value or {}).items()} if name in nested else {name: value}
    return found


def _batch(rows: list[Record], places: list[int], skipped: list[SkippedRow], limits: Limits) -> Batch:
    objects = _flat([row.values or {} for row in rows])
    names, values = _columns(objects)
    limits.check_columns(len(names))
    columns = [as_column(one) for one in values]
    return Batch(
        rows=pa.RecordBatch.from_arrays(columns, names=names) if names else _without_columns(len(rows)),
        index=np.array(places, np.int64),
        where=lambda position: rows[position].where,
        skipped=tuple(skipped),
    )


def _columns(objects: list[dict[str, Any]]) -> tuple[list[str], Iterable[list[Any]]]:
    """The keys of all objects, in the order in which they come first, and the values of each."""
    names = list(objects[0]) if objects else []
    if all(map(names.__eq__, map(list, objects))):  # the usual case, and quick
        return names, map(list, zip(*(one.values() for one in objects), strict=True))
    names = list(dict.fromkeys(name for one in objects for name in one))
    return names, ([one.get(name) for one in objects] for name in names)


def as_column(values: list[Any]) -> Any:
    """Lists of numbers stay lists; everything else becomes text, as it would stand in a CSV. NaN and infinity become null."""
    kinds = set(map(type, values)) - {type(None)}
    if kinds == {str}:
        return pa.array(values, pa.string())
    if kinds == {int}:
        texts = [None if value is None else str(value) for value in values] if None in values else map(str, values)
        return pa.array(list(texts), pa.string())
    if kinds == {float}:
        if None not in values and all(map(isfinite, values)):
            return pa.array(list(map(repr, values)), pa.string())
        return pa.array(
            [repr(value) if value is not None and isfinite(value) else None for value in values], pa.string()
        )
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
    return _ENCODE(value)


def _without_columns(rows: int) -> Any:
    return pa.RecordBatch.from_arrays([pa.nulls(rows, pa.string())], names=[""])
