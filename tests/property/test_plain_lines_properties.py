"""Short cuts of reading a text table change nothing: plain lines at once, and columns told by the bytes of their texts."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.domain.dataset import DatasetSpec
from service.domain.errors import SuspectsError
from service.ingest import Limits, ingest, values
from service.ingest.column_counts import ColumnCounts
from service.ingest.readers import plain_lines
from service.ingest.values import MissingWords
from service.store import text_bytes

quick = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])

numbers = st.one_of(st.integers(-(10**9), 10**9).map(str), st.floats(allow_nan=False, allow_infinity=False).map(repr))
words = st.sampled_from(
    ["red", "naïve", "ниже", "2024-01-02", "1,5", "3 cm", "12:30", "s007", "1.234,5", "<0.5", "$ 4"]
)
missing = st.sampled_from(["", "NA", "?", "-", "nan", "inf", "none", " ", "#N/A", "unknown", "missing", "n.d."])
odd = st.sampled_from(
    ['"', '"a', 'a"b"', '""', "#", "//", "% x", " a", "a ", "\t", "\r", "\x0b", "\x85", "\u2028", ";", "\ufeff"]
)
cells = st.one_of(numbers, words, missing)
rows = st.tuples(cells, cells, st.sampled_from(["a", "b"])).map(",".join)
odd_lines = st.one_of(
    st.sampled_from(
        ["", "   ", ",,", "p,q,label", " p ,q,label", "# said", "1,2", "1,2,a,3", '1,"2,3",a', '1,"x\ny",b']
    ),
    st.tuples(odd, cells, st.sampled_from(["a", "b"])).map(",".join),
)
ends = st.sampled_from(["\n", "\r\n", "\r"])
encodings = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-8"])


def told(content: bytes) -> list[Any]:
    """All that comes of a table: its description, canonical rows and skipped rows, or the error."""
    with tempfile.TemporaryDirectory() as folder:
        source, data, skipped = (Path(folder) / file for file in ("in", "data", "skipped"))
        source.write_bytes(content)
        try:
            found = ingest(source, "a.csv", DatasetSpec(), data, skipped, Limits())
        except SuspectsError as error:
            return [error.code, error.detail, error.errors]
        return [found, pq.read_table(data), skipped.read_text(encoding="utf-8")]


@quick
@given(st.lists(rows, min_size=4, max_size=25), st.lists(odd_lines, max_size=2), st.integers(0, 25), ends, encodings)
def test_a_table_is_read_the_same_at_once_and_row_by_row(
    plain: list[str], strange: list[str], place: int, end: str, encoding: str
) -> None:
    lines = ["p,q,label", *plain[:place], *strange, *plain[place:], "1,v,a", "2,w,b"]
    content = (end.join(lines) + end).encode(encoding)
    with patch.object(plain_lines, "takes", return_value=False):
        expected = told(content)
    assert told(content) == expected


def test_an_ordinary_table_is_read_at_once() -> None:
    content = "p,q,label\n" + "1,naïve,a\n2,w,b\n" * 20
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
        with patch.object(plain_lines, "columns_of", wraps=plain_lines.columns_of) as seen:
            told(content.encode(encoding))
        assert seen.call_count == 2, "once for each of the two passes"


texts = st.lists(
    st.one_of(
        numbers,
        words,
        missing,
        odd,
        st.text(max_size=6),
        st.sampled_from(["Mon, 5th", "US$ 3", "1e999", "10.-", "K"]),
        st.none(),
    ),
    min_size=1,
    max_size=12,
)


def counted(batches: Sequence[Sequence[str | None]], most: int, usual: bool) -> tuple[ColumnCounts, list[Any]]:
    """What is counted of a column, and its texts as numbers and without missing values."""
    words = MissingWords(usual=usual)
    column = ColumnCounts("x", most, words)
    read = []
    for batch in batches:
        column.add(pa.array(batch, pa.string()))
        read.append(words.without(values.as_text(pa.array(batch, pa.string()))).to_pylist())
    column.settle()
    return column, read


@quick
@given(st.lists(texts, min_size=1, max_size=4), st.sampled_from([2, 100]), st.booleans())
@example([["\u017ftart", "\u0130nf", "\u212a", "\uff11\uff12", "\u22123", "\u2014"]], 100, True)
def test_columns_are_told_by_their_bytes_as_text_by_text(
    batches: list[list[str | None]], most: int, usual: bool
) -> None:
    found = counted(batches, most, usual)
    with (
        patch.object(text_bytes, "may_start", lambda column, _: np.ones(len(column), bool)),
        patch.object(text_bytes, "may_begin_with", lambda column, *_: np.ones(len(column), bool)),
        patch.object(text_bytes, "may_hold", return_value=True),
        patch.object(text_bytes, "have_one_word", return_value=False),
        patch.object(text_bytes, "is_trimmed", return_value=False),
    ):
        assert found == counted(batches, most, usual)
