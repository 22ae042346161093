"""Columns of clean numbers are counted as those are that have to be looked at text by text."""

import random
import re
from typing import Any

import pyarrow as pa
import pytest

from service.ingest import numbers, values
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


def drawn(characters: str, count: int = 3_000) -> list[str]:
    """Texts of these characters, each as long as chance wants."""
    chosen = random.Random(5)
    return ["".join(chosen.choices(characters, k=chosen.randrange(10))) for _ in range(count)]


def test_thousands_are_told_by_their_bytes_as_by_a_pattern() -> None:
    texts = [*drawn("0123."), "1.234", "+12.345", "-123.456", "1234.567", "0.123", "1.2345"]
    expected = [re.fullmatch(r"[+-]?[1-9]\d{0,2}\.\d{3}", text) is not None for text in texts]
    assert numbers.either_point(pa.array(texts)).to_pylist() == expected
    assert numbers.either_point(pa.array(["12", "0.5"])).to_pylist() == [False, False]


def test_units_of_ascii_are_those_that_they_are_among_other_scripts() -> None:
    texts = [*drawn("05.,$ ckm+/^-"), "10,000+", "$5 kg", "3 km/h.", "1.5m"]
    both = [pa.array(texts), pa.array([*texts, "5 µm"])]
    alone, among = (numbers.suffixes(one).to_pylist() for one in both)
    assert alone == among[:-1]
    assert any(alone)
    alone, among = (numbers.bare(one).to_pylist() for one in both)
    assert alone == among[:-1]


def test_words_of_ascii_are_counted_as_among_other_scripts() -> None:
    texts = [*drawn("ab1_-", 200), "img_01", "fooBar", "ab-cd", "s007"]
    for text in texts:
        alone, among = (values.word_counts(pa.array(one)).to_pylist() for one in ([text], [text, "é"]))
        assert alone[0] == among[0], text
    assert values.word_counts(pa.array(["ab", "cd-ef"])).to_pylist() == [1, 2]
    assert values.word_counts(pa.array(["ab", "g h"])).to_pylist() == [1, 2]
