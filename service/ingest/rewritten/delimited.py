"""CSV, TSV and their kin, of which only the labels that change and the rows that go are not as they were."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence

from service.ingest.readers.delimited import RawRow, raw_rows, table_form
from service.ingest.readers.table_form import TableForm
from service.ingest.readers.text_rows import SPACES, spans_between_spaces
from service.ingest.rewritten.edits import Edits, no_form, spellings
from service.ingest.rewritten.encoded import written_as
from service.ingest.source import RowSource, Upload

_ENDS = "\r\n"


def rewrite_delimited(upload: Upload, _source: RowSource, label: str, edits: Edits) -> Iterator[bytes]:
    """The table in pieces: delimiter, quotes, encoding, line ends, header, comments and all other cells as they stand.

    Rows that could not be read are left as they are. Raises Conflict where a class or a column cannot be written so.
    """
    encoding, form = table_form(upload)
    if edits.columns and (form.delimiter == SPACES or form.width != len(form.header)):
        raise no_form("columns cannot be added to a table whose rows are wider than its header, or aligned by spaces")
    place = form.names.index(label)
    written = written_as(upload.path, encoding.name)
    rows = raw_rows(upload.path, encoding, form)
    labels = (
        (row.index, row.values[place].strip()) for row in rows if row.index is not None and len(row.values) > place
    )
    spelt = {name: name for name in edits.labels.values()} | spellings(labels, edits)
    for name in spelt.values():
        written.check(name)

    def pieces() -> Iterator[bytes]:
        yield written.mark
        for row in raw_rows(upload.path, encoding, form):
            if row.index is None or row.index not in edits.removed:
                yield written.encode(_with_columns(_text(row, place, form, edits, spelt), row, form, edits))

    return pieces()


def _text(row: RawRow, place: int, form: TableForm, edits: Edits, spelt: Mapping[str, str]) -> str:
    if row.index is None or row.index not in edits.labels:
        return row.text
    label = spelt[edits.labels[row.index]]
    body = row.text.rstrip(_ENDS)
    spans = field_spans(body, form)
    if len(spans) == len(row.values):
        start, stop = spans[place]
        return f"{body[:start]}{_cell(body[start:stop], label, form)}{body[stop:]}{row.text[len(body) :]}"
    values = [*row.values[:place], label, *row.values[place + 1 :]]
    return f"{_line(values, form)}{row.text[len(body) :]}"


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
        after = _closing(text, opened, backslash=form.backslash) + 1 if text.startswith('"', opened) else start
        stop = text.find(form.delimiter, after)
        if stop < 0:
            return [*spans, (start, len(text))]
        spans.append((start, stop))
        start = stop + 1


def _closing(text: str, opened: int, *, backslash: bool) -> int:
    """Where the quote ends that was opened; the end of the text where it does not."""
    place = opened + 1
    while place < len(text):
        if (backslash and text[place] == "\\") or text.startswith('""', place):
            place += 2
        elif text[place] == '"':
            return place
        else:
            place += 1
    return len(text)


def _cell(old: str, label: str, form: TableForm) -> str:
    """A label in the place of another: in quotes where that was, or where it must be, and with the same spaces around it."""
    core = old.strip()
    before, _, after = old.partition(core) if core else (old, "", "")
    return f"{before}{_quoted(label, form, always=core.startswith(chr(34)))}{after}"


def _quoted(value: str, form: TableForm, *, always: bool = False) -> str:
    needed = form.delimiter in value or any(mark in value for mark in f'"{_ENDS}') or value != value.strip()
    if not (always or needed):
        return value
    inner = value.replace("\\", "\\\\").replace('"', '\\"') if form.backslash else value.replace('"', '""')
    return f'"{inner}"'


def _line(values: Sequence[str], form: TableForm) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=form.delimiter, lineterminator="").writerow(values)
    return text.getvalue()


def _with_columns(text: str, row: RawRow, form: TableForm, edits: Edits) -> str:
    if not edits.columns or (row.index is None and not row.is_header) or (row.index is not None and not row.values):
        return text
    body = text.rstrip(_ENDS)
    values = edits.columns if row.is_header else [value or "" for value in edits.values(row.index)]
    return body + "".join(form.delimiter + _quoted(value, form) for value in values) + text[len(body) :]
