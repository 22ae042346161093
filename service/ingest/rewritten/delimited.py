"""CSV, TSV and their kin, of which only the labels that change and the rows that go are not as they were."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from service.domain.errors import SuspectsError
from service.ingest.encoding import TextEncoding
from service.ingest.readers.delimited import RawRow, held_rows, raw_rows, table_form
from service.ingest.readers.table_form import TableForm
from service.ingest.readers.text_rows import SPACES, lenient_spans, spans_between_spaces
from service.ingest.rewritten.edits import Edits, is_blank, no_form, spellings
from service.ingest.rewritten.encoded import written_as
from service.ingest.source import RowSource, Upload

_ENDS = "\r\n"
# Before a quote. From the first of a run on: from each of them would take the square of its length.
_BACKSLASHES = re.compile(r'(?<!\\)(\\++)(?="|\Z)')


def rewrite_delimited(upload: Upload, _source: RowSource, label: str, edits: Edits) -> Iterator[bytes]:
    """The table in pieces: delimiter, quotes, encoding, line ends, header, comments and all other cells as they stand.

    Rows that could not be read are left as they are. Raises Conflict where a class or a column cannot be written so.
    """
    encoding, form = table_form(upload)
    _check_room(form, edits)
    written = written_as(upload.path, encoding.name)
    places = [form.names.index(name) for name in (label, *edits.copies)]
    spelt = {place: spellings(_written(upload, encoding, form, place), edits) for place in places}
    for name in edits.labels.values():
        written.check(spelt[places[0]].setdefault(name, _Spelling(name)).value)

    def text_of(row: RawRow) -> str:
        if row.index is None or row.index not in edits.labels:
            return row.text
        name = edits.labels[row.index]
        for place in places:
            if place < len(row.values) and not is_blank(row.values[place]):
                row = _relabelled(row, place, spelt[place].get(name, _EMPTY), encoding, form)
        return row.text

    def pieces() -> Iterator[bytes]:
        yield written.mark
        for row in raw_rows(upload.path, encoding, form):
            if row.index is None or row.index not in edits.removed:
                yield written.encode(_with_columns(text_of(row), row, form, edits))

    return pieces()


def _check_room(form: TableForm, edits: Edits) -> None:
    if edits.columns and not form.header:
        raise no_form("columns cannot be added to a table without a header: nothing would say what they are")
    if edits.columns and (form.delimiter == SPACES or form.width != len(form.header)):
        raise no_form("columns cannot be added to a table whose rows are wider than its header, or aligned by spaces")


class _Spelling(NamedTuple):
    """How a table writes a class: the value, and the text of its cell where that says more, quotes included."""

    value: str
    cell: str | None = None


_EMPTY = _Spelling("")  # of a class in a column in which no row has it


def _written(upload: Upload, encoding: TextEncoding, form: TableForm, place: int) -> Iterator[tuple[int, _Spelling]]:
    """How each row writes its value of a column, by position."""
    for row in raw_rows(upload.path, encoding, form):
        if row.index is not None and len(row.values) > place and not is_blank(row.values[place]):
            yield row.index, _spelling(row, place, form)


def _spelling(row: RawRow, place: int, form: TableForm) -> _Spelling:
    value = row.values[place].strip()
    if form.quote == '"' and form.quote not in value:
        return _Spelling(value)
    body = row.text.rstrip(_ENDS)
    start, stop = next((spans[place] for spans in _spans(body, form) if len(spans) == len(row.values)), (0, 0))
    return _Spelling(value, body[start:stop].strip() or None)


def _relabelled(row: RawRow, place: int, label: _Spelling, encoding: TextEncoding, form: TableForm) -> RawRow:
    """The row with another label, and else as it was; the first way to write it so of which the same values are read."""
    body = row.text.rstrip(_ENDS)
    end = row.text[len(body) :]
    values = [*row.values[:place], label.value, *row.values[place + 1 :]]
    for spans in _spans(body, form):
        if len(spans) == len(values):
            start, stop = spans[place]
            for cell in _cells(body[start:stop], label, form):
                text = f"{body[:start]}{cell}{body[stop:]}{end}"
                found = _values(text, encoding, form)
                if [*found[:place], *(one.strip() for one in found[place : place + 1]), *found[place + 1 :]] == values:
                    return replace(row, text=text, values=values)
    return replace(row, text=f"{_line(values, form)}{end}", values=values)


def _values(text: str, encoding: TextEncoding, form: TableForm) -> list[str]:
    """The values of a row as they are read; none where it is no row alone."""
    with suppress(SuspectsError):
        rows = list(held_rows(io.StringIO(text, newline=""), encoding, form, 1))
        if len(rows) == 1:
            return rows[0][0]
    return []


def _spans(text: str, form: TableForm) -> Iterator[list[tuple[int, int]]]:
    """Where the values of a row may stand in its text: with quotes as they should be, and with one that is not doubled."""
    yield field_spans(text, form)
    if form.delimiter != SPACES:
        yield lenient_spans(text, form.delimiter, form.quote)


def field_spans(text: str, form: TableForm) -> list[tuple[int, int]]:
    """Where the values of a row stand in its text, their quotes and the spaces around them included."""
    if form.delimiter == SPACES:
        return spans_between_spaces(text)
    spans: list[tuple[int, int]] = []
    start = 0
    while True:
        opened = start
        while form.dialect["skipinitialspace"] and text.startswith(" ", opened):
            opened += 1
        after = _closing(text, opened, form) if text.startswith(form.quote, opened) else start
        stop = text.find(form.delimiter, after)
        if stop < 0:
            return [*spans, (start, len(text))]
        spans.append((start, stop))
        start = stop + 1


def _closing(text: str, opened: int, form: TableForm) -> int:
    """Where the quote ends that was opened; the end of the text where it does not."""
    quote = form.quote
    inner = rf"[^{quote}\\]++|\\.|{quote * 2}" if form.backslash else f"[^{quote}]++|{quote * 2}"
    found = re.compile(f"{quote}(?:{inner})*+", re.DOTALL).match(text, opened)
    return found.end() if found else len(text)


def _cells(old: str, label: _Spelling, form: TableForm) -> Iterator[str]:
    """A label in the place of another, with the same spaces around it.

    As the table writes it where that is known; or else in quotes where the other was, or where it must be.
    """
    core = old.strip()
    before, _, after = old.partition(core) if core else (old, "", "")
    if label.cell is not None:
        yield f"{before}{label.cell}{after}"
    elif not core.startswith(form.quote):
        yield f"{before}{_quoted(label.value, form)}{after}"
    yield f"{before}{_quoted(label.value, form, always=True)}{after}"


def _quoted(value: str, form: TableForm, *, always: bool = False) -> str:
    quote = form.quote
    needed = form.delimiter in value or any(mark in value for mark in f"{quote}{_ENDS}") or value != value.strip()
    taken_for_quotes = value.startswith('"')
    if not (always or needed or taken_for_quotes):
        return value
    if form.backslash:
        inner = _BACKSLASHES.sub(r"\1\1", value).replace(quote, f"\\{quote}")
    else:
        inner = value.replace(quote, quote * 2)
    return f"{quote}{inner}{quote}"


def _line(values: Sequence[str], form: TableForm) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=form.delimiter, quotechar=form.quote, lineterminator="").writerow(values)
    return text.getvalue()


def _with_columns(text: str, row: RawRow, form: TableForm, edits: Edits) -> str:
    if not edits.columns or (row.index is None and not row.is_header) or (row.index is not None and not row.values):
        return text
    body = text.rstrip(_ENDS)
    values = edits.columns if row.is_header else [value or "" for value in edits.values(row.index)]
    return body + "".join(form.delimiter + _quoted(value, form) for value in values) + text[len(body) :]
