"""Top of a text table: the header, where there is one, and the lines above the rows."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service.domain.dataset import ClientWarning
from service.ingest.faults import listed
from service.ingest.readers.column_names import numbered_columns

_LONGEST_PREAMBLE = 30
_DECIMAL_COMMA = re.compile(r",(?=\d+$)")
AGREE = 0.8  # share of rows that have to be alike


@dataclass(frozen=True)
class SampleRow:
    """A row and the lines that it takes, from `line` to `last`."""

    fields: list[str]
    line: int
    last: int

    @property
    def filled(self) -> int:
        """How many fields are not blank."""
        return sum(bool(one.strip()) for one in self.fields)


@dataclass(frozen=True)
class TableTop:
    """The top of a table, lines `line` to `last`, after which its rows begin; `header` has the names as they are written."""

    line: int
    last: int
    header: tuple[str, ...]
    names: list[str]
    width: int
    trailing: int = 0
    warnings: tuple[ClientWarning, ...] = ()


def no_header(rows: Sequence[SampleRow]) -> TableTop:
    """The top of a table whose first row is a sample: what lies above that row."""
    first, width = rows[0], mode([len(row.fields) for row in rows])
    return TableTop(first.line, first.line - 1, (), numbered_columns(width), width)


def table_top(rows: Sequence[SampleRow], plain: Sequence[SampleRow], comments: tuple[str, ...]) -> TableTop:
    """The header and what lies above it."""
    data_width = mode([len(row.fields) for row in plain[1:] or plain or rows])
    header, warnings = _header(rows, plain, comments, data_width)
    after = [row.fields for row in plain if row.line > header.line]
    written = tuple(name.strip() for name in header.fields)
    names, width, trailing, row_names = _layout(written, after, data_width)
    return TableTop(header.line, header.last, written, names, width, trailing, (*warnings, *row_names))


def _header(
    rows: Sequence[SampleRow], plain: Sequence[SampleRow], comments: tuple[str, ...], width: int
) -> tuple[SampleRow, list[ClientWarning]]:
    """The row that names the columns, and what is said of the lines before it."""
    if not plain:
        return rows[0], []
    before = [row for row in rows if row.line < plain[0].line]
    if before and len(before[-1].fields) == width and not _names_columns(plain, 0):
        first, *others = before[-1].fields
        mark = next((one for one in comments if first.startswith(f"{one} ")), "")
        return SampleRow([first.removeprefix(mark), *others], before[-1].line, before[-1].last), []
    place = next((place for place, row in enumerate(plain) if len(row.fields) == width and row.filled > 1), 0)
    unnamed = place == 1 and 2 <= len(plain[0].fields) == width - 1 and plain[0].filled == width - 1
    if not place or place > _LONGEST_PREAMBLE or not _names_columns(plain, place, surely=unnamed):
        return plain[0], []
    fitting = sum(len(row.fields) == width for row in plain[place:])
    if fitting < AGREE * len(plain[place:]) or width < 2:
        return plain[0], []
    said = listed([" ".join(filter(None, row.fields))[:60] for row in plain[:place]])
    detail = f"the header was found in line {plain[place].line}; the {place} lines before it were left out: {said}"
    return plain[place], [ClientWarning(code="lines_before_header", detail=detail)]


def _names_columns(rows: Sequence[SampleRow], place: int, *, surely: bool = False) -> bool:
    """Whether a row names the columns of those after it: no value of theirs, and no number above numbers.

    With `surely` a column of numbers must be there.
    """
    first, rest = (
        rows[place].fields,
        [row.fields for row in rows[place + 1 :] if len(row.fields) >= len(rows[place].fields)],
    )
    if not rest or any(not name.strip() for name in first[1:]):
        return False
    columns = [[fields[position] for fields in rest] for position in range(len(first))]
    if any(name in column for name, column in zip(first, columns, strict=True)):
        return False
    numeric = [name for name, column in zip(first, columns, strict=True) if mostly_numbers(column)]
    return not any(is_number(name) for name in numeric) and (bool(numeric) or not surely)


def _layout(
    header: tuple[str, ...], rows: Sequence[list[str]], width: int
) -> tuple[list[str], int, int, list[ClientWarning]]:
    """Names, width and trailing fields of rows that may have more or fewer fields than the header."""
    more = width - len(header)
    if more < 0 and not any(header[width:]) and width >= 2:
        return list(header[:width]), width, 0, []
    if more <= 0 or not rows or sum(len(row) == width for row in rows) < AGREE * len(rows):
        return list(header), len(header), 0, []
    if not any(field_.strip() for row in rows if len(row) == width for field_ in row[len(header) :]):
        detail = f"rows end with {more} more delimiters than the header; the empty values after them were left out"
        return list(header), width, more, [ClientWarning(code="trailing_delimiters", detail=detail)]
    if more == 1:
        detail = (
            "the header has one name fewer than the rows have values, as R writes it: the first column was read as names of "
            "rows and called 'rownames'; give every column a name if that is wrong"
        )
        return ["rownames", *header], width, 0, [ClientWarning(code="row_names", detail=detail)]
    return list(header), len(header), 0, []


def header_doubts(names: Sequence[str]) -> Iterator[ClientWarning]:
    """A warning where the names of the columns are numbers alone."""
    if all(is_number(name) for name in names):
        yield ClientWarning(
            code="header_looks_like_data",
            detail="every name in the first line is a number; it was read as the header; where it is a sample, set spec.header to false",
        )


def mostly_numbers(values: Sequence[str]) -> bool:
    """Whether four fifths of the values that are there are numbers."""
    present = [value for value in values if value.strip()]
    return bool(present) and sum(map(is_number, present)) >= AGREE * len(present)


def is_number(text: str) -> bool:
    """Whether a text is a number, with a decimal point or comma."""
    if "_" in text:  # which Python reads within a number
        return False
    try:
        float(_DECIMAL_COMMA.sub(".", text))
    except ValueError:
        return False
    return True


def mode(widths: Sequence[int]) -> int:
    """The most frequent width."""
    return Counter(widths).most_common(1)[0][0]
