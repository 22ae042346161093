"""CSV, TSV and their kin: delimiter and encoding found out, every value a string."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from service.domain.dataset import ClientWarning, SkippedRow
from service.ingest.encoding import encoding_of
from service.ingest.faults import invalid, malformed
from service.ingest.source import BATCH_BYTES, Batch, RowSource, Upload, batch_rows

# For the whole process: the library's 128 KiB is less than a long document or a written-out embedding.
_LONGEST_FIELD = 16 * 2**20
csv.field_size_limit(_LONGEST_FIELD)

Dialect = dict[str, Any]

_SAMPLE = 1 << 20
_SAMPLE_ROWS = 100
_DELIMITERS = {",": ",", "\t": "tab", ";": ";", "|": "|"}
_AGREE = 0.8
_STEP = 64


def open_delimited(upload: Upload) -> RowSource:
    """Read a text table with a header line. Raises `Malformed`, `Invalid` naming line or column, `TooLarge`."""
    encoding = encoding_of(upload.path)
    sample = _sample(upload.path, encoding)
    delimiter = delimiter_of(sample, upload.name)
    dialect = {"delimiter": delimiter, "skipinitialspace": f'{delimiter} "' in sample}
    names = _header(sample, dialect)
    upload.limits.check_columns(len(names))
    return RowSource(
        format=f"csv, delimiter {_DELIMITERS[delimiter]}, encoding {encoding}",
        batches=lambda _media: _batches(upload.path, encoding, dialect, names),
        columns=tuple(names),
        warnings=tuple(_doubts(names, encoding)),
        null_words=True,
        delimiter=delimiter,
    )


def delimiter_of(sample: str, name: str = "") -> str:
    """The delimiter by which most lines of the sample have as many fields as the first."""
    best, best_score = ",", (0.0, 0)
    for delimiter in _DELIMITERS:
        widths = [len(row) for row in _sample_rows(sample, {"delimiter": delimiter}) if row]
        if not widths or widths[0] < 2:
            continue
        agreement = widths.count(widths[0]) / len(widths)
        if delimiter == "\t" and name.lower().endswith((".tsv", ".tab")):
            return delimiter
        score = (round(agreement, 1) if agreement >= _AGREE else agreement / 2, widths[0])
        if score > best_score:
            best, best_score = delimiter, score
    return best


def looks_delimited(sample: str) -> bool:
    """Whether text of unknown name is a table: two lines at least, one delimiter that nearly all of them share."""
    widths = Counter(len(row) for row in _sample_rows(sample, {"delimiter": delimiter_of(sample)}) if row)
    width, count = max(widths.items(), key=lambda item: item[1], default=(0, 0))
    return width >= 2 and count >= 2 and count >= _AGREE * widths.total()


def _sample(path: Path, encoding: str) -> str:
    with path.open(encoding=encoding, newline="") as file:
        return file.read(_SAMPLE)


def _sample_rows(sample: str, dialect: Dialect) -> list[list[str]]:
    rows: list[list[str]] = []
    with suppress(csv.Error):
        rows.extend(islice(csv.reader(io.StringIO(sample, newline=""), **dialect), _SAMPLE_ROWS + 1))
    cut_short = len(sample) == _SAMPLE and len(rows) > 1 and len(rows) <= _SAMPLE_ROWS
    return rows[:-1] if cut_short else rows[:_SAMPLE_ROWS]


def _header(sample: str, dialect: Dialect) -> list[str]:
    rows = [row for row in _sample_rows(sample, dialect) if row]
    if not rows:
        raise invalid("the file is empty: a header line and at least two rows are needed", "line 1")
    names = [name.strip() for name in rows[0]]
    names = [name or f"unnamed_{position}" for position, name in enumerate(names)]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise invalid(
            f"the header names {', '.join(map(repr, repeated))} more than once; give each column a name of its own",
            "line 1",
            f"column {repeated[0]}",
        )
    if len(names) < 2:
        raise invalid(
            f"only one column, {names[0]!r}; a label and something to learn from are needed, "
            "separated by comma, semicolon, tab or |",
            "line 1",
        )
    return names


def _doubts(names: list[str], encoding: str) -> Iterator[ClientWarning]:
    if all(_is_number(name) for name in names):
        yield ClientWarning(
            code="header_looks_like_data",
            detail="every name in the first line is a number; it was read as the header, so check that one is there",
        )
    if not encoding.startswith("utf"):
        yield ClientWarning(
            code="encoding_guessed",
            detail=f"the text is not UTF-8 and was read as {encoding}; save it as UTF-8 if wrong",
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _batches(path: Path, encoding: str, dialect: Dialect, names: list[str]) -> Iterator[Batch]:
    with path.open("rb") as raw, io.TextIOWrapper(raw, encoding=encoding, newline="") as text:
        reader = csv.reader(text, **dialect)
        read_from, index, most = 0, -1, batch_rows(len(names))
        rows: list[list[str]] = []
        lines: list[int] = []
        skipped: list[SkippedRow] = []
        indices: list[int] = []
        header_seen, line = False, 1
        for row, line in _numbered(reader):
            if not row:
                continue
            if not header_seen:
                header_seen = True
                continue
            index += 1
            if len(row) != len(names):
                skipped.append(_wrong_width(index, line, len(row), len(names)))
            elif dialect["delimiter"] == "\t" and (swallowed := _swallowed(row)):
                skipped.append(_stray_quote(index, line, swallowed))
            else:
                rows.append(row)
                lines.append(line)
                indices.append(index)
            full = len(rows) >= most or len(skipped) >= most
            if full or (index % _STEP == 0 and raw.tell() - read_from > BATCH_BYTES):
                yield _batch(names, rows, lines, indices, skipped)
                rows, lines, indices, skipped, read_from = [], [], [], [], raw.tell()
        _check_last_quote(path, encoding, dialect, line)
        if rows or skipped:
            yield _batch(names, rows, lines, indices, skipped)


def _numbered(reader: Any) -> Iterator[tuple[list[str], int]]:
    """Each row with its first line, 1-based."""
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise malformed(
                f"line {line}: {error}; a quote that is never closed is the usual cause", f"line {line}"
            ) from error
        yield row, line


def _check_last_quote(path: Path, encoding: str, dialect: Dialect, line: int) -> None:
    """Raise `Malformed` if a quote in the file's last row, which starts at `line`, is still open at its end."""
    with path.open(encoding=encoding, newline="") as text:
        rest = islice(text, line - 1, None)
        last = ""
        try:
            for _ in csv.reader(rest, strict=True, **dialect):
                pass
        except csv.Error as error:
            last = str(error)
    if "unexpected end of data" in last:
        raise malformed(f"line {line}: a quoted value is never closed; add the missing quote", f"line {line}")


def _wrong_width(index: int, line: int, fields: int, expected: int) -> SkippedRow:
    return SkippedRow(index=index, where=f"line {line}", reason=f"{fields} fields, the header has {expected}")


def _swallowed(row: list[str]) -> int:
    """How many lines after the first lie in one value that holds whole rows: few quote in TSV, and many write quotes."""
    inside = [value for value in row if "\n" in value]
    as_wide = any(line.count("\t") == len(row) - 1 for value in inside for line in value.split("\n")[1:-1])
    return sum(value.count("\n") for value in inside) if as_wide else 0


def _stray_quote(index: int, line: int, more: int) -> SkippedRow:
    reason = f"a value that begins with a quote goes on to line {line + more}, over whole rows; double the quotes in it"
    return SkippedRow(index=index, where=f"line {line}", reason=reason)


def _batch(
    names: list[str], rows: list[list[str]], lines: list[int], indices: list[int], skipped: list[SkippedRow]
) -> Batch:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return Batch(
        rows=pa.RecordBatch.from_arrays([pa.array(column, pa.string()) for column in columns], names=names),
        index=np.array(indices, np.int64),
        where=lambda position: f"line {lines[position]}",
        skipped=tuple(skipped),
    )
