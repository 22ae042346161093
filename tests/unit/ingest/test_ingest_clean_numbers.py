"""Columns of clean numbers are counted as those are that have to be looked at text by text."""

from typing import Any

import pyarrow as pa
import pytest

from service.ingest.column_counts import ColumnCounts
from service.ingest.values import MissingWords

BATCHES = {
    "whole": [["1", "2", "", "2"], ["007", "5", ""], ["-3", "1e3"]],
    "fractions": [["1.5", "1.234", "2.5", "2.5"], ["0.5", "", "", "+.5"], ["1.234", "9"]],
    "mixed": [["1", "2", "3"], ["4", "nan", "5"], ["6", "1,5", "", "2 cm"], ["7", "8"]],
    "blank": [["", ""], ["", "1"]],
    "null": [[None, "1"], ["2", "3"], [None]],
    "not finite": [["1", "inf"], ["1e999", "2"]],
    "words": [["a b", "c"], ["1", "2"]],
}


def counted(batches: list[Any], most_distinct: int, words: MissingWords) -> ColumnCounts:
    column = ColumnCounts("x", most_distinct, words)
    for batch in batches:
        column.add(pa.array(batch, pa.string()))
    column.settle()
    return column


@pytest.mark.parametrize("words", [MissingWords(usual=True), MissingWords(), MissingWords(own=("2",))])
@pytest.mark.parametrize("most_distinct", [1, 3, 100])
@pytest.mark.parametrize("batches", BATCHES.values(), ids=BATCHES)
def test_clean_numbers_are_counted_as_text_by_text(
    monkeypatch: pytest.MonkeyPatch, batches: list[Any], most_distinct: int, words: MissingWords
) -> None:
    clean = counted(batches, most_distinct, words)
    monkeypatch.setattr(ColumnCounts, "_add_clean", lambda *_: False)
    assert clean == counted(batches, most_distinct, words)
