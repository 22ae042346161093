"""ARFF, the format of Weka and OpenML: a header that names and types the columns, then dense or sparse rows.

scipy reads no texts and no sparse rows of it, liac-arff has had no release since 2021, and both make Python values of the whole
header and rows at once; the rows are values between commas, which take forty lines here.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Literal

import numpy as np
import pyarrow as pa

from service.domain.dataset import ClientWarning, SkippedRow
from service.ingest.encoding import TextEncoding, sample_text, text_encoding
from service.ingest.faults import invalid, listed, malformed
from service.ingest.readers.column_names import distinct_names, repeated_columns
from service.ingest.source import BATCH_BYTES, Batch, RowSource, Upload, batch_rows

_BEGINS = re.compile(r"\ufeff?(?:\s++|%[^\n\r]*+[\n\r])*+@relation\b", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"@attribute\s+('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s{]+)\s*(.*)", re.IGNORECASE)
_VALUE = re.compile(r"\s*(?:'((?:[^'\\]|\\.)*)'\s*(?:,|$)|\"((?:[^\"\\]|\\.)*)\"\s*(?:,|$)|([^,]*)(?:,|$))")
_INDEX = re.compile(r"(\d{1,9})\s+(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)")
_QUOTED = re.compile("['\"\\\\]")
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r"}
_MISSING = "?"
_MOST_UNDECLARED = 1_000
_LONGEST_LINE = 16 * 2**20

Kind = Literal["number", "class", "text"]
_NUMBERS = ("numeric", "real", "integer")


@dataclass(frozen=True)
class Attribute:
    """A column: its name and kind, and its declared values if it is nominal."""

    name: str
    kind: Kind
    values: tuple[str, ...] = ()

    @property
    def zero(self) -> str:
        """The value of a sparse row that leaves it out."""
        return self.values[0] if self.values else "0"


def looks_like_arff(head: bytes) -> bool:
    """Whether a file begins with comments and @relation."""
    return _BEGINS.match(sample_text(head) or "") is not None


def open_arff(upload: Upload) -> RowSource:
    """Read the rows after @data. Raises `Malformed` without @attribute or @data, or for a header that cannot be read."""
    encoding = text_encoding(upload.path)
    attributes, start = _header(upload.path, encoding)
    names, renamed = distinct_names([one.name for one in attributes])
    upload.limits.check_columns(len(names))
    declared = {name: frozenset(one.values) for one, name in zip(attributes, names, strict=True) if one.kind == "class"}
    undeclared: dict[str, dict[str, None]] = {}
    return RowSource(
        format=f"arff, encoding {encoding.name}",
        batches=lambda _media: _counting(
            undeclared, _batches(upload.path, encoding, attributes, names, start), declared
        ),
        columns=tuple(names),
        label=_label(attributes, names),
        warnings=repeated_columns(renamed),
        counted=lambda: tuple(_undeclared(name, list(found)) for name, found in undeclared.items()),
    )


def _counting(
    undeclared: dict[str, dict[str, None]], batches: Iterator[Batch], declared: Mapping[str, frozenset[str]]
) -> Iterator[Batch]:
    """The batches; the values of nominal attributes that the header does not declare are noted as they pass."""
    undeclared.clear()
    for batch in batches:
        for name, known in declared.items():
            held = batch.rows.column(name).unique().drop_null().to_pylist()
            odd = dict.fromkeys(one for one in held if one not in known)
            if odd and len(undeclared.get(name, ())) < _MOST_UNDECLARED:
                undeclared.setdefault(name, {}).update(odd)
        yield batch


def _undeclared(name: str, found: Sequence[str]) -> ClientWarning:
    detail = (
        f"values of {name!r} are none of those that the header declares: {listed(found)}; they were kept. Where they are "
        " misspelt, mend them; else add them to @attribute"
    )
    return ClientWarning(code="undeclared_values", detail=detail)


def _label(attributes: Sequence[Attribute], names: Sequence[str]) -> str | None:
    """The nominal attribute called class, or the last attribute if it is nominal: so Weka has it."""
    nominal = [name for one, name in zip(attributes, names, strict=True) if one.kind == "class"]
    named = [name for name in nominal if name.lower() == "class"]
    last = [name for name in nominal[-1:] if name == names[-1]]
    return next(iter([*named, *last]), None)


def _opened(path: Path, encoding: TextEncoding) -> IO[str]:
    return path.open(encoding=encoding.name, errors="replace")


def _header(path: Path, encoding: TextEncoding) -> tuple[list[Attribute], int]:
    """The attributes, and the number of the line that says @data."""
    found: list[Attribute] = []
    with _opened(path, encoding) as text:
        for number, line in enumerate(iter(lambda: text.readline(_LONGEST_LINE), ""), start=1):
            said = line.strip().lower()
            if said.startswith("@attribute"):
                found.append(_attribute(line.strip(), number))
            elif said.split(" ")[0].startswith("@data"):
                if len(found) < 2:
                    raise invalid(
                        "an ARFF file needs two lines @attribute at least: a label and something to learn from"
                    )
                return found, number
            elif said and not said.startswith(("%", "@relation")):
                raise malformed(
                    f"line {number}: @attribute, @data or a comment with % is expected before the rows",
                    f"line {number}",
                )
    raise malformed("an ARFF file needs a line @data before its rows")


def _attribute(line: str, number: int) -> Attribute:
    where = f"line {number}"
    found = _ATTRIBUTE.match(line)
    if found is None:
        raise malformed(f"{where}: an attribute needs a name and a type", where)
    name, kind = _unquoted(found[1]), found[2].split("%")[0].strip() if "{" not in found[2] else found[2].strip()
    if kind.startswith("{"):
        inside = kind[1 : kind.rindex("}")] if "}" in kind else None
        values = None if inside is None else _values(inside)
        if values is None:
            raise malformed(f"{where}: the values of {name!r} do not end with a brace", where)
        return Attribute(name, "class", tuple(value for value in values if value is not None))
    word = kind.split(" ")[0].lower()
    if word in _NUMBERS:
        return Attribute(name, "number")
    if word in ("string", "date"):
        return Attribute(name, "text")
    raise invalid(f"{where}: {name!r} has the type {kind!r}; read are numeric, nominal, string and date", where)


def _unquoted(text: str) -> str:
    return _unescaped(text[1:-1]) if text[:1] in "'\"" and text[-1:] == text[:1] else text


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: _CONTROLS.get(found[1], found[1]), text) if "\\" in text else text


def _values(line: str) -> list[str | None] | None:
    """Values between commas, None for one that is missing; None for a line that is no such list."""
    if not _QUOTED.search(line):
        return [None if (value := one.strip()) == _MISSING else value for one in line.split(",")]
    values: list[str | None] = []
    place = 0
    while True:
        found = _VALUE.match(line, place)
        if found is None:
            return None
        quoted = found[1] if found[1] is not None else found[2]
        if quoted is None:
            bare = found[3].rstrip()
            values.append(None if bare == _MISSING else _unescaped(bare))
        else:
            values.append(_unescaped(quoted))
        place = found.end()
        if not found[0].endswith(","):
            return values


def _row(line: str, attributes: Sequence[Attribute]) -> list[str | None] | str:
    """The values of a row, or why there are none."""
    if not line.startswith("{"):
        values = _values(line)
        if values is None:
            return "a quote is not closed, or something follows it before the comma"
        if len(values) == len(attributes) + 1:
            values = values[:-1] if (values[-1] or "").startswith("{") else values  # the weight of a row: {0.5}
        return values if len(values) == len(attributes) else f"{len(values)} values, the header has {len(attributes)}"
    row: list[str | None] = [one.zero for one in attributes]
    inside = line[1:].rpartition("}")[0].strip()
    for pair in _pairs(inside) if inside else ():
        found = _INDEX.fullmatch(pair)
        if found is None or int(found[1]) >= len(attributes):
            return f"{pair[:40]!r} is no index below {len(attributes)} with a value"
        value = _values(found[2])
        if value is None or len(value) != 1:
            return f"{pair[:40]!r} is no index with a value"
        row[int(found[1])] = value[0]
    return row


_PAIR = re.compile(r"\s*(\d+\s+(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^,]*))\s*(?:,|$)")


def _pairs(inside: str) -> Iterator[str]:
    place = 0
    while place < len(inside):
        found = _PAIR.match(inside, place)
        if found is None:
            yield inside[place:]
            return
        yield found[1].strip()
        place = found.end()


def _batches(
    path: Path, encoding: TextEncoding, attributes: Sequence[Attribute], names: Sequence[str], start: int
) -> Iterator[Batch]:
    rows: list[list[str | None]] = []
    lines: list[int] = []
    indices: list[int] = []
    skipped: list[SkippedRow] = []
    index, size, most = -1, 0, batch_rows(len(names))
    with _opened(path, encoding) as text:
        for number, line in enumerate(islice(text, start, None), start=start + 1):
            said = line.strip()
            if not said or said.startswith("%"):
                continue
            index += 1
            size += len(said)
            row = _row(said, attributes)
            if not isinstance(row, str) and encoding.bad_bytes and "\ufffd" in said:
                row = "it holds a byte that is no UTF-8, as the rest of the file is; save the file as UTF-8"
            if isinstance(row, str):
                skipped.append(SkippedRow(index=index, where=f"line {number}", reason=row))
            else:
                rows.append(row)
                lines.append(number)
                indices.append(index)
            if max(len(rows), len(skipped)) >= most or size > BATCH_BYTES:
                yield _batch(names, rows, lines, indices, skipped)
                rows, lines, indices, skipped, size = [], [], [], [], 0
    if rows or skipped:
        yield _batch(names, rows, lines, indices, skipped)


def _batch(
    names: Sequence[str],
    rows: list[list[str | None]],
    lines: list[int],
    indices: list[int],
    skipped: list[SkippedRow],
) -> Batch:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return Batch(
        rows=pa.RecordBatch.from_arrays([pa.array(column, pa.string()) for column in columns], names=list(names)),
        index=np.array(indices, np.int64),
        where=lambda position: f"line {lines[position]}",
        skipped=tuple(skipped),
    )
