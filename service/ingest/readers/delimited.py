"""CSV, TSV and their kin: delimiter, encoding and form found out, every value a string."""

import codecs
import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from service.domain.dataset import ClientWarning, SkippedRow
from service.ingest.encoding import BAD_BYTES, TextEncoding, bad_byte, text_encoding, utf_8_copy, without_strays
from service.ingest.readers import plain_lines
from service.ingest.readers.line_blocks import LineBlocks
from service.ingest.readers.table_form import SAMPLE, TableForm, form_of, is_comment
from service.ingest.readers.text_rows import (
    SPACES,
    Chunk,
    StrayQuote,
    careful_chunks,
    careful_rows,
    double_quotes,
    doubled_quotes,
    plain_chunks,
    spaced_chunks,
    split_at_spaces,
)
from service.ingest.source import BATCH_BYTES, BATCH_CELLS, BATCH_ROWS, Batch, RowSource, Upload, batch_rows

_BLANK = " \t\r\n\x1a"
_BATCH_ROWS = 4 * BATCH_ROWS
_UTF_8 = ("utf-8", "utf-8-sig")
_MARKED = re.compile(r"^(#|%|//)", re.MULTILINE)


@dataclass
class _Counts:
    """What was met while a table was read, beside its rows; the lines are those of the first."""

    comments: int = 0
    comment_line: int = 0
    headers: int = 0
    header_line: int = 0
    quotes: int = 0
    quote_line: int = 0

    def warnings(self) -> Iterator[ClientWarning]:
        if self.comments:
            detail = f"{self.comments:,} lines that begin with # % or // were left out as comments, the first in line {self.comment_line}"
            yield ClientWarning(code="comment_lines", detail=detail)
        if self.headers:
            detail = f"the header is repeated {self.headers:,} times among the rows, first in line {self.header_line}; left out"
            yield ClientWarning(code="repeated_header", detail=detail)
        if self.quotes:
            detail = (
                f"{self.quotes:,} rows have a quote within quotes that is not doubled, the first in line {self.quote_line}; "
                "it was read as it stands"
            )
            yield ClientWarning(code="stray_quotes", detail=detail)


def open_delimited(upload: Upload) -> RowSource:
    """Read a text table with a header line. Raises `Malformed`, `Invalid` naming line or column, `TooLarge`."""
    encoding, form = table_form(upload)
    upload.limits.check_columns(len(form.names))
    path, read_as = _as_utf_8(upload, encoding) if plain_lines.takes(form) else (upload.path, encoding)
    before = form.comments_before
    last = [_Counts()]
    numbers: set[str] = set()

    def batches(_media: bool) -> Iterator[Batch]:
        last[0] = _Counts(comments=len(before), comment_line=before[0] if before else 0)
        return _batches(path, read_as, form, last[0], numbers)

    return RowSource(
        format=f"{form.said}, encoding {encoding.name}",
        batches=batches,
        columns=form.names,
        warnings=(*form.warnings, *_of_encoding(encoding)),
        counted=lambda: tuple(last[0].warnings()),
        null_words=True,
        delimiter=form.delimiter,
        numbers=numbers,
    )


def _as_utf_8(upload: Upload, encoding: TextEncoding) -> tuple[Path, TextEncoding]:
    """The table in UTF-8, in which lines are read at once; as it is where that has faults."""
    if encoding.name in _UTF_8 or encoding.bad_bytes or encoding.strays:
        return upload.path, encoding
    return utf_8_copy(upload.path, encoding.name, upload.scratch), TextEncoding("utf-8")


def table_form(upload: Upload) -> tuple[TextEncoding, TableForm]:
    """Encoding and form of a text table."""
    encoding = text_encoding(upload.path)
    with _opened(upload.path, encoding) as text:
        return encoding, form_of(_shown(without_strays(text.read(SAMPLE))), upload.name)


def _shown(sample: str) -> str:
    return sample if sample.isascii() else BAD_BYTES.sub("\ufffd", sample)


