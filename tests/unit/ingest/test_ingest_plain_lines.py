"""Rows that are read many at once give the values, places and batches that they give one by one."""

import random
from collections.abc import Collection
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from service.domain.dataset import DatasetSpec
from service.domain.errors import Malformed
from service.ingest import Limits, ingest
from service.ingest.readers import delimited, line_blocks, plain_lines, table_form
from service.ingest.readers.delimited import open_delimited
from service.ingest.readers.line_blocks import Block
from service.ingest.readers.table_form import TableForm
from service.ingest.source import Upload
from service.ingest.survey import survey_columns

ROWS = 9_000
ODD = {
    "none": [],
    "blank": ["", "   "],
    "empty": [""],
    "padded header": [" a,b,c,label"],
    "ragged": ["1,2", "1,2,3,4,5", "q"],
    "comment": ["# said", "// said", "#5,6,7,8"],
    "header": ["a,b,c,label", " a, b ,c,label"],
    "quoted": ['"1",2,3,x', '1,"2,5",3,x', '1,2,3,"x ""y"""'],
    "doubled": ['"","""",""" "",",x', '"a,""",2,"""b""",x', '1,2,3,"x"'],
    "multiline": ['1,"2\n\n5",3,x', '"b\r\n","""\n",3,"\n"'],
    "multiline with a return": ['1,"2\r\n5\r6",3,x'],
    "quote within": ['1,5" disk,3,x', '1,5"" disk,3,x'],
    "quote within, and one that opens": ['1,a"b,",c"d",x'],
    "quote after a space": ['1, "a",3,x'],
    "text after a quote": ['1,"a" ,3,x', '1,"a"b,"c,3,x'],
    "stray": ['1,"a"b",3,x'],
    "open": ['1,"abc,3,x'],
    "carriage return": ["1,2\r3,4,x"],
    "foreign": ["é,ü,日本,x", "\u2028,\x0b,\x85,x"],
}


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small batches, and rows that tell how quotes are used before all that is odd."""
    monkeypatch.setattr(delimited, "_BATCH_ROWS", 1)
    monkeypatch.setattr(table_form, "_STRICT_ROWS", 100)


def batches(path: Path) -> list[object]:
    """Everything that the batches of a table say, or the error."""
    source = open_delimited(Upload(path, path.name, DatasetSpec(), Limits(), path.parent))
    found: list[object] = []
    try:
        for batch in source.batches(False):
            places = [batch.where(place) for place in range(batch.rows.num_rows)]
            found.append((batch.rows.to_pydict(), batch.index.tolist(), places, batch.skipped))
    except Malformed as error:
        found.append(str(error))
    return [*found, source.counted()]


def written(path: Path, odd: list[str], end: str, wide: int) -> Path:
    """A table in which odd lines stand among plain ones."""
    chosen = random.Random(7)
    numbers = range(ROWS if wide == 1 else ROWS // 3)
    lines = [f"{number},{chosen.random():.3f},{'w' * chosen.randrange(wide)},x" for number in numbers]
    for one in odd:
        for _ in range(2):
            lines.insert(chosen.randrange(1_500, min(4_000, len(lines))), one)
    path.write_bytes(end.join(["a,b,c,label", *lines]).encode())
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("odd", ODD)
def test_rows_read_at_once_are_those_read_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: str, end: str
) -> None:
    path = written(tmp_path / "a.csv", ODD[odd], end, 1)
    at_once = batches(path)
    monkeypatch.setattr(plain_lines, "takes", lambda _form: False)
    assert at_once == batches(path)


@pytest.mark.parametrize("odd", ["none", "ragged", "quoted", "multiline", "stray"])
def test_batches_of_long_rows_end_where_they_end_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    path = written(tmp_path / "a.csv", ODD[odd], "\n", 9_000)
    at_once = batches(path)
    monkeypatch.setattr(plain_lines, "takes", lambda _form: False)
    assert at_once == batches(path)


def read_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each block of rows, whether it was read at once."""
    found: list[bool] = []
    real = plain_lines.columns_of

    def seen(block: Block, form: TableForm, numeric: Collection[int] = ()) -> list[object] | None:
        columns = real(block, form, numeric)
        found.append(columns is not None)
        return columns

    monkeypatch.setattr(plain_lines, "columns_of", seen)
    batches(path)
    return found


def test_plain_rows_are_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert True in read_at_once(written(tmp_path / "a.csv", ODD["ragged"], "\n", 1), monkeypatch)


