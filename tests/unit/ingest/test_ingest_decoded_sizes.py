"""Files by columns are bounded by the sizes that they have once decoded, before they are."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.domain.errors import Malformed, TooLarge
from service.ingest.readers.decoded_size import decoded_bytes
from service.ingest.readers.parquet_sizes import declared_bytes, longest_value
from tests.unit.ingest.uploads import Take

ROWS = 3_000
LONG = "a" * 100_000
LABELS = pa.array(["p", "q"] * (ROWS // 2))


def named() -> Any:
    """Two long texts that 3,000 rows name."""
    return pa.DictionaryArray.from_arrays(
        pa.array([i % 2 for i in range(ROWS)], pa.int32()), pa.array([LONG, LONG + "b"])
    )


def parquet(column: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    table = pa.table({"x": column, "label": pa.array(["p", "q"] * (len(column) // 2))})
    pq.write_table(table, file, compression="zstd", store_schema=False, dictionary_pagesize_limit=2**30, **options)
    return file.getvalue()


def arrow(column: Any, *, packed: bool = True, labels: Any = None) -> bytes:
    file = io.BytesIO()
    table = pa.record_batch({"x": column, "label": LABELS if labels is None else labels})
    options = pa.ipc.IpcWriteOptions(compression="zstd" if packed else None, allow_64bit=True)
    with pa.ipc.new_file(file, table.schema, options=options) as writer:
        writer.write_batch(table)
    return file.getvalue()


def views() -> Any:
    """A view of one long text in each row."""
    _, view, content = pa.array([LONG], pa.string_view()).buffers()
    many = pa.py_buffer(bytes(view)[:16] * ROWS)
    return pa.Array.from_buffers(pa.string_view(), ROWS, [None, many, content])


def nothing(rows: int) -> Any:
    return pa.Array.from_buffers(pa.null(), rows, [None])


BOMBS: dict[str, Callable[[], tuple[str, bytes]]] = {
    "texts of a dictionary": lambda: ("a.parquet", parquet(named())),
    "texts of a dictionary in lists": lambda: (
        "a.parquet",
        parquet(pa.ListArray.from_arrays(pa.array(range(ROWS + 1), pa.int32()), named())),
    ),
    "runs of a number": lambda: ("a.parquet", parquet(pa.array(np.zeros(2_000_000)))),
    "categories": lambda: ("a.arrow", arrow(named())),
    "packed texts": lambda: ("a.arrow", arrow(pa.array([LONG] * ROWS))),
    "views": lambda: ("a.arrow", arrow(views())),
    "a run of one text": lambda: (
        "a.arrow",
        arrow(pa.RunEndEncodedArray.from_arrays(pa.array([ROWS], pa.int32()), pa.array([LONG]))),
    ),
    "rows of nothing": lambda: ("a.arrow", arrow(nothing(2**40), labels=nothing(2**40), packed=False)),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_small_file_of_columns_that_becomes_large_is_refused(
    take: Take, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("service.ingest.limits._SMALL", 2**20)
    name, content = BOMBS[kind]()
    assert len(content) < 100_000
    with pytest.raises(TooLarge, match=r"once they are decoded|expands to more"):
        take(content, name, label="label")


def test_packed_columns_are_refused_before_they_are_expanded(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.ingest.limits._SMALL", 2**20)
    monkeypatch.setattr(
        "service.ingest.readers.columnar.open_ipc", lambda *_: (pa.schema({"x": pa.string()}), [], True)
    )
    with pytest.raises(TooLarge, match="once they are decoded"):
        take(arrow(pa.array([LONG] * ROWS)), "a.arrow")


def test_sizes_of_a_parquet_file_are_known_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet(named()))
    metadata = pq.read_metadata(path)
    # Each text of a dictionary page has four bytes before it.
    assert longest_value(path, metadata) == len(LONG) + len(LONG) + 1 + 8
    assert declared_bytes(metadata) > longest_value(path, metadata)
    path.write_bytes(parquet(named(), use_dictionary=False, column_encoding={"x": "DELTA_BYTE_ARRAY"}))
    assert longest_value(path, pq.read_metadata(path)) > len(LONG)
    path.write_bytes(parquet(pa.array(["x", "y"]), use_dictionary=False))
    assert longest_value(path, pq.read_metadata(path)) == 0


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["ab", None, "cdef"] * 9).dictionary_encode(),
        pa.RunEndEncodedArray.from_arrays(pa.array([20, 27], pa.int32()), pa.array(["abcd", "abc"])),
        pa.array(["ab", None, "a text that is longer than twelve"] * 9, pa.string_view()),
        pa.array([["ab"], None, ["c", "d"]] * 9, pa.list_(pa.dictionary(pa.int8(), pa.string()))),
        pa.array([{"a": 1, "b": "x"}] * 27),
        pa.array([[("k", 1)]] * 27, pa.map_(pa.string(), pa.int64())),
        nothing(27),
    ],
    ids=lambda column: str(column.type)[:12],
)
@pytest.mark.parametrize("place", [0, 4])
def test_a_decoded_size_is_at_least_that_of_the_values(column: Any, place: int) -> None:
    part = column.slice(place)
    inside = sum(len(repr(value)) - 8 for value in part.to_pylist() if isinstance(value, str))
    assert decoded_bytes(pa.record_batch({"x": part})) >= max(len(part), inside)


def test_texts_of_a_large_dictionary_are_read_as_others_are(take: Take) -> None:
    """Decoded a few rows at a time, and joined again."""
    random = np.random.default_rng(0)
    texts = [f"{'word ' * int(random.integers(1, 400))}{i}" for i in range(900)]
    column = pa.array([texts[i] for i in random.integers(0, 900, 3_000)])
    by_dictionary, plain = take(parquet(column), "a.parquet"), take(parquet(column, use_dictionary=False), "a.parquet")
    assert by_dictionary.found == plain.found
    assert by_dictionary.table == plain.table


@pytest.mark.parametrize("is_packed", [False, True], ids=["expanded", "compressed"])
@pytest.mark.parametrize("which", ["dictionary_page_offset", "data_page_offset"])
def test_a_page_that_claims_more_bytes_than_its_column_has_is_refused_unread(
    take: Take, which: str, is_packed: bool
) -> None:
    content = bytearray(parquet(pa.array(["u", "v", "w", "u"] * 500)))
    chunk = pq.read_metadata(io.BytesIO(content)).row_group(0).column(0)
    place = getattr(chunk, which)
    assert content[place : place + 3 : 2] == b"\x15\x15"  # kind, then the expanded size as a variable-length number
    start = place + 3
    end = next(n for n in range(start, start + 6) if content[n] < 128) + 1
    if is_packed:  # the next number
        start, end = end + 1, next(n for n in range(end + 1, end + 7) if content[n] < 128) + 1
    claimed = 2 * (2**31 - 20)  # signed numbers are written twice as large
    content[start:end] = bytes([*(claimed >> 7 * n & 127 | 128 for n in range(4)), claimed >> 28])
    with pytest.raises(Malformed, match="a page of the column 'x' claims more bytes"):
        take(bytes(content), "a.parquet")
