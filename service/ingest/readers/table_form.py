"""Form of a text table, decided from its beginning: delimiter, quoting, header, and lines that are no rows."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from service.domain.dataset import ClientWarning
from service.ingest.faults import invalid
from service.ingest.readers.column_names import distinct_names, repeated_columns
from service.ingest.readers.table_top import (
    AGREE,
    SampleRow,
    header_doubts,
    is_number,
    mode,
    mostly_numbers,
    no_header,
    table_top,
)
from service.ingest.readers.text_rows import SPACES, Dialect, doubled_quotes, split_at_spaces

SAMPLE = 1 << 20  # characters
_SAMPLE_ROWS = 100
_STRICT_ROWS = 5_000  # quotes within quotes are rare
DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar", SPACES: "spaces"}
_CANDIDATES = ",\t;|"
_NEARLY_ALL = 0.95
_SEP = re.compile(r'"?sep=([^"\r\n])"?[ ,;\t]*(\r\n|\r|\n)', re.IGNORECASE)
_MARKS = ("//", "#", "%")
_ERRORS = re.compile(r"#(n/a|div/0!|ref!|value!|name\?|null!|num!|spill!|calc!)", re.IGNORECASE)  # Excel's, in a cell
_DECIMAL = re.compile(r" *+[-+]?[\d.]*+,\d++ *+%? *+")  # with a comma, as 0,5 or 1.234,5
_RULE = re.compile(r"[+|]?:?[-=]+:?([+|]:?[-=]+:?)*[+|]?")
_FEW_ROWS = 2
_SINGLE_QUOTED = "'(?:[^']++|'')*+'"
_BLANK = " \t\r\n\x1a"


@dataclass(frozen=True)
class TableForm:
    """How to read a text table. Its rows begin after line `start`, and each has `width` fields.

    `header` has the names as they are written; it is empty where the table has none. `trailing` of the fields stand empty at the
    end of every row, and the header does not name them. Lines that begin with one of `comments` are no rows where their width
    differs, or with `comment_rows` whatever their width.
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

    def unexpected(self, fields: int) -> str:
        """Why a row with this number of fields is not read, and how to mend it."""
        named = self.width - self.trailing
        expected = f"the header has {named}" if self.header else f"most rows have {named}"
        if fields <= named or self.delimiter == SPACES:
            return f"{fields} fields, {expected}"
        delimiter = DELIMITERS.get(self.delimiter, repr(self.delimiter))
        return f"{fields} fields, {expected}; write {self.quote} around a value that has a {delimiter} in it"

    @property
    def said(self) -> str:
        """The form in words."""
        delimiter = DELIMITERS.get(self.delimiter, repr(self.delimiter))
        quotes = ", quotes after backslashes" if self.backslash else ""
        return f"csv, delimiter {delimiter}{quotes}{'' if self.header else ', no header'}"


def form_of(sample: str, name: str = "", *, headed: bool | None = None) -> TableForm:
    """The form of a table that begins with this text.

    `headed` says whether it has a header; None is that nobody said so, and it is read as if it had one. Raises `Invalid` for
    fewer than two columns.
    """
    declared = _SEP.match(sample)
    delimiter = declared[1] if declared else delimiter_of(sample, name)
    dialect = _dialect(sample, delimiter) | _single_quotes(sample, delimiter)
    backslash = delimiter != SPACES and '\\"' in sample and _is_backslashed(sample, dialect)
    rows = _sample_rows(sample, dialect, backslash=backslash)[1 if declared else 0 :]
    ruled = [row for row in rows if _is_rule(row.fields)]
    rows = [row for row in rows if row not in ruled]
    if not rows:
        needed = "at least two rows" if headed is False else "a header line and at least two rows"
        raise invalid(f"the file is empty: {needed} are needed", "line 1")
    comments, comment_rows = _comments(rows, headed=headed is not False)
    plain = [row for row in rows if not row.fields[0].startswith(comments or ("\0",))]
    top = no_header(plain or rows) if headed is False else table_top(rows, plain, comments)
    names, renamed = distinct_names([name or f"unnamed_{place}" for place, name in enumerate(top.names)])
    if len(names) < _FEW_ROWS:
        raise invalid(
            f"only one column, {names[0]!r}; a label and something to learn from are needed, "
            "separated by comma, semicolon, tab, | or spaces",
            f"line {top.line}",
        )
    return TableForm(
        delimiter=delimiter,
        dialect=dialect,
        backslash=backslash,
        names=tuple(names),
        header=top.header,
        start=next((row.last for row in ruled if row.line == top.last + 1), top.last),
        width=top.width,
        trailing=top.trailing,
        comments=comments,
        comment_rows=comment_rows,
        comments_before=tuple(row.line for row in rows if row.line < top.line and row not in plain),
        stray_quotes=delimiter != SPACES and _strict_fits(sample, dialect, backslash=backslash)[1],
        warnings=(*top.warnings, *repeated_columns(renamed), *(header_doubts(names) if headed is None else ())),
    )


