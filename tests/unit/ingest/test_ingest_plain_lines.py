"""Lines that are read many at once give the rows, places and batches that they give one by one."""

import random
from pathlib import Path

import pytest

from service.domain.dataset import DatasetSpec
from service.domain.errors import Malformed
from service.ingest import Limits
from service.ingest.readers import delimited, plain_lines
from service.ingest.readers.delimited import open_delimited
from service.ingest.readers.line_blocks import Block
from service.ingest.readers.table_form import TableForm
from service.ingest.source import Upload

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
    "multiline": ['1,"2\n\n5",3,x', '1,"2\r\n5\r6",3,x'],
    "stray": ['1,"a"b",3,x'],
    "open": ['1,"abc,3,x'],
    "carriage return": ["1,2\r3,4,x"],
    "foreign": ["é,ü,日本,x", "\u2028,\x0b,\x85,x"],
}


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "_BATCH_ROWS", 1)


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


@pytest.mark.parametrize("odd", ["none", "ragged", "quoted", "stray"])
def test_batches_of_long_rows_end_where_they_end_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    path = written(tmp_path / "a.csv", ODD[odd], "\n", 9_000)
    at_once = batches(path)
    monkeypatch.setattr(plain_lines, "takes", lambda _form: False)
    assert at_once == batches(path)


def test_plain_lines_are_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.csv", ODD["ragged"], "\n", 1)
    found: list[bool] = []
    real = plain_lines.columns_of

    def seen(block: Block, form: TableForm) -> list[object] | None:
        columns = real(block, form)
        found.append(columns is not None)
        return columns

    monkeypatch.setattr(plain_lines, "columns_of", seen)
    batches(path)
    assert found.count(True) >= 1
