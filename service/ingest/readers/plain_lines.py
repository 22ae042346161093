"""The usual rows of a text table, read many at once: quotes as RFC 4180 has them, as many values as the header has names, no comments."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from service.ingest.numbers import matches
from service.ingest.readers.line_blocks import Block
from service.ingest.readers.table_form import TableForm
from service.ingest.readers.text_rows import SPACES
from service.store import text_bytes

_FEWEST_COLUMNS = 2  # a line of one value may be blank
_BLANK = 2  # bytes; a line that is not blank may have as few, and is rare
_MARK = r"^(#|%|//)"
_MARK_STARTS = text_bytes.starts("#%/")
_RETURN, _NEWLINE = 13, 10


def takes(form: TableForm) -> bool:
    """Whether tables of this form have rows that can be read at once."""
    return (
        form.width == len(form.names) >= _FEWEST_COLUMNS
        and not form.trailing
        and not form.stray_quotes
        and not form.backslash
        and form.delimiter != SPACES
        and form.delimiter.isascii()
        and form.delimiter != form.quote
    )


def columns_of(block: Block, form: TableForm, numeric: Collection[int] = ()) -> list[Any] | None:
    """The columns of rows of valid UTF-8, as texts; those at the places `numeric` as float64, with null for blanks.

    None where a row may be anything but a plain row, of which a careful reader tells, and where a value of a numeric column is no
    number, plainly written.
    """
    content = block.content
    quoted = form.quote.encode() in content
    if block.shortest <= _BLANK or _is_odd(content, form) or (quoted and not _are_quotes_sound(content, form)):
        return None
    several_lines = block.lines != block.rows
    if several_lines and form.delimiter == "\t":  # a value may have swallowed whole rows
        return None
    names = [str(place) for place in range(form.width)]
    kinds = {name: pa.float64() if place in numeric else pa.string() for place, name in enumerate(names)}
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(content),
            read_options=pa_csv.ReadOptions(use_threads=False, block_size=len(content) + 1, column_names=names),
            parse_options=pa_csv.ParseOptions(
                delimiter=form.delimiter,
                quote_char=form.quote if quoted else False,
                double_quote=quoted,
                newlines_in_values=several_lines,
                ignore_empty_lines=False,
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=kinds, strings_can_be_null=False, null_values=[""], check_utf8=False
            ),
        )
    except pa.ArrowInvalid:
        return None
    columns = [column.combine_chunks() if column.num_chunks != 1 else column.chunk(0) for column in table.columns]
    return None if table.num_rows != block.rows or _has_no_row(columns[0], form) else columns


def _is_odd(content: bytes, form: TableForm) -> bool:
    """Whether some row may be more or less than values between delimiters."""
    if b"\0" in content:
        return True
    if form.dialect["skipinitialspace"]:
        after = (f"{form.delimiter} ".encode(), b"\n ")
        if content.startswith(b" ") or any(one in content for one in after):
            return True
    return b"\r" in content and _has_lone_return(content)


def _are_quotes_sound(content: bytes, form: TableForm) -> bool:
    """Whether each quote stands where RFC 4180 has it, so that every reader finds the same values.

    From the beginning of a row every second quote closes. It has to be at the end of a value, or doubled; the one after it at the
    beginning of a value, or the second of the two.
    """
    found = np.frombuffer(content, np.uint8)
    quotes = np.flatnonzero(found == ord(form.quote))
    if len(quotes) % 2:
        return False
    opened, closed = quotes[::2], quotes[1::2]
    delimiter = ord(form.delimiter)
    before = found[opened - 1]
    begins = (before == delimiter) | (before == _NEWLINE) | (opened == 0)
    inner = closed[:-1] + 1 == opened[1:]
    if not (begins[0] and (begins[1:] | inner).all()):
        return False
    after = found[np.minimum(closed + 1, len(found) - 1)]
    ends = (after == delimiter) | (after == _NEWLINE) | (after == _RETURN) | (closed == len(found) - 1)
    return bool(ends[-1] and (ends[:-1] | inner).all())


def _has_lone_return(content: bytes) -> bool:
    """Whether a carriage return stands before anything but a newline."""
    found = np.frombuffer(content, np.uint8)
    returns = np.flatnonzero(found == _RETURN)
    return bool(returns[-1] + 1 == len(found) or (found[returns + 1] != _NEWLINE).any())


def _has_no_row(first: Any, form: TableForm) -> bool:
    """Whether a row may be the header once more, or a comment; `first` is the first column."""
    _, content = text_bytes.parts(first)
    if (
        form.header
        and form.header[0].encode() in content.tobytes()
        and pc.any(pc.equal(pc.utf8_trim_whitespace(first), form.header[0])).as_py()
    ):
        return True
    return form.comment_rows and bool(pc.any(matches(first, _MARK, begins=_MARK_STARTS)).as_py())