@dataclass(frozen=True)
class RawRow:
    """Lines of a text table as they stand in the file, line ends included.

    `index` is the position of the row that they are, None for what is no row: lines before the header, the header (which has
    `is_header`), comments and blank lines. `values` are those of the row; a row that is skipped has them too.
    """

    text: str
    index: int | None = None
    values: Sequence[str] = ()
    is_header: bool = False


def raw_rows(path: Path, encoding: TextEncoding, form: TableForm) -> Iterator[RawRow]:
    """The whole of a text table, row by row; joined, the texts are the file."""
    rows = _Rows(form, _Counts(), unsound=bool(encoding.bad_bytes))
    line = form.start + 1
    with _opened(path, encoding) as text:
        yield RawRow("".join(islice(text, form.start)), is_header=True)
        for values, held, stray in _held_rows(text, encoding, form, line):
            before = rows.index
            rows.place(values, line, stray=stray)
            index = rows.index if rows.index > before else None
            yield RawRow("".join(held), index, values)
            line += len(held)
            if rows.size >= BATCH_ROWS:
                rows.clear()


def _held_rows(
    text: IO[str], encoding: TextEncoding, form: TableForm, line: int
) -> Iterator[tuple[list[str], list[str], bool]]:
    def seen(one: str) -> str:
        plain = without_strays(one) if encoding.strays else one
        return double_quotes(plain) if form.backslash else plain

    if form.delimiter == SPACES:
        return ((split_at_spaces(seen(one)), [one], False) for one in text)
    return careful_rows(text, form.dialect, line, seen)


def _opened(path: Path, encoding: TextEncoding) -> IO[str]:
    errors = "surrogateescape" if encoding.bad_bytes else "strict"
    return path.open(encoding=encoding.name, errors=errors, newline="")


def _of_encoding(encoding: TextEncoding) -> Iterator[ClientWarning]:
    if not encoding.name.startswith("utf"):
        yield ClientWarning(
            code="encoding_guessed",
            detail=f"the text is not UTF-8 and was read as {encoding.name}; save it as UTF-8 if wrong",
        )
    if encoding.bad_bytes:
        yield ClientWarning(
            code="bad_bytes",
            detail=f"the text is UTF-8 but for {encoding.bad_bytes:,} bytes; the rows that hold them were skipped, each with "
            "its line; save the file as UTF-8",
        )
    if encoding.strays:
        detail = "NUL characters and byte order marks in the middle of the text were left out: they are no text"
        yield ClientWarning(code="nul_characters", detail=detail)


def _batches(
    path: Path, encoding: TextEncoding, form: TableForm, counts: _Counts, numbers: Collection[str]
) -> Iterator[Batch]:
    rows = _Rows(form, counts, unsound=bool(encoding.bad_bytes))
    most = _batch_rows(form)
    start = _Start(form.start + 1, stray=form.stray_quotes, read_from=_header_bytes(path, encoding, form))
    if plain_lines.takes(form) and encoding.name in _UTF_8 and not encoding.bad_bytes and not encoding.strays:
        yield from _plain_batches(path, form, rows, most, start, numbers)
    if start.line is not None:
        with _opened(path, encoding) as text:
            lines = _Lines(text)
            for chunk in _chunks(lines, encoding, form, start):
                rows.add(chunk)
                if rows.size >= most or not 0 <= lines.place - start.read_from <= BATCH_BYTES:
                    yield rows.batch()
                    start.read_from = lines.place
    if rows.size:
        yield rows.batch()


def _header_bytes(path: Path, encoding: TextEncoding, form: TableForm) -> int:
    """The place of the first row, in bytes of UTF-8."""
    with _opened(path, encoding) as text:
        lines = _Lines(text, len(codecs.BOM_UTF8) if encoding.name == "utf-8-sig" else 0)
        deque(islice(lines, form.start), maxlen=0)
        return lines.place


