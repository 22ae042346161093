"""Excel workbooks: the sheet with the table is found, and its cells keep their types."""

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.domain.dataset import DatasetSpec
from service.domain.errors import Invalid, Malformed, TooLarge
from service.ingest import Limits
from service.ingest.readers.spreadsheet import open_workbook
from service.ingest.source import Upload
from tests.unit.ingest.uploads import Take, zip_of

HEADER = ["weight", "farm", "target"]
ROWS = [[i + 0.5, ("north", "south", "NA")[i % 3], "AB"[i % 2]] for i in range(12)]


def workbook(sheets: Mapping[str, Sequence[Sequence[Any]]], hidden: str = "") -> bytes:
    """A workbook with these sheets, as Excel writes it."""
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"in_memory": True, "strings_to_urls": False}) as book:
        forms = {
            datetime: book.add_format({"num_format": "yyyy-mm-dd hh:mm"}),
            date: book.add_format({"num_format": "yyyy-mm-dd"}),
            time: book.add_format({"num_format": "hh:mm:ss"}),
            timedelta: book.add_format({"num_format": "[h]:mm:ss"}),
        }
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for place, row in enumerate(rows):
                for column, cell in enumerate(row):
                    if isinstance(cell, str) and cell.startswith("=="):
                        sheet.write_formula(place, column, "=1/0", None, cell[2:])
                    elif isinstance(cell, str):
                        sheet.write_string(place, column, cell)
                    elif cell is not None:
                        sheet.write(place, column, cell, forms.get(type(cell)))
            if name == hidden:
                sheet.hide()
    return file.getvalue()


def test_a_sheet_is_read_as_the_table_that_it_shows(take: Take) -> None:
    outcome = take(workbook({"Tabelle1": [HEADER, *ROWS]}), "farm.xlsx")
    assert outcome.column("weight") == [row[0] for row in ROWS]
    assert outcome.column("farm") == [row[1] for row in ROWS]
    assert outcome.labels == [row[2] for row in ROWS]
    assert outcome.found.inferred.format == "excel, sheet Tabelle1"
    inner = take(zip_of({"farm.xlsx": workbook({"a": [HEADER, *ROWS]})}), "farm.zip")
    assert inner.table == outcome.table


def test_cells_keep_their_types_and_errors_are_missing(take: Take) -> None:
    rows = [
        [
            date(2024, 3, 1 + i),
            datetime(2024, 3, 1, i, 30),
            i % 2 == 0,
            i if i % 4 else "==#DIV/0!",
            1000 + i,
            "xy"[i % 2],
        ]
        for i in range(12)
    ]
    outcome = take(
        workbook({"a": [["day", "at", "sown", "n", "code", "label"], *rows]}),
        "a.xlsx",
        features=["day", "at", "sown", "n"],
    )
    assert outcome.kinds == {"day": "datetime", "at": "datetime", "sown": "boolean", "n": "numeric"}
    assert outcome.column("day")[1] == datetime(2024, 3, 2)
    assert outcome.column("at")[3] == datetime(2024, 3, 1, 3, 30)
    assert outcome.column("n")[:5] == [None, 1, 2, 3, None]
    assert outcome.column("sown")[:2] == [True, False]


def test_a_column_has_one_type_in_all_batches(take: Take) -> None:
    rows = [[date(2024, 1, 1 + i % 28) if i < 5000 else i, i % 7, "xy"[i % 2]] for i in range(5200)]
    outcome = take(workbook({"a": [["day", "n", "label"], *rows]}), "a.xlsx")
    assert outcome.kinds["day"] == "datetime"
    assert outcome.column("day")[5100] is None


def test_numbers_of_whole_cells_have_no_point_where_they_are_names(take: Take) -> None:
    outcome = take(
        workbook({"a": [["id", "x", "label"], *([100 + i, i % 5, i % 2] for i in range(12))]}), "a.xlsx", id="id"
    )
    assert (outcome.table["id"][:2], outcome.found.classes) == (["100", "101"], ["0", "1"])


def test_titles_above_and_blank_columns_left_of_the_table_are_left_out(take: Take) -> None:
    rows: list[list[Any]] = [[], [None, "Harvest of 2024"], [], [None, *HEADER], *([None, *row] for row in ROWS)]
    outcome = take(workbook({"a": rows}), "a.xlsx")
    assert list(outcome.kinds) == ["weight", "farm"]
    assert outcome.found.rows == 12


def test_a_row_is_named_as_excel_shows_it(take: Take) -> None:
    outcome = take(workbook({"a": [["Title"], HEADER, *ROWS[:3], [], [9, "north", None], *ROWS[3:]]}), "a.xlsx")
    assert [(row.index, row.where) for row in outcome.skipped] == [(3, "row 7 of the sheet 'a'")]


def test_of_several_sheets_the_one_that_is_the_data_is_read_and_the_others_are_told(take: Take) -> None:
    legend = [["column", "meaning"], ["weight", "in kg"], ["farm", "where"]]
    book = workbook(
        {"Legend": legend, "Data": [HEADER, *ROWS], "Empty": [], "Secret": [HEADER, *ROWS], "Word": [["x"]]}, "Secret"
    )
    outcome = take(book, "a.xlsx")
    (told,) = (one.detail for one in outcome.found.warnings if one.code == "sheets_left_out")
    assert (outcome.found.rows, "'Data'" in told, "Legend" in told, "Word" in told) == (12, True, True, True)


