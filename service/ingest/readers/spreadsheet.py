"""Excel workbooks (.xlsx, .xlsm, .xls): the sheet that holds the table, its cells with the types that they have.

python-calamine reads a sheet whole, so that its size is limited; error cells (#N/A, #DIV/0!) come as empty ones.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any
from zipfile import ZipFile, is_zipfile

import numpy as np
import pyarrow as pa
from python_calamine import CalamineError, CalamineWorkbook, PasswordError, SheetTypeEnum, SheetVisibleEnum

from service.domain.dataset import ClientWarning
from service.domain.errors import TooLarge
from service.ingest.faults import invalid, listed, malformed
from service.ingest.limits import Limits
from service.ingest.readers.column_names import distinct_names, repeated_columns
from service.ingest.readers.listing import opened_member, opened_zip
from service.ingest.source import Batch, RowSource, Upload, batch_rows
from service.ingest.values import split_name

OLD_EXCEL = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_WORKBOOK = "xl/workbook.xml"
_LARGEST = 256 * 2**20  # expanded bytes of a workbook, and of an old one's file
_MOST_CELLS = 20_000_000  # from the first cell of a sheet to the last, empty ones too: all are in memory
_TAG = re.compile(rb"<(?:[\w.-]{1,40}:)?(?:c|row)(?=[\s/>])([^<>]{0,400})")  # of a cell or a row, with its attributes
_PLACE = re.compile(rb"""\sr\s*=\s*["']([A-Za-z]{0,3})(\d{1,7})["']""")
_CHUNK = 1 << 20
_TAIL = 512
_LONGEST_TAG = 400
_SAMPLE_ROWS = 100
_MOST_TITLES = 30
_CLEARLY = 10  # times as many rows as any other sheet
_NOTES = re.compile(
    r"(?is).*(notes?|read[ _]?me|about|info|legend|code ?book|dictionary|description|variables|metadata).*"
)


@dataclass(frozen=True)
class Sheet:
    """A sheet with a table: its header is row `header`, counted from 0; empty columns before it are not counted."""

    name: str
    header: int
    names: tuple[str, ...]
    rows: int
    titles: tuple[str, ...] = ()  # what stands in the rows above the header
    split: str | None = None


def is_workbook(names: Sequence[str]) -> bool:
    """Whether a ZIP with these files is a workbook."""
    return _WORKBOOK in names


def open_workbook(upload: Upload) -> RowSource:
    """Read the one sheet with a table, or sheets named train, validation and test.

    Raises `Invalid` naming the sheets where none or several may be meant, `TooLarge`, and `Malformed` when damaged.
    """
    if is_zipfile(upload.path):
        _check_size(upload.path, upload.limits)
    elif upload.path.stat().st_size > _LARGEST:
        raise _too_large(f"{upload.path.stat().st_size:,} bytes")
    tables, empty = _tables(upload.path)
    sheets = _chosen(tables)
    names, renamed = distinct_names([name or f"unnamed_{place}" for place, name in enumerate(sheets[0].names)])
    upload.limits.check_columns(len(names))
    kinds = _kinds(upload.path, sheets, len(names))
    split = "split" if len(sheets) > 1 else None
    others = [*(one.name for one in tables if one.name not in {sheet.name for sheet in sheets}), *empty]
    detail = (
        f"only {listed([repr(sheet.name) for sheet in sheets])} of the workbook was read; left out: {listed(others)}"
    )
    warnings = (ClientWarning(code="sheets_left_out", detail=detail),) if others else ()
    return RowSource(
        format=f"excel, sheet {listed([sheet.name for sheet in sheets])}",
        batches=lambda _media: _batches(upload.path, sheets, names, kinds, split),
        columns=(*names, *([split] if split else [])),
        split=split,
        warnings=(*warnings, *_titles(sheets), *repeated_columns(renamed)),
    )


def _check_size(path: Path, limits: Limits) -> None:
    """Raise `TooLarge` for a workbook that would take much memory: by its expanded size, or by cells that lie far apart."""
    with opened_zip(path) as archive:
        members = archive.infolist()
        expanded = sum(member.file_size for member in members)
        limits.check_expansion(path.stat().st_size, expanded)
        if expanded > _LARGEST:
            raise _too_large(f"{expanded:,} bytes when expanded")
        for member in members:
            cells = _cells(archive, member)
            if cells > _MOST_CELLS:
                raise _too_large(f"{cells:,} cells from the first to the last in {member.filename}")


def _cells(archive: ZipFile, member: Any) -> int:
    """An upper limit of the cells from the first to the last of a sheet, empty ones included.

    Every file of the workbook is read, so that none is longer than the ZIP says it is.
    """
    last_row = last_column = bare = 0
    tail = b""
    with opened_member(archive, member) as file:
        while chunk := file.read(_CHUNK):
            text = tail + chunk
            place = 0
            for found in _TAG.finditer(text) if member.filename.endswith(".xml") else ():
                if found.end() == len(text) and len(chunk) == _CHUNK:
                    break  # the next chunk goes on with it
                place = found.end()
                at = _PLACE.search(found[1])
                if at is not None:
                    last_row, last_column = max(last_row, int(at[2])), max(last_column, _column(at[1].upper()))
                elif len(found[1]) < _LONGEST_TAG and not found[1].count(b'"') % 2 and not found[1].count(b"'") % 2:
                    bare += 1
                else:
                    raise malformed(f"the workbook is damaged: a cell of {member.filename} has no place")
            tail = text[max(place, len(text) - _TAIL) :]
    return max(last_row, bare and 1) * (last_column + bare) if bare < _MOST_CELLS else bare


def _column(letters: bytes) -> int:
    found = 0
    for letter in letters:
        found = 26 * found + letter - 64
    return found


def _too_large(what: str) -> TooLarge:
    return TooLarge(f"the workbook has {what}, which is too much to read whole; save the sheet as CSV, or as Parquet")


@contextmanager
def _workbook(path: Path) -> Iterator[CalamineWorkbook]:
    try:
        with CalamineWorkbook.from_path(str(path)) as book:
            yield book
    except PasswordError as error:
        raise malformed("the workbook is protected by a password; save it without one") from error
    except CalamineError as error:
        raise malformed(f"the workbook is damaged, or no workbook: {error}") from error
    except BaseException as error:
        # How a panic of the library in Rust arrives; it is no Exception.
        if type(error).__name__ == "PanicException":
            raise malformed("the workbook is damaged") from error
        raise


def _tables(path: Path) -> tuple[list[Sheet], list[str]]:
    """The visible sheets with a table, and the names of the other visible ones that are not empty."""
    found, others = [], []
    with _workbook(path) as book:
        for meta in book.sheets_metadata:
            if meta.typ != SheetTypeEnum.WorkSheet or meta.visible != SheetVisibleEnum.Visible:
                continue
            sheet = book.get_sheet_by_name(meta.name)
            if sheet.start is None:
                continue
            table = _table(sheet)
            if table is None:
                others.append(meta.name)
            else:
                found.append(table)
    return found, others


def _table(sheet: Any) -> Sheet | None:
    rows = list(islice(sheet.iter_rows(), _MOST_TITLES + _SAMPLE_ROWS))
    filled = [sum(cell != "" for cell in row) for row in rows]
    usual = median([count for count in filled if count] or [0])
    header = next((place for place, count in enumerate(filled) if count > 1 and count >= usual / 2), None)
    if header is not None and _is_group_of_names(rows, header):
        header += 1
    if header is None or not any(count > 1 for count in filled[header + 1 :]):
        return None
    names = [_text(cell).strip() if cell != "" else "" for cell in rows[header]]
    while names and not names[-1] and all(len(row) <= len(names) - 1 or row[len(names) - 1] == "" for row in rows):
        names.pop()
    titles = tuple(" ".join(_text(cell) for cell in row if cell != "") for row in rows[:header])
    return Sheet(sheet.name, header, tuple(names), sheet.end[0] - header, tuple(filter(None, titles)))


def _is_group_of_names(rows: Sequence[Sequence[Any]], place: int) -> bool:
    """Whether the row that may be the header stands above the names of columns, as merged cells do above several of them.

    The row below it then has more cells, all of them different texts, and numbers below these.
    """
    above = [cell for cell in rows[place] if cell != ""]
    names = [cell for cell in rows[place + 1] if cell != ""] if place + 1 < len(rows) else []
    if len(names) <= len(above) or not all(isinstance(cell, str) for cell in names) or len(set(names)) < len(names):
        return False
    below = rows[place + 2 :]
    return any(not isinstance(cell, str) for row in below for cell in row)


def _titles(sheets: Sequence[Sheet]) -> Iterator[ClientWarning]:
    for one in sheets:
        if one.titles:
            detail = (
                f"the header of the sheet {one.name!r} was found below {len(one.titles)} other rows, which were left out: "
                f"{listed([text[:60] for text in one.titles])}"
            )
            yield ClientWarning(code="lines_before_header", detail=detail)


def _chosen(tables: Sequence[Sheet]) -> list[Sheet]:
    """The sheets that are read."""
    if not tables:
        raise invalid("no sheet holds a table: a header of two names at least, and rows below it")
    splits = [split_name(one.name) for one in tables]
    if len(tables) > 1 and all(splits) and len({one.names for one in tables}) == 1:
        return [replace(one, split=split) for one, split in zip(tables, splits, strict=True)]
    data = [one for one in tables if not _NOTES.fullmatch(one.name)] or list(tables)
    largest = max(data, key=lambda one: one.rows)
    if any(one.rows * _CLEARLY > largest.rows for one in data if one is not largest):
        sizes = listed([f"{one.name!r} ({one.rows:,} rows)" for one in data])
        raise invalid(
            f"several sheets hold tables: {sizes}; keep the one to be read, or save it as a workbook of its own"
        )
    return [largest]


def _below(path: Path, sheet: Sheet) -> Iterator[tuple[int, list[Any]]]:
    """The number and the cells of each row below the header that is not empty."""
    with _workbook(path) as book:
        for number, cells in enumerate(book.get_sheet_by_name(sheet.name).iter_rows(), start=1):
            if number > sheet.header + 1 and any(cell != "" for cell in cells):
                yield number, cells


def _kinds(path: Path, sheets: Sequence[Sheet], width: int) -> list[set[type]]:
    """The types of the cells of each column."""
    found: list[set[type]] = [set() for _ in range(width)]
    for sheet in sheets:
        for _, cells in _below(path, sheet):
            for kinds, cell in zip(found, cells, strict=False):
                if cell != "":
                    kinds.add(type(cell))
    return found


def _batches(
    path: Path, sheets: Sequence[Sheet], names: Sequence[str], kinds: Sequence[set[type]], split: str | None
) -> Iterator[Batch]:
    index = 0
    for sheet in sheets:
        rows = _below(path, sheet)
        while some := list(islice(rows, batch_rows(len(names)))):
            columns = [
                _as_column([cells[place] if place < len(cells) else "" for _, cells in some], kinds[place])
                for place in range(len(names))
            ]
            if split:
                columns.append(pa.array([sheet.split] * len(some), pa.string()))
            yield _batch(some, columns, [*names, *([split] if split else [])], sheet, index)
            index += len(some)


def _batch(rows: list[tuple[int, list[Any]]], columns: list[Any], names: list[str], sheet: Sheet, index: int) -> Batch:
    return Batch(
        rows=pa.RecordBatch.from_arrays(columns, names=names),
        index=np.arange(index, index + len(rows), dtype=np.int64),
        where=lambda position: f"row {rows[position][0]} of the sheet {sheet.name!r}",
    )


def _moment(cell: date) -> datetime:
    return cell if isinstance(cell, datetime) else datetime.combine(cell, time())


# The types of cells, and the column that cells of one kind become; of several kinds they become text.
_KINDS: tuple[tuple[frozenset[type], Callable[[Any], Any], Any], ...] = (
    (frozenset({bool}), bool, pa.bool_()),
    (frozenset({int, float}), float, pa.float64()),
    (frozenset({date, datetime}), _moment, pa.timestamp("us")),
    (frozenset({time}), lambda cell: cell, pa.time64("us")),
    (frozenset({timedelta}), timedelta.total_seconds, pa.float64()),
)


def _as_column(cells: Sequence[Any], kinds: set[type]) -> Any:
    for types, made, kind in _KINDS:
        if kinds and kinds <= types:
            return pa.array([None if cell == "" else made(cell) for cell in cells], kind)
    return pa.array([None if cell == "" else _text(cell) for cell in cells], pa.string())


def _text(cell: Any) -> str:
    match cell:
        case bool():
            return str(cell).lower()
        case float() if cell.is_integer():
            return str(int(cell))
        case date() | time():
            return cell.isoformat()
        case _:
            return str(cell)