def delimiter_of(sample: str, name: str = "") -> str:
    """The delimiter by which most lines of the sample have as many fields as each other, and the first as many as these.

    Of two it is the one that leaves commas within numbers alone, and else the one that makes more fields.
    """
    best, best_score = ",", (0.0, False, False, 0)
    for delimiter in _CANDIDATES:
        rows = _plain_rows(sample, delimiter)
        widths = [len(row) for row in rows]
        width = mode(widths[1:] or widths) if widths else 0
        if width < 2:
            continue
        agreement = widths.count(width) / len(widths)
        if delimiter == "\t" and name.lower().endswith((".tsv", ".tab")):
            return delimiter
        headed = widths[0] == width or (len(widths) > _FEW_ROWS and 2 <= widths[0] == width - 1)
        agreed = round(agreement, 1) if agreement >= AGREE else agreement / 2
        score = (agreed, headed, _has_decimal_commas(rows), width)
        if score > best_score:
            best, best_score = delimiter, score
    sure = best_score[0] >= AGREE and best_score[1] and not _is_decimal_comma(sample, best)
    return SPACES if not sure and _is_aligned(sample) else best


def looks_delimited(sample: str) -> bool:
    """Whether text of unknown name is a table: two lines at least, one delimiter that nearly all of them share."""
    if _SEP.match(sample):
        return True
    widths = Counter(map(len, _plain_rows(sample, delimiter_of(sample))))
    width, count = max(widths.items(), key=lambda item: item[1], default=(0, 0))
    return width >= 2 and count >= 2 and count >= AGREE * widths.total()


def _is_aligned(sample: str) -> bool:
    """Whether lines are values between runs of spaces: as many in each, and numbers in some column."""
    rows = [row.fields for row in _sample_rows(sample, {"delimiter": SPACES}) if not _is_marked(row.fields)]
    widths = [len(row) for row in rows]
    width = mode(widths[1:]) if len(rows) > _FEW_ROWS else 0
    if width < 2 or widths[0] not in (width, width - 1):
        return False
    fitting = [row for row in rows[1:] if len(row) == width]
    numeric = any(mostly_numbers([row[place] for row in fitting]) for place in range(width))
    return numeric and len(fitting) >= _NEARLY_ALL * (len(rows) - 1)


def _plain_rows(sample: str, delimiter: str) -> list[list[str]]:
    """The first rows by this delimiter, without rules and comments where something else is left."""
    rows = [row.fields for row in _sample_rows(sample, _dialect(sample, delimiter))]
    if rows and _SEP.match(sample):
        rows = rows[1:]
    rows = [row for row in rows if not _is_rule(row)] or rows
    return [row for row in rows if not _is_marked(row)] or rows


def _is_decimal_comma(sample: str, delimiter: str) -> bool:
    """Whether the comma separates nothing but the decimals of numbers between spaces."""
    return delimiter == "," and _has_decimal_commas([row.fields for row in _sample_rows(sample, {"delimiter": SPACES})])


def _has_decimal_commas(rows: Sequence[list[str]]) -> bool:
    """Whether there are commas in values, and all of them in numbers."""
    with_commas = [value for row in rows for value in row if "," in value]
    return bool(with_commas) and all(map(_DECIMAL.fullmatch, with_commas))


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
    width = mode([len(row) for row in rows])
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
    return (widths.count(mode(widths)) if widths else 0), broken


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


def _comments(rows: Sequence[SampleRow], *, headed: bool) -> tuple[tuple[str, ...], bool]:
    """The marks of comments, and whether one of a row's width is a comment too.

    A mark that begins rows among others of text, as hashtags do, is none. Where the table is `headed`, the first plain row is no sample.
    """
    plain = [row.fields for row in rows if not _is_marked(row.fields)]
    if len(plain) < _FEW_ROWS:
        return (), False
    samples = plain[1:] if headed else plain
    width = mode([len(fields) for fields in samples])
    first = next(row.line for row in rows if row.fields is plain[0]) if headed else 0
    if all(is_number(fields[0]) for fields in samples):
        return _MARKS, True
    marked = [row.fields for row in rows if row.line > first and _is_marked(row.fields) and len(row.fields) == width]
    return tuple(mark for mark in _MARKS if not any(fields[0].startswith(mark) for fields in marked)), False
