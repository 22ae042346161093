"""The usual lines of a text table, read many at once: no quotes, as many values as the header has names, no comments."""

import re
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from service.ingest.readers.table_form import TableForm
from service.ingest.readers.text_rows import SPACES

_FEWEST_COLUMNS = 2  # a line of one value may be blank
_MARK = re.compile(r"^(#|%|//)", re.MULTILINE)


def takes(form: TableForm) -> bool:
    """Whether tables of this form have lines that can be read at once."""
    return (
        form.width == len(form.names) >= _FEWEST_COLUMNS
        and not form.trailing
        and not form.stray_quotes
        and not form.backslash
        and form.delimiter != SPACES
        and form.delimiter.isascii()
    )


def columns_of(lines: Iterable[str], form: TableForm) -> list[Any] | None:
    """The columns of whole lines, as texts; None where a line may be anything but a plain row, of which a careful reader tells."""
    text = "".join(lines)
    if _is_odd(text, form):
        return None
    try:
        content = text.encode()
    except UnicodeEncodeError:
        return None
    names = [str(place) for place in range(form.width)]
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(content),
            read_options=pa_csv.ReadOptions(use_threads=False, block_size=len(content) + 1, column_names=names),
            parse_options=pa_csv.ParseOptions(
                delimiter=form.delimiter, quote_char=False, double_quote=False, ignore_empty_lines=False
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, null_values=[]
            ),
        )
    except pa.ArrowInvalid:
        return None
    first = table.column(0)
    if pc.any(pc.equal(first, form.header[0])).as_py():
        return None
    return [column.combine_chunks() if column.num_chunks != 1 else column.chunk(0) for column in table.columns]


def _is_odd(text: str, form: TableForm) -> bool:
    """Whether some line may be more or less than values between delimiters."""
    if form.quote in text or "\0" in text:
        return True
    if form.dialect["skipinitialspace"] and (f"{form.delimiter} " in text or "\n " in text or text.startswith(" ")):
        return True
    if text.count("\r") != text.count("\r\n"):
        return True
    if "\n\n" in text or "\n\r" in text or text.startswith(("\n", "\r")):
        return True
    return form.comment_rows and _MARK.search(text) is not None
