"""Rows of a text table on their way into batches: which are rows, which are skipped and why, and what is left out."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from service.domain.dataset import ClientWarning, SkippedRow
from service.ingest.encoding import BAD_BYTES, bad_byte
from service.ingest.readers.table_form import TableForm, is_comment
from service.ingest.readers.text_rows import Chunk
from service.ingest.source import Batch

_BLANK = " \t\r\n\x1a"
_MARKED = re.compile(r"^(#|%|//)", re.MULTILINE)


@dataclass
class TableCounts:
    """What was met while a table was read, beside its rows; the lines are those of the first."""

    comments: int = 0
    comment_line: int = 0
    headers: int = 0
    header_line: int = 0
    quotes: int = 0
    quote_line: int = 0

    def warnings(self) -> Iterator[ClientWarning]:
        """What a client is told of them."""
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


@dataclass
class TableRows:
    """Rows of the next batch, and what was skipped since the one before."""

    form: TableForm
    counts: TableCounts
    unsound: bool  # some rows hold bytes that are no text
    index: int = -1
    rows: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    skipped: list[SkippedRow] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Number of rows held, or of those skipped, whichever is larger."""
        return max(len(self.rows), len(self.skipped))

    def add(self, chunk: Chunk) -> None:
        """Add rows with their lines."""
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
        names = form.header[:1]
        return not (
            (names and names[0] in [one.strip() for one in first])
            or (form.comment_rows and _MARKED.search("\n".join(first)))
        )

    def place(self, row: list[str], line: int, *, stray: bool) -> None:
        """Add a row, or what looks like one: a blank line, a comment and a repeated header get no position."""
        form, counts = self.form, self.counts
        if len(row) <= 1 and not "".join(row).strip(_BLANK):
            return
        if is_comment(row, form):
            counts.comments, counts.comment_line = counts.comments + 1, counts.comment_line or line
            return
        if form.header and len(row) >= len(form.header) and _is_header(row, form):
            counts.headers, counts.header_line = counts.headers + 1, counts.header_line or line
            return
        self.index += 1
        fault = self._fault(row, line, stray=stray)
        if fault:
            self.skipped.append(SkippedRow(index=self.index, where=f"line {line}", reason=fault))
            return
        if stray and any(form.quote in value for value in row):
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
            return form.unexpected(len(row))
        if any(value.strip() for value in row[named:]):
            return form.unexpected(len(row))
        if form.delimiter == "\t" and (more := _swallowed(row)):
            return f"a value that begins with a quote goes on to line {line + more}, over whole rows; double the quotes in it"
        if self.unsound and (bad := next(filter(None, map(BAD_BYTES.search, row)), None)):
            return bad_byte(bad[0])
        return ""

    def plain_batch(self, columns: Sequence[Any], line: int, first_lines: npt.NDArray[np.int64] | None = None) -> Batch:
        """A batch of plain rows from this line on, none of which is skipped; no rows may be held.

        `first_lines` tells how many lines there are before each row, None that each row is one.
        """
        first, self.index = self.index + 1, self.index + len(columns[0])
        return Batch(
            rows=pa.RecordBatch.from_arrays(list(columns), names=list(self.form.names)),
            index=np.arange(first, self.index + 1, dtype=np.int64),
            where=lambda position: f"line {line + (position if first_lines is None else int(first_lines[position]))}",
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
