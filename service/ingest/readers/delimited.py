"""CSV, TSV and their kin: delimiter, encoding and form found out, every value a string."""

import codecs
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import IO

from service.domain.dataset import ClientWarning
from service.ingest.encoding import BAD_BYTES, TextEncoding, text_encoding, utf_8_copy, without_strays
from service.ingest.readers import plain_lines
from service.ingest.readers.delimited_rows import TableCounts, TableRows
from service.ingest.readers.line_blocks import RowBlocks
from service.ingest.readers.table_form import SAMPLE, TableForm, form_of
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

_BATCH_ROWS = 4 * BATCH_ROWS
_UTF_8 = ("utf-8", "utf-8-sig")


def open_delimited(upload: Upload) -> RowSource:
    """Read a text table, with a header unless the spec says that there is none. Raises `Malformed`, `Invalid` naming line or column, `TooLarge`."""
    encoding, form = table_form(upload)
    upload.limits.check_columns(len(form.names))
    path, read_as = _as_utf_8(upload, encoding) if plain_lines.takes(form) else (upload.path, encoding)
    before = form.comments_before
    last = [TableCounts()]
    numbers: set[str] = set()

    def batches(_media: bool) -> Iterator[Batch]:
        last[0] = TableCounts(comments=len(before), comment_line=before[0] if before else 0)
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
        return encoding, form_of(_shown(without_strays(text.read(SAMPLE))), upload.name, headed=upload.spec.header)


def _shown(sample: str) -> str:
    return sample if sample.isascii() else BAD_BYTES.sub("\ufffd", sample)


@dataclass(frozen=True)
class RawRow:
    """Lines of a text table as they stand in the file, line ends included.

    `index` is the position of the row that they are, None for what is no row: lines before the rows, with the header
    (`is_header`) where there is one, comments and blank lines. `values` are those of the row; a row that is skipped has them too.
    """

    text: str
    index: int | None = None
    values: Sequence[str] = ()
    is_header: bool = False


def raw_rows(path: Path, encoding: TextEncoding, form: TableForm) -> Iterator[RawRow]:
    """The whole of a text table, row by row; joined, the texts are the file."""
    rows = TableRows(form, TableCounts(), unsound=bool(encoding.bad_bytes))
    line = form.start + 1
    with _opened(path, encoding) as text:
        yield RawRow("".join(islice(text, form.start)), is_header=bool(form.header))
        for values, held, stray in held_rows(text, encoding, form, line):
            before = rows.index
            rows.place(values, line, stray=stray)
            index = rows.index if rows.index > before else None
            yield RawRow("".join(held), index, values)
            line += len(held)
            if rows.size >= BATCH_ROWS:
                rows.clear()


def held_rows(
    text: Iterable[str], encoding: TextEncoding, form: TableForm, line: int
) -> Iterator[tuple[list[str], list[str], bool]]:
    """Values of each row, the lines that it takes, and whether a quote in it is not doubled. The first line is number `line`."""

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
    path: Path, encoding: TextEncoding, form: TableForm, counts: TableCounts, numbers: Collection[str]
) -> Iterator[Batch]:
    rows = TableRows(form, counts, unsound=bool(encoding.bad_bytes))
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
    path: Path, form: TableForm, rows: TableRows, most: int, start: _Start, numbers: Collection[str]
) -> Iterator[Batch]:
    """Batches of a file in UTF-8, those of plain rows at once. At its end `start` says from where it was not read.

    Batches are the same as if all rows were read one by one, but for the columns `numbers`. These are texts again from the
    first batch on in which one of them holds anything else, so that few batches are read twice.
    """
    blocks, typed = RowBlocks(path, form.quote), True
    while start.line is not None:
        block = blocks.batch(start.read_from, most)
        if block is None:
            return
        if not block.rows:
            start.line = None
            return
        # The first column stays a text: by it a comment or a repeated header is known.
        numeric = [place for place, name in enumerate(form.names) if place and name in numbers] if typed else []
        columns = plain_lines.columns_of(block, form, numeric)
        if columns is None and numeric:
            typed, columns = False, plain_lines.columns_of(block, form)
        if columns is not None:
            yield rows.plain_batch(columns, start.line, block.first_lines)
            start.line, start.read_from = start.line + block.lines, block.stop
            continue
        with path.open(encoding="utf-8", newline="") as text:
            text.seek(start.read_from)
            yield from _batch_of_rows(text, form, rows, most, start)
        if start.stray:
            return


def _batch_of_rows(text: IO[str], form: TableForm, rows: TableRows, most: int, start: _Start) -> Iterator[Batch]:
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
