"""Form of a text table, decided from its beginning: delimiter, quoting, header, and lines that are no rows."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from service.domain.dataset import ClientWarning
from service.ingest.faults import invalid, listed
from service.ingest.readers.text_rows import SPACES, Dialect, doubled_quotes, split_at_spaces

SAMPLE = 1 << 20  # characters
_SAMPLE_ROWS = 100
_STRICT_ROWS = 5_000  # quotes within quotes are rare
DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar", SPACES: "spaces"}
_CANDIDATES = ",\t;|"
_AGREE = 0.8
_NEARLY_ALL = 0.95
_SEP = re.compile(r'"?sep=([^"\r\n])"?[ ,;\t]*(\r\n|\r|\n)', re.IGNORECASE)
_MARKS = ("//", "#", "%")
_ERRORS = re.compile(r"#(n/a|div/0!|ref!|value!|name\?|null!|num!|spill!|calc!)", re.IGNORECASE)  # Excel's, in a cell
_RULE = re.compile(r"[+|]?:?[-=]+:?([+|]:?[-=]+:?)*[+|]?")
_LONGEST_PREAMBLE = 30
_DECIMAL_COMMA = re.compile(r",(?=\d+$)")
_FEW_ROWS = 2
_SINGLE_QUOTED = "'(?:[^']++|'')*+'"
_BLANK = " \t\r\n\x1a"


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
class TableForm:
    """How to read a text table. Its rows begin after line `start`, and each has `width` fields.

    `trailing` of these stand empty at the end of every row, and the header does not name them. Lines that begin with one of
    `comments` are no rows where their width differs, or with `comment_rows` whatever their width.
    """

    delimiter: str
    dialect: Dialect
    backslash: bool
    names: tuple[str, ...]
    header: tuple[str, ...]
    start: int
    width: int
    trailing: int = 0
    comments: tuple[str, ...] = ()
    comment_rows: bool = False
    comments_before: tuple[int, ...] = ()  # lines of the comments before the header
    stray_quotes: bool = False
    warnings: tuple[ClientWarning, ...] = field(default=())

    @property
    def quote(self) -> str:
        """The mark around values."""
        return str(self.dialect.get("quotechar", '"'))

    @property
    def said(self) -> str:
        """The form in words."""
        delimiter = DELIMITERS.get(self.delimiter, repr(self.delimiter))
        return f"csv, delimiter {delimiter}" + (", quotes after backslashes" if self.backslash else "")


def form_of(sample: str, name: str = "") -> TableForm:
    """The form of a table that begins with this text. Raises `Invalid` where there is no header of two names."""
    declared = _SEP.match(sample)
    delimiter = declared[1] if declared else delimiter_of(sample, name)
    dialect = _dialect(sample, delimiter) | _single_quotes(sample, delimiter)
    backslash = delimiter != SPACES and '\\"' in sample and _is_backslashed(sample, dialect)
    rows = _sample_rows(sample, dialect, backslash=backslash)[1 if declared else 0 :]
    ruled = [row for row in rows if _is_rule(row.fields)]
    rows = [row for row in rows if row not in ruled]
    if not rows:
        raise invalid("the file is empty: a header line and at least two rows are needed", "line 1")
    comments, comment_rows = _comments(rows)
    plain = [row for row in rows if not row.fields[0].startswith(comments or ("\0",))]
    data_width = _mode([len(row.fields) for row in plain[1:] or plain or rows])
    header, warnings = _header(rows, plain, comments, data_width)
    after = [row.fields for row in plain if row.line > header.line]
    written = tuple(name.strip() for name in header.fields)
    names, width, trailing, row_names = _layout(written, after, data_width)
    warnings += row_names
    names, repeated = _distinct([name or f"unnamed_{place}" for place, name in enumerate(names)])
    if len(names) < _FEW_ROWS:
        raise invalid(
            f"only one column, {names[0]!r}; a label and something to learn from are needed, "
            "separated by comma, semicolon, tab, | or spaces",
            f"line {header.line}",
        )
    return TableForm(
        delimiter=delimiter,
        dialect=dialect,
        backslash=backslash,
        names=tuple(names),
        header=written,
        start=next((row.last for row in ruled if row.line == header.last + 1), header.last),
        width=width,
        trailing=trailing,
        comments=comments,
        comment_rows=comment_rows,
        comments_before=tuple(row.line for row in rows if row.line < header.line and row not in plain),
        stray_quotes=delimiter != SPACES and _strict_fits(sample, dialect, backslash=backslash)[1],
        warnings=(*warnings, *repeated, *_doubts(names)),
    )


def delimiter_of(sample: str, name: str = "") -> str:
    """The delimiter by which most lines of the sample have as many fields as each other, and the first as many as these."""
    best, best_score = ",", (0.0, False, 0)
    for delimiter in _CANDIDATES:
        widths = _widths(sample, delimiter)
        width = _mode(widths[1:] or widths) if widths else 0
        if width < 2:
            continue
        agreement = widths.count(width) / len(widths)
        if delimiter == "\t" and name.lower().endswith((".tsv", ".tab")):
            return delimiter
        headed = widths[0] == width or (len(widths) > _FEW_ROWS and 2 <= widths[0] == width - 1)
        score = (round(agreement, 1) if agreement >= _AGREE else agreement / 2, headed, width)
        if score[:2] > best_score[:2] or (score[:2] == best_score[:2] and width > best_score[2]):
            best, best_score = delimiter, score
    sure = best_score[0] >= _AGREE and best_score[1]
    return SPACES if not sure and _is_aligned(sample) else best


def looks_delimited(sample: str) -> bool:
    """Whether text of unknown name is a table: two lines at least, one delimiter that nearly all of them share."""
    if _SEP.match(sample):
        return True
    widths = Counter(_widths(sample, delimiter_of(sample)))
    width, count = max(widths.items(), key=lambda item: item[1], default=(0, 0))
    return width >= 2 and count >= 2 and count >= _AGREE * widths.total()


def _is_aligned(sample: str) -> bool:
    """Whether lines are values between runs of spaces: as many in each, and numbers in some column."""
    rows = [row.fields for row in _sample_rows(sample, {"delimiter": SPACES}) if not _is_marked(row.fields)]
    widths = [len(row) for row in rows]
    width = _mode(widths[1:]) if len(rows) > _FEW_ROWS else 0
    if width < 2 or widths[0] not in (width, width - 1):
        return False
    fitting = [row for row in rows[1:] if len(row) == width]
    numeric = any(_mostly_numbers([row[place] for row in fitting]) for place in range(width))
    return numeric and len(fitting) >= _NEARLY_ALL * (len(rows) - 1)


def _widths(sample: str, delimiter: str) -> list[int]:
    rows = [row.fields for row in _sample_rows(sample, _dialect(sample, delimiter))]
    if rows and _SEP.match(sample):
        rows = rows[1:]
    rows = [row for row in rows if not _is_rule(row)] or rows
    return [len(row) for row in rows if not _is_marked(row)] or [len(row) for row in rows]


def _dialect(sample: str, delimiter: str) -> Dialect:
    return {"delimiter": delimiter, "skipinitialspace": f'{delimiter} "' in sample}


def _single_quotes(sample: str, delimiter: str) -> Dialect:
    """The single quote, where it makes more rows as wide as the header or is around all values of a column; no double one may quote."""
    if "'" not in sample or delimiter == SPACES or _has_double_quotes(sample, delimiter):
        return {}
    dialect, own = _dialect(sample, delimiter), {"quotechar": "'", "skipinitialspace": f"{delimiter} '" in sample}
    plain, quoted = ([row.fields for row in _sample_rows(sample, one)] for one in (dialect, dialect | own))
    fitting, fitting_quoted = (sum(len(row) == len(rows[0]) for row in rows) for rows in (plain, quoted))
    if fitting_quoted > fitting:
        return own
    if not _has_single_quoted_column(plain):
        return {}
    whole = sample if len(sample) < SAMPLE else sample[: sample.rfind("\n") + 1]
    fitting_quoted, is_broken = _strict_fits(whole, dialect | own, backslash=False)
    return own if not is_broken and fitting_quoted >= _strict_fits(whole, dialect, backslash=False)[0] else {}


def _has_double_quotes(sample: str, delimiter: str) -> bool:
    """Whether a double quote begins a value; those within values in single quotes do not."""
    begins = re.finditer(rf"""(?:^|{re.escape(delimiter)}) *(?:(")|{_SINGLE_QUOTED})""", sample, re.MULTILINE)
    return any(one[1] for one in begins)


def _has_single_quoted_column(rows: Sequence[list[str]]) -> bool:
    """Whether all values of a column, the empty ones aside, begin and end with single quotes, and those within are doubled."""
    width = _mode([len(row) for row in rows])
    header, *others = [row for row in rows if len(row) == width and not _is_marked(row) and not _is_rule(row)] or [[]]
    columns = zip(*(row for row in others if row != header), strict=True)
    filled = ([value.lstrip(" ") for value in column if value.strip()] for column in columns)
    return any(len(cells) > _FEW_ROWS and all(re.fullmatch(_SINGLE_QUOTED, cell) for cell in cells) for cells in filled)


def _sample_rows(sample: str, dialect: Dialect, *, backslash: bool = False) -> list[SampleRow]:
    """The first rows that are not blank; the last is left out where the sample may have cut it."""
    found: list[SampleRow] = []
    lines: Iterable[str] = io.StringIO(sample, newline="")
    if dialect["delimiter"] == SPACES:
        cut = enumerate((split_at_spaces(line) for line in lines), start=1)
        found = [SampleRow(fields, line, line) for line, fields in islice(cut, 4 * _SAMPLE_ROWS) if fields]
    else:
        reader = csv.reader(doubled_quotes(lines) if backslash else lines, **dialect)
        with suppress(csv.Error):
            before = 0
            for fields in reader:
                if len(fields) > 1 or "".join(fields).strip(_BLANK):
                    found.append(SampleRow(fields, before + 1, reader.line_num))
                before = reader.line_num
                if len(found) > _SAMPLE_ROWS:
                    break
    cut_short = len(sample) == SAMPLE and 1 < len(found) <= _SAMPLE_ROWS
    return found[:-1] if cut_short else found[:_SAMPLE_ROWS]


def _strict_fits(sample: str, dialect: Dialect, *, backslash: bool) -> tuple[int, bool]:
    """How many rows have the usual width before a quote that is not doubled, and whether there is one."""
    lines: Iterable[str] = io.StringIO(sample, newline="")
    widths: list[int] = []
    broken = False
    try:
        reader = csv.reader(doubled_quotes(lines) if backslash else lines, strict=True, **dialect)
        widths.extend(len(row) for row in islice(reader, _STRICT_ROWS) if row)
    except csv.Error:
        broken = len(sample) < SAMPLE
    return (widths.count(_mode(widths)) if widths else 0), broken


def _is_backslashed(sample: str, dialect: Dialect) -> bool:
    """Whether more rows are whole when a quote after a backslash does not end a value."""
    return _strict_fits(sample, dialect, backslash=True)[0] > _strict_fits(sample, dialect, backslash=False)[0]


def _is_rule(fields: Sequence[str]) -> bool:
    """Whether a line is a line of dashes, as consoles, databases and Markdown draw between the header and the rows."""
    filled = [one.strip() for one in fields if one.strip()]
    return any(len(one) > _FEW_ROWS for one in filled) and all(map(_RULE.fullmatch, filled))


def _is_marked(fields: Sequence[str]) -> bool:
    return fields[0].startswith(_MARKS) and not _ERRORS.match(fields[0])


def is_comment(fields: Sequence[str], form: TableForm) -> bool:
    """Whether a line is no row but a comment."""
    if not form.comments or not fields[0].startswith(form.comments) or _ERRORS.match(fields[0]):
        return False
    return form.comment_rows or len(fields) != form.width


def _comments(rows: Sequence[SampleRow]) -> tuple[tuple[str, ...], bool]:
    """The marks of comments, and whether one of a row's width is a comment too.

    A mark that begins rows among others of text, as hashtags do, is none.
    """
    plain = [row.fields for row in rows if not _is_marked(row.fields)]
    if len(plain) < _FEW_ROWS:
        return (), False
    width, first = (
        _mode([len(fields) for fields in plain[1:]]),
        next(row.line for row in rows if row.fields is plain[0]),
    )
    if all(_is_number(fields[0]) for fields in plain[1:]):
        return _MARKS, True
    marked = [row.fields for row in rows if row.line > first and _is_marked(row.fields) and len(row.fields) == width]
    return tuple(mark for mark in _MARKS if not any(fields[0].startswith(mark) for fields in marked)), False


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
    if fitting < _AGREE * len(plain[place:]) or width < 2:
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
    numeric = [name for name, column in zip(first, columns, strict=True) if _mostly_numbers(column)]
    return not any(_is_number(name) for name in numeric) and (bool(numeric) or not surely)


def _layout(
    header: tuple[str, ...], rows: Sequence[list[str]], width: int
) -> tuple[list[str], int, int, list[ClientWarning]]:
    """Names, width and trailing fields of rows that may have more or fewer fields than the header."""
    more = width - len(header)
    if more < 0 and not any(header[width:]) and width >= 2:
        return list(header[:width]), width, 0, []
    if more <= 0 or not rows or sum(len(row) == width for row in rows) < _AGREE * len(rows):
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


def distinct_names(names: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Names of columns, a repeated one with .1, .2 … behind it as pandas does, and the new names of each repeated one."""
    taken, renamed = set(names), dict[str, list[str]]()
    counts: Counter[str] = Counter()
    found = []
    for name in names:
        own = name
        while counts[name] and own in taken:
            own = f"{name}.{counts[name]}"
            counts[name] += own in taken
        if own != name:
            renamed.setdefault(name, []).append(own)
        counts[name] = counts[name] or 1
        taken.add(own)
        found.append(own)
    return found, renamed


def repeated_columns(renamed: dict[str, list[str]]) -> tuple[ClientWarning, ...]:
    """The warning about columns of one name."""
    if not renamed:
        return ()
    each = listed([f"{name!r} (now also {', '.join(map(repr, others))})" for name, others in renamed.items()])
    detail = f"more than one column is called so: {each}; give each column a name of its own"
    return (ClientWarning(code="repeated_columns", detail=detail),)


def _distinct(names: Sequence[str]) -> tuple[list[str], tuple[ClientWarning, ...]]:
    found, renamed = distinct_names(names)
    return found, repeated_columns(renamed)


def _doubts(names: Sequence[str]) -> Iterator[ClientWarning]:
    if all(_is_number(name) for name in names):
        yield ClientWarning(
            code="header_looks_like_data",
            detail="every name in the first line is a number; it was read as the header, so check that one is there",
        )


def _mostly_numbers(values: Sequence[str]) -> bool:
    present = [value for value in values if value.strip()]
    return bool(present) and sum(map(_is_number, present)) >= _AGREE * len(present)


def _is_number(text: str) -> bool:
    try:
        float(_DECIMAL_COMMA.sub(".", text))
    except ValueError:
        return False
    return True


def _mode(widths: Sequence[int]) -> int:
    """The most frequent width."""
    return Counter(widths).most_common(1)[0][0]
