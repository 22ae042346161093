"""Rows of a text table from its lines: values between delimiters, in quotes, or between runs of spaces."""

import csv
import re
from bisect import bisect
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NoReturn

from service.ingest.faults import malformed

# For the whole process: the library's 128 KiB is less than a long document or a written-out embedding.
_LONGEST_FIELD = 16 * 2**20
csv.field_size_limit(_LONGEST_FIELD)

Dialect = dict[str, Any]
# Rows, the line of each, and which of them hold a quote that is not doubled within quotes.
Chunk = tuple[list[list[str]], list[int] | range, frozenset[int]]

SPACES = " "  # as a delimiter: any run of spaces and tabs
CHUNK = 256
_BETWEEN_SPACES = re.compile(r'"((?:[^"\\]|\\.|"")*)"(?=\s|$)|\S+')
_ESCAPED_QUOTE = re.compile(r'(?<!\\)(\\++)"')
_LINE_END = re.compile(r"\r\n|\r|\n")


class StrayQuote(Exception):
    """A quote that is not doubled, in a value in quotes. The row begins at `line`."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


def plain_chunks(lines: Iterable[str], dialect: Dialect, line: int) -> Iterator[Chunk]:
    """Rows of lines of which the first is number `line`. Raises `StrayQuote`, and `Malformed` for a quote that stays open."""
    reader = csv.reader(lines, strict=True, **dialect)
    while True:
        rows: list[list[str]] = []
        before = reader.line_num
        try:
            rows.extend(islice(reader, CHUNK))
        except csv.Error as error:
            places = _lines_of(rows, line)
            if rows:
                yield rows, places, frozenset()
            at = line + sum(map(_height, rows))
            if _is_stray(error, dialect):
                raise StrayQuote(at) from error
            _never_closed(at, error)
        if not rows:
            return
        taken = reader.line_num - before
        yield rows, range(line, line + taken) if taken == len(rows) else _lines_of(rows, line), frozenset()
        line += taken


def careful_chunks(lines: Iterable[str], dialect: Dialect, line: int) -> Iterator[Chunk]:
    """As `plain_chunks`, one row at a time. A quote that is not doubled ends a value only before a delimiter or the line's end."""
    rows: list[list[str]] = []
    places: list[int] = []
    stray: set[int] = set()
    for row, held, is_stray in careful_rows(lines, dialect, line):
        if is_stray:
            stray.add(len(rows))
        rows.append(row)
        places.append(line)
        line += len(held)
        if len(rows) == CHUNK:
            yield rows, places, frozenset(stray)
            rows, places, stray = [], [], set()
    yield rows, places, frozenset(stray)


def careful_rows(
    lines: Iterable[str], dialect: Dialect, line: int, seen: Callable[[str], str] = str
) -> Iterator[tuple[list[str], list[str], bool]]:
    """Each row with the lines that it takes, and whether it holds a quote that is not doubled within quotes.

    Of each line `seen` is read.
    """
    source = _Lines(lines, seen)
    reader = csv.reader(source, strict=True, **dialect)
    quote = dialect.get("quotechar", '"')
    while True:
        source.held.clear()
        is_stray = False
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if not _is_stray(error, dialect):
                _never_closed(line, error)
            source.take_back()
            row, is_stray = split_leniently(seen(source.held[0]), dialect["delimiter"], quote), True
        line += len(source.held)
        yield row, list(source.held), is_stray


def spaced_chunks(lines: Iterable[str], line: int) -> Iterator[Chunk]:
    """Rows whose values stand between runs of spaces."""
    source = iter(lines)
    while rows := [split_at_spaces(text) for text in islice(source, CHUNK)]:
        yield rows, range(line, line + len(rows)), frozenset()
        line += len(rows)


def split_at_spaces(line: str) -> list[str]:
    """Values of a line between runs of spaces; one in quotes may hold spaces, and quotes after a backslash or doubled."""
    found = _BETWEEN_SPACES.finditer(line)
    return [one[0] if one[1] is None else one[1].replace('\\"', '"').replace('""', '"') for one in found]


def spans_between_spaces(line: str) -> list[tuple[int, int]]:
    """Where these values stand in the line, their quotes included."""
    return [one.span() for one in _BETWEEN_SPACES.finditer(line)]


def split_leniently(line: str, delimiter: str, quote: str) -> list[str]:
    """Values of a line in which a quote closes a value only before a delimiter or the end, and stands for itself elsewhere."""
    line = line.rstrip("\r\n")
    cells = (line[start:stop] for start, stop in lenient_spans(line, delimiter, quote))
    return [_unquoted(cell, quote) for cell in cells]


def lenient_spans(line: str, delimiter: str, quote: str) -> list[tuple[int, int]]:
    """Where these values stand in the line, their quotes and the spaces around them included."""
    closing = [found.start() for found in re.finditer(rf"{quote}(?= *(?:{re.escape(delimiter)}|\Z))", line)]
    spans: list[tuple[int, int]] = []
    place = 0
    while True:
        opened = place
        while line.startswith(" ", opened):
            opened += 1
        after = bisect(closing, opened)
        is_quoted = line.startswith(quote, opened) and after < len(closing)
        end = line.find(delimiter, closing[after] if is_quoted else place)
        if end < 0:
            return [*spans, (place, len(line))]
        spans.append((place, end))
        place = end + 1


def _unquoted(cell: str, quote: str) -> str:
    core = cell.strip(" ")
    is_quoted = len(core) > 1 and core.startswith(quote) and core.endswith(quote)
    return core[1:-1].replace(quote * 2, quote) if is_quoted else cell


def doubled_quotes(lines: Iterable[str]) -> Iterator[str]:
    """Lines with doubled quotes in place of quotes after a backslash."""
    return map(double_quotes, lines)


def double_quotes(line: str) -> str:
    """A line with doubled quotes in place of quotes after a backslash."""
    return _ESCAPED_QUOTE.sub(_doubled, line) if '\\"' in line else line


def _doubled(found: "re.Match[str]") -> str:
    count = len(found[1])
    return "\\" * (count // 2) + ('""' if count % 2 else '"')


class _Lines:
    """Lines of a text; those after the first of the row that is being read can be taken back."""

    def __init__(self, lines: Iterable[str], seen: Callable[[str], str]) -> None:
        self._lines, self._again, self._seen = iter(lines), deque[str](), seen
        self.held: list[str] = []  # of the row that is being read

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self.held.append(line)
        return self._seen(line)

    def take_back(self) -> None:
        """Give the lines after the first once more."""
        self._again.extendleft(reversed(self.held[1:]))
        del self.held[1:]


def _is_stray(error: csv.Error, dialect: Dialect) -> bool:
    """Whether a quote stands for itself: few quote in TSV, and many write quotes, so that there one that stays open does too."""
    return "expected after" in str(error) or dialect["delimiter"] == "\t"


def _never_closed(line: int, error: csv.Error) -> NoReturn:
    if "unexpected end" in str(error):
        raise malformed(f"line {line}: a quoted value is never closed; add the missing quote", f"line {line}")
    raise malformed(f"line {line}: {error}; a quote that is never closed is the usual cause", f"line {line}") from error


def _height(row: list[str]) -> int:
    """How many lines a row takes."""
    return 1 + sum(len(_LINE_END.findall(value)) for value in row if "\n" in value or "\r" in value)


def _lines_of(rows: list[list[str]], line: int) -> list[int]:
    places = []
    for row in rows:
        places.append(line)
        line += _height(row)
    return places