def _batch_rows(form: TableForm) -> int:
    """How many rows a batch has: many, as a table is read by many small steps for each batch and column."""
    return max(batch_rows(len(form.names)), min(_BATCH_ROWS, BATCH_CELLS // len(form.names)))


@dataclass
class _Start:
    """The line from which rows are read one by one, None for none; a quote before it is not doubled where `stray`."""

    line: int | None
    stray: bool
    read_from: int  # place in the file of the end of the last batch


class _Lines:
    """Lines of a text file, and the place in it after the last that was given, in bytes of UTF-8."""

    def __init__(self, text: IO[str], place: int = 0) -> None:
        self._text, self.place = text, place

    def __iter__(self) -> Iterator[str]:
        for line in self._text:
            self.place += len(line) if line.isascii() else len(line.encode(errors="surrogateescape"))
            yield line

    def rewind(self) -> None:
        """Begin with the first line again."""
        self._text.seek(0)
        self.place = 0


def _plain_batches(
    path: Path, form: TableForm, rows: "_Rows", most: int, start: _Start, numbers: Collection[str]
) -> Iterator[Batch]:
    """Batches of a file in UTF-8, those of plain lines at once. At its end `start` says from where it was not read.

    Batches are the same as if all rows were read one by one, but for the columns `numbers`. These are texts again from the
    first batch on in which one of them holds anything else, so that few batches are read twice.
    """
    blocks, typed = LineBlocks(path), True
    while start.line is not None:
        block = blocks.batch(start.read_from, most)
        if block is None:
            return
        if not block.lines:
            start.line = None
            return
        # The first column stays a text: by it a comment or a repeated header is known.
        numeric = [place for place, name in enumerate(form.names) if place and name in numbers] if typed else []
        columns = plain_lines.columns_of(block, form, numeric)
        if columns is None and numeric:
            typed, columns = False, plain_lines.columns_of(block, form)
        if columns is not None:
            yield rows.plain_batch(columns, start.line)
            start.line, start.read_from = start.line + block.lines, block.stop
            continue
        with path.open(encoding="utf-8", newline="") as text:
            text.seek(start.read_from)
            yield from _batch_of_rows(text, form, rows, most, start)
        if start.stray:
            return


def _batch_of_rows(text: IO[str], form: TableForm, rows: "_Rows", most: int, start: _Start) -> Iterator[Batch]:
    """The next batch, read row by row. Afterwards `start` says where the one after it begins."""
    lines = _Lines(text, start.read_from)
    taken = count(start.line or 1)
    try:
        for chunk in plain_chunks((one for one, _ in zip(lines, taken, strict=False)), form.dialect, start.line or 1):
            rows.add(chunk)
            if rows.size >= most or lines.place - start.read_from > BATCH_BYTES:
                yield rows.batch()
                start.line, start.read_from = next(taken), lines.place
                return
        start.line = None
    except StrayQuote as stray:
        start.line, start.stray = stray.line, True


def _chunks(lines: _Lines, encoding: TextEncoding, form: TableForm, start: _Start) -> Iterator[Chunk]:
    """Rows from a line on; one by one from the first quote on that is not doubled."""
    first = start.line or 1
    if form.delimiter == SPACES:
        yield from spaced_chunks(_after(lines, first - 1, encoding, form), first)
        return
    if not start.stray:
        try:
            yield from plain_chunks(_after(lines, first - 1, encoding, form), form.dialect, first)
        except StrayQuote as stray:
            first = stray.line
            lines.rewind()
        else:
            return
    yield from careful_chunks(_after(lines, first - 1, encoding, form), form.dialect, first)


def _after(lines: _Lines, left_out: int, encoding: TextEncoding, form: TableForm) -> Iterable[str]:
    found: Iterable[str] = islice(lines, left_out, None)
    if encoding.strays:
        found = map(without_strays, found)
    return doubled_quotes(found) if form.backslash else found


@dataclass
class _Rows:
    """Rows of the next batch, and what was skipped since the one before."""

    form: TableForm
    counts: _Counts
    unsound: bool  # some rows hold bytes that are no text
    index: int = -1
    rows: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    skipped: list[SkippedRow] = field(default_factory=list)

    @property
    def size(self) -> int:
        return max(len(self.rows), len(self.skipped))

    def add(self, chunk: Chunk) -> None:
        rows, lines, stray = chunk
        if not self.unsound and isinstance(lines, range) and self._are_plain(rows):
            self.rows += rows
            self.lines += lines
            self.indices += range(self.index + 1, self.index + 1 + len(rows))
            self.index += len(rows)
            return
        for place, (row, line) in enumerate(zip(rows, lines, strict=True)):
            self.place(row, line, stray=place in stray)

    def _are_plain(self, rows: list[list[str]]) -> bool:
        """Whether these are rows of the right width, none of which may be a comment or the header: the usual case, and quick."""
        form = self.form
        if form.trailing or set(map(len, rows)) != {form.width}:
            return False
        first = [row[0] for row in rows]
        return form.header[0] not in [one.strip() for one in first] and not (
            form.comment_rows and _MARKED.search("\n".join(first))
        )

    def place(self, row: list[str], line: int, *, stray: bool) -> None:
        """Add a row, or what looks like one: a blank line, a comment and a repeated header get no position."""
        form, counts = self.form, self.counts
        if len(row) <= 1 and not "".join(row).strip(_BLANK):
            return
        if is_comment(row, form):
            counts.comments, counts.comment_line = counts.comments + 1, counts.comment_line or line
            return
        if len(row) >= len(form.header) and _is_header(row, form):
            counts.headers, counts.header_line = counts.headers + 1, counts.header_line or line
            return
        self.index += 1
        fault = self._fault(row, line, stray=stray)
        if fault:
            self.skipped.append(SkippedRow(index=self.index, where=f"line {line}", reason=fault))
            return
        if stray and any('"' in value for value in row):
            counts.quotes, counts.quote_line = counts.quotes + 1, counts.quote_line or line
        self.rows.append(row[: form.width - form.trailing])
        self.lines.append(line)
        self.indices.append(self.index)

    def _fault(self, row: list[str], line: int, *, stray: bool) -> str:
        """Why a row is not read; empty if it is."""
        form = self.form
        named = form.width - form.trailing
        if len(row) != form.width and not (form.trailing and len(row) == named):
            if stray:
                return "a quote within quotes is not doubled, and the values cannot be told apart; double it"
            return f"{len(row)} fields, the header has {named}"
        if any(value.strip() for value in row[named:]):
            return f"{len(row)} fields, the header has {named}"
        if form.delimiter == "\t" and (more := _swallowed(row)):
            return f"a value that begins with a quote goes on to line {line + more}, over whole rows; double the quotes in it"
        if self.unsound and (bad := next(filter(None, map(BAD_BYTES.search, row)), None)):
            return bad_byte(bad[0])
        return ""

    def plain_batch(self, columns: Sequence[Any], line: int) -> Batch:
        """A batch of plain rows from this line on, none of which is skipped; no rows may be held."""
        first, self.index = self.index + 1, self.index + len(columns[0])
        return Batch(
            rows=pa.RecordBatch.from_arrays(list(columns), names=list(self.form.names)),
            index=np.arange(first, self.index + 1, dtype=np.int64),
            where=lambda position: f"line {line + position}",
        )

    def batch(self) -> Batch:
        """The rows so far; the next batch begins."""
        names, rows, lines = self.form.names, self.rows, self.lines
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
        batch = Batch(
            rows=pa.RecordBatch.from_arrays([pa.array(column, pa.string()) for column in columns], names=list(names)),
            index=np.array(self.indices, np.int64),
            where=lambda position: f"line {lines[position]}",
            skipped=tuple(self.skipped),
        )
        self.clear()
        return batch

    def clear(self) -> None:
        """Forget the rows so far; their positions stay counted."""
        self.rows, self.lines, self.indices, self.skipped = [], [], [], []


def _is_header(row: Sequence[str], form: TableForm) -> bool:
    return all(value.strip() == name for value, name in zip(row, form.header, strict=False)) and not any(
        row[len(form.header) :]
    )


def _swallowed(row: list[str]) -> int:
    """How many lines after the first lie in one value that holds whole rows: few quote in TSV, and many write quotes."""
    inside = [value for value in row if "\n" in value]
    as_wide = any(line.count("\t") == len(row) - 1 for value in inside for line in value.split("\n")[1:-1])
    return sum(value.count("\n") for value in inside) if as_wide else 0