def test_two_sheets_that_may_both_be_meant_are_refused_by_name(take: Take) -> None:
    with pytest.raises(Invalid, match=r"'2023' \(12 rows\), '2024' \(11 rows\)"):
        take(workbook({"2023": [HEADER, *ROWS], "2024": [HEADER, *ROWS[1:]]}), "a.xlsx")


def test_sheets_that_are_splits_become_one_dataset(take: Take) -> None:
    outcome = take(workbook({"train": [HEADER, *ROWS], "test": [HEADER, *ROWS[:4]]}), "a.xlsx")
    assert outcome.found.splits == {"test": 4, "train": 12}


@pytest.mark.parametrize("rows", [[], [["only one"], [1], [2]]])
def test_a_workbook_without_a_table_is_refused(take: Take, rows: list[list[Any]]) -> None:
    with pytest.raises(Invalid, match="no sheet holds a table"):
        take(workbook({"a": rows}), "a.xlsx")


def test_repeated_names_are_renamed_and_told(take: Take) -> None:
    outcome = take(workbook({"a": [["x", "x", "label"], *([i, -i, "ab"[i % 2]] for i in range(12))]}), "a.xlsx")
    assert list(outcome.kinds) == ["x", "x.1"]
    assert "repeated_columns" in outcome.codes


def rewritten(book: bytes, change: Any) -> bytes:
    """A workbook whose sheets' XML was changed."""
    with zipfile.ZipFile(io.BytesIO(book)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return zip_of(
        {name: change(data) if name.startswith("xl/worksheets/sheet") else data for name, data in files.items()}
    )


@pytest.mark.parametrize(
    "cell",
    [
        b'<c r="XFD1048576" t="str"><v>far</v></c>',
        b"<c s='1' r='XFD1048576'><v>1</v></c>",
        b'<x:c xmlns:x="http://schemas.openxmlformats.org/spreadsheetml/2006/main" r="XFD1048576"><v>1</v></x:c>',
    ],
)
def test_cells_that_lie_far_apart_are_refused_before_they_are_read(take: Take, cell: bytes) -> None:
    book = rewritten(
        workbook({"a": [HEADER, *ROWS]}),
        lambda xml: xml.replace(b"</sheetData>", b'<row r="1048576">' + cell + b"</row></sheetData>"),
    )
    with pytest.raises(TooLarge, match="cells from the first to the last"):
        take(book, "a.xlsx")


@pytest.mark.parametrize(
    "cell", [b"<c y='>' r=\"XFD1048576\"><v>1</v></c>", b"<c" + b" " * 500 + b'r="XFD1048576"><v>1</v></c>']
)
def test_cells_whose_place_is_hidden_are_refused(take: Take, cell: bytes) -> None:
    book = rewritten(
        workbook({"a": [HEADER, *ROWS]}),
        lambda xml: xml.replace(b"</sheetData>", b'<row r="1048576">' + cell + b"</row></sheetData>"),
    )
    with pytest.raises(Malformed, match="has no place"):
        take(book, "a.xlsx")


def test_a_workbook_that_expands_too_far_is_refused(take: Take) -> None:
    book = workbook({"a": [HEADER, *ROWS]})
    with pytest.raises(TooLarge, match="10,000 bytes"):
        take(book, "a.xlsx", limits=Limits(max_expanded_bytes=10_000))


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_damaged_workbook_is_told(take: Take, keep: float) -> None:
    book = workbook({"a": [HEADER, *ROWS]})
    with pytest.raises(Malformed):
        take(book[: int(len(book) * keep)], "a.xlsx")
    with pytest.raises(Malformed, match="damaged"):
        take(rewritten(book, lambda xml: re.sub(b"</row>", b"<", xml)), "a.xlsx")
    with pytest.raises(Malformed, match="workbook"):
        take(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(4096), "a.xls")


CELLS = st.one_of(
    st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"]), min_size=1, max_size=6),
    st.integers(-(10**9), 10**9),
    st.booleans(),
    st.none(),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=8))
def test_any_sheet_comes_back_cell_by_cell(tmp_path: Any, table: list[list[Any]]) -> None:
    rows = [["a", 1, True], *table]
    path = tmp_path / "a.xlsx"
    path.write_bytes(workbook({"s": [["x", "y", "z"], *rows]}))
    source = open_workbook(Upload(path, "a.xlsx", DatasetSpec(), Limits(), tmp_path))
    found = [list(row.values()) for batch in source.batches(True) for row in batch.rows.to_pylist()]
    shown = {True: "true", False: "false"}

    def texts(cells: list[Any]) -> list[str | None]:
        return [None if c is None else shown[c] if isinstance(c, bool) else str(c).removesuffix(".0") for c in cells]

    assert [texts(row) for row in found] == [texts(row) for row in rows if any(cell is not None for cell in row)]


def test_names_of_columns_below_names_of_groups_are_the_header_and_what_is_above_is_told(take: Take) -> None:
    above = [["Trial of 2021"], ["measured", "", "judged"]]
    outcome = take(workbook({"Trial": [*above, HEADER, *ROWS]}), "trial.xlsx")
    assert outcome.kinds == {"weight": "numeric", "farm": "categorical"}
    assert outcome.found.class_counts == {"A": 6, "B": 6}
    told = next(one.detail for one in outcome.found.warnings if one.code == "lines_before_header")
    assert "Trial of 2021" in told
    assert "measured judged" in told