@pytest.mark.parametrize("odd", ["quoted", "doubled", "multiline"])
def test_rows_with_sound_quotes_are_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: str) -> None:
    monkeypatch.setattr(line_blocks, "_LOOKED_AT", 100)
    assert set(read_at_once(written(tmp_path / "a.csv", ODD[odd], "\n", 1), monkeypatch)) == {True}


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_drawn_quotes_give_the_rows_that_they_give_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    chosen = random.Random(11)
    delimiter = "," if name == "a.csv" else "\t"
    monkeypatch.setattr(line_blocks, "_LOOKED_AT", 100)
    for _ in range(40):
        lines = [delimiter.join("123x")] * 300
        for _ in range(chosen.randrange(1, 4)):
            drawn = "".join(chosen.choices(['"', '""', delimiter, "\n", "a", " "], k=chosen.randrange(2, 9)))
            values = ["1", drawn if chosen.random() < 0.4 else f'"{drawn}"', "3", "x"]
            lines.insert(chosen.randrange(150, 300), delimiter.join(values))
        path = tmp_path / name
        path.write_text("\n".join([delimiter.join(["a", "b", "c", "label"]), *lines]), newline="")
        at_once = batches(path)
        with monkeypatch.context() as patch:
            patch.setattr(plain_lines, "takes", lambda _form: False)
            assert at_once == batches(path)


def test_a_quote_in_tsv_that_takes_whole_rows_in_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    lines = ["1\t2\t3\tx"] * 300
    path.write_text("\n".join(["a\tb\tc\tlabel", *lines, '1\t"2\t3\tx', *lines[:2], '1\t2"\t3\tx', *lines]))
    source = open_delimited(Upload(path, path.name, DatasetSpec(), Limits(), tmp_path))
    skipped = [one for batch in source.batches(False) for one in batch.skipped]
    assert [(one.index, one.where) for one in skipped] == [(300, "line 302")]


NUMBERS = {
    "none": [],
    "blanks": [",,,x", "3,,,x"],
    "word for nothing": ["1,NA,3,x"],
    "not finite": ["1,nan,3,x", "1,inf,-inf,x"],
    "too large": ["1,1e999,3,x"],
    "large": ["1,1.5e308,1.5e308,x", "1,1.5e308,2,x"],
    "comma": ['1,"1,5",3,x', "1,$ 2.50,3,x"],
    "spaced": ["1, 2.5 ,3,x"],
    "leading zero": ["1,007,08,x"],
    "comment": ["# said,2.5,3,x"],
    "ragged": ["1,2"],
    "date": ["1,2020-01-02,3,x"],
}


@pytest.mark.parametrize("odd", NUMBERS)
def test_columns_that_are_read_as_numbers_give_the_dataset_that_their_texts_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    chosen = random.Random(3)
    lines = [
        f"{number},{chosen.random():.4f},{chosen.randrange(9_000)},{'xy'[number % 2]}" for number in range(3 * ROWS)
    ]
    for one in NUMBERS[odd]:
        for place in (9_000, 16_000, 25_000):
            lines.insert(place, one)
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["a,b,c,label", *lines]))
    monkeypatch.setattr("service.ingest.survey._MOST_DISTINCT", 1_000)
    given: list[bool] = []
    real = plain_lines.columns_of

    def asked_for(block: Block, form: TableForm, numeric: Collection[int] = ()) -> list[object] | None:
        columns = real(block, form, numeric)
        given.extend([columns is not None] if numeric else [])
        return columns

    def ingested(name: str) -> tuple[object, object]:
        found = ingest(path, "a.csv", DatasetSpec(), tmp_path / name, tmp_path / f"{name}-skipped", Limits())
        return found, pq.read_table(tmp_path / name)

    monkeypatch.setattr(plain_lines, "columns_of", asked_for)
    as_numbers = ingested("numbers")
    assert any(given)
    assert given.count(False) <= 2, "each of the two passes over the file reads one batch twice at most"
    monkeypatch.setattr(
        plain_lines, "columns_of", lambda block, form, numeric=(): None if numeric else real(block, form)
    )
    assert as_numbers == ingested("texts")


def test_texts_are_there_again_after_the_survey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.ingest.survey._MOST_DISTINCT", 1_000)
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["a,b,label", *(f"{number},{number / 8:.6f},x" for number in range(3 * ROWS))]))
    source = open_delimited(Upload(path, path.name, DatasetSpec(), Limits(), tmp_path))
    survey_columns(source, DatasetSpec(), Limits(), tmp_path)
    assert {str(kind) for batch in source.batches(True) for kind in batch.rows.schema.types} == {"string"}
