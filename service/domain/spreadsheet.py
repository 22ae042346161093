"""Cells of CSV files that a spreadsheet program would compute instead of show."""

import re
from typing import Any

# A program that opens the file takes a text that begins so for a formula, which may read other cells and start programs.
_ACTIVE = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
# Header of an answer in which texts have an apostrophe where a spreadsheet would compute them.
HEADERS = {"X-Spreadsheet-Safe": "true"}
RAW = (
    "true: texts of CSV as they are. Otherwise one that a spreadsheet would compute (it begins with = + - @, a tab or a carriage return, "
    "and is no number) has an apostrophe before it, and the header X-Spreadsheet-Safe says so."
)


def shown(value: Any) -> Any:
    """The value as a cell that is shown as it stands: such a text has an apostrophe before it; numbers stay as they are."""
    if isinstance(value, str) and value.startswith(_ACTIVE) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def meant(text: str) -> str:
    """The text of such a cell: without the apostrophe that `shown` puts before it."""
    plain = text.removeprefix("'")
    return plain if shown(plain) == text else text
