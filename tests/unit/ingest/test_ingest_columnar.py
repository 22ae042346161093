"""Parquet and Arrow files, Hugging Face datasets among them."""

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from service.domain.errors import Invalid, Malformed, TooLarge
from service.ingest import Limits
from service.ingest.values import as_text
from tests.unit.ingest.uploads import Take, png


def parquet(table: Any, **options: Any) -> bytes:
    """A table as Parquet."""
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def arrow(table: Any, form: str) -> bytes:
    """A table as an Arrow file, stream or Feather file."""
    file = io.BytesIO()
    if form == "feather":
        pyarrow.feather.write_feather(table, file)
        return file.getvalue()
    new = pa.ipc.new_file if form == "file" else pa.ipc.new_stream
    with new(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=5)
    return file.getvalue()


def mixed(rows: int = 12) -> Any:
    """A table of every type that is learnt from."""
    return pa.table(
        {
            "i": pa.array([i % 5 for i in range(rows)], pa.int16()),
            "f": pa.array([[0.5, float("nan"), None, float("inf")][i % 4] if i else 7.0 for i in range(rows)]),
            "d": pa.array([Decimal(i) / 4 for i in range(rows)]),
            "b": [i % 2 == 0 for i in range(rows)],
            "c": pa.array(["uv"[i % 2] for i in range(rows)]).dictionary_encode(),
            "s": pa.array(["uvw"[i % 3] for i in range(rows)], pa.large_string()),
            "t": [datetime(2024, 1, i % 28 + 1, tzinfo=UTC) for i in range(rows)],
            "day": [date(2024, 1, i % 28 + 1) for i in range(rows)],
            "n": pa.nulls(rows),
            "nested": [{"a": i} for i in range(rows)],
            "label": pa.array([float(i % 3) for i in range(rows)], pa.float32()),
        }
    )


def of(form: str, table: Any) -> bytes:
    """A table in one of the four forms."""
    return parquet(table) if form == "parquet" else arrow(table, form)


@pytest.mark.parametrize("form", ["parquet", "file", "stream", "feather"])
def test_every_type_is_read(take: Take, form: str) -> None:
    outcome = take(of(form, mixed()), "data.bin")
    assert outcome.kinds == {
        "i": "numeric",
        "f": "numeric",
        "d": "numeric",
        "b": "boolean",
        "c": "categorical",
        "s": "categorical",
        "t": "datetime",
        "day": "datetime",
    }
    assert outcome.column("f")[:5] == [7.0, None, None, None, 0.5]
    assert outcome.column("d")[3] == 0.75
    assert outcome.column("t")[2] == datetime(2024, 1, 3)
    assert outcome.found.classes == ["0", "1", "2"]
    assert {"non_finite_values", "empty_column", "nested_left_out"} <= outcome.codes


def test_many_row_groups_and_rows_come_through_in_order(take: Take) -> None:
    table = pa.table({"x": np.arange(9_000.0), "label": ["ab"[i % 2] for i in range(9_000)]})
    assert take(parquet(table, row_group_size=700), "a.parquet").column("x") == list(range(9_000))


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float32(), 3), pa.list_(pa.int8())]
)
@pytest.mark.parametrize("form", ["parquet", "file"])
def test_list_columns_are_embeddings(take: Take, kind: Any, form: str) -> None:
    vectors = [[i, i + 1, 0] for i in range(12)]
    table = pa.table({"emb": pa.array(vectors, kind), "label": ["ab"[i % 2] for i in range(12)]})
    outcome = take(of(form, table), "a.bin")
    assert outcome.found.modality == "embedding"
    assert outcome.table["embedding"] == vectors


def test_a_missing_vector_is_skipped(take: Take) -> None:
    vectors = [[1.0, 2.0], None, [3.0, 4.0], [None, 1.0]] * 20
    for kind in (pa.list_(pa.float32(), 2), pa.list_(pa.float32())):
        vectors = [None if i == 3 else [float(i), 2.0] for i in range(40)]
        table = pa.table({"emb": pa.array(vectors, kind), "label": ["ab"[i % 2] for i in range(40)]})
        outcome = take(parquet(table), "a.parquet")
        assert [(row.index, row.where) for row in outcome.skipped] == [(3, "row 3")]
        assert outcome.table["embedding"][3] == [4.0, 2.0]


def hugging_face(table: Any, features: dict[str, Any]) -> Any:
    """A table with the metadata that the `datasets` library writes."""
    return table.replace_schema_metadata({b"huggingface": json.dumps({"info": {"features": features}})})


CLASS_LABEL = {"_type": "ClassLabel", "names": ["zebra", "ant", "10"]}


def test_class_labels_of_hugging_face_get_their_names(take: Take) -> None:
    codes = [0, 1, 2, -1, 1, 0]
    table = hugging_face(pa.table({"fine": codes, "x": range(6)}), {"fine": CLASS_LABEL, "x": {"_type": "Value"}})
    outcome = take(parquet(table), "a.parquet")
    assert outcome.found.inferred.label == "fine"
    assert outcome.labels == ["zebra", "ant", "10", "ant", "zebra"]
    assert [(row.index, row.reason) for row in outcome.skipped] == [(3, "no label")]


@pytest.mark.parametrize("named", [True, False])
def test_images_of_hugging_face_are_read(take: Take, named: bool) -> None:
    images = [{"bytes": png(value=i), "path": f"{i}.png"} for i in range(6)] + [{"bytes": None, "path": "far.png"}]
    table = pa.table({"image": images, "label": [0, 1, 2, 0, 1, 2, 0], "text": list("abcdefg")})
    if named:
        table = hugging_face(table, {"image": {"_type": "Image"}, "label": CLASS_LABEL})
    outcome = take(parquet(table), "a.parquet")
    assert outcome.found.modality == "image"
    assert outcome.table["image"] == [image["bytes"] for image in images[:6]]
    assert outcome.table["path"] == [f"{i}.png" for i in range(6)]
    assert outcome.found.classes == (["10", "ant", "zebra"] if named else ["0", "1", "2"])
    assert [row.index for row in outcome.skipped] == [6]


def test_binary_columns_are_images(take: Take) -> None:
    table = pa.table({"picture": [png(value=i) for i in range(4)], "label": list("abab")})
    outcome = take(of("file", table), "a.arrow")
    assert outcome.kinds == {"picture": "image"}


def test_the_row_names_of_pandas_are_ids(take: Take) -> None:
    table = pa.table({"x": range(6), "label": list("ababab"), "__index_level_0__": [10, 11, 12, 13, 14, 15]})
    outcome = take(parquet(table), "a.parquet")
    assert (outcome.table["id"][0], list(outcome.kinds)) == ("10", ["x"])


def test_lists_as_labels_are_refused(take: Take) -> None:
    for kind in (pa.list_(pa.int64()), pa.list_(pa.string())):
        table = pa.table({"x": range(6), "label": pa.array([[] for _ in range(6)], kind)})
        with pytest.raises(Invalid, match="several labels"):
            take(parquet(table), "a.parquet")


@pytest.mark.parametrize("form", ["parquet", "file", "stream"])
def test_a_repeated_column_gets_a_name_of_its_own_and_is_told(take: Take, form: str) -> None:
    columns = [pa.array(range(12)), pa.array([png(value=i) for i in range(12)]), pa.array([-i for i in range(12)])]
    table = pa.Table.from_arrays([*columns, pa.array(list("ab") * 6)], names=["x", "picture", "x", "label"])
    outcome = take(of(form, table.drop(["picture"])), "a.bin")
    assert (outcome.column("x")[2], outcome.column("x.1")[2]) == (2, -2)
    assert "repeated_columns" in outcome.codes
    assert take(of(form, table), "a.bin").table["image"][3] == png(value=3)


def test_types_that_say_how_others_are_stored_are_read_as_these(take: Take) -> None:
    for unit, count in (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)):
        table = pa.table(
            {"took": pa.array([90 * i * count for i in range(12)], pa.duration(unit)), "label": list("ab") * 6}
        )
        assert take(of("file", table), "a.arrow").column("took") == [90.0 * i for i in range(12)]
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(48, dtype=np.float32).reshape(12, 4))
    table = pa.table({"v": tensors, "label": list("ab") * 6})
    assert take(of("file", table), "a.arrow").table["embedding"][1] == [4, 5, 6, 7]
    runs = pa.RunEndEncodedArray.from_arrays([4, 12], pa.array(["u", "w"]))
    table = pa.table({"r": runs, "x": range(12), "label": list("ab") * 6})
    assert take(of("file", table), "a.arrow", features=["r", "x"]).column("r") == ["u"] * 4 + ["w"] * 8


def test_no_rows_are_refused(take: Take) -> None:
    for form in ("parquet", "file", "stream"):
        with pytest.raises(Invalid, match="0 rows"):
            take(of(form, mixed(0)), "a.bin")


@pytest.mark.parametrize("form", ["parquet", "file", "stream"])
@pytest.mark.parametrize("keep", [0.02, 0.5, 0.9])
def test_a_truncated_file_is_told(take: Take, form: str, keep: float) -> None:
    table = pa.table({"x": np.random.default_rng(0).normal(size=5_000), "label": ["ab"[i % 2] for i in range(5_000)]})
    content = of(form, table)
    with pytest.raises(Malformed):
        take(content[: max(8, int(len(content) * keep))], "a.bin")


def test_a_damaged_page_is_told(take: Take) -> None:
    table = pa.table({"x": np.random.default_rng(0).normal(size=5_000), "label": ["ab"[i % 2] for i in range(5_000)]})
    content = bytearray(parquet(table, compression="zstd", use_dictionary=False))
    content[100:5_000] = bytes(4_900)
    with pytest.raises(Malformed, match="damaged"):
        take(bytes(content), "a.parquet")


def test_offsets_that_lead_out_of_the_file_are_told(take: Take) -> None:
    words = pa.array(["ab", "cd"] * 50)
    offsets = np.frombuffer(words.buffers()[1], np.int32).copy()
    offsets[7] = 2**30
    wild = pa.StringArray.from_buffers(100, pa.py_buffer(offsets), words.buffers()[2])
    with pytest.raises(Malformed, match="damaged"):
        take(arrow(pa.table({"x": range(100), "label": wild}), "stream"), "a.arrow")


def test_a_buffer_of_offsets_may_be_longer_than_they_are(take: Take) -> None:
    labels = ["ab", "cd"] * 50
    file, table = io.BytesIO(), pa.table({"x": range(100), "label": labels})
    with pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    content = file.getvalue()
    length = (4 * 101).to_bytes(8, "little")
    assert length in content
    outcome = take(content.replace(length, (4 * 101 + 1).to_bytes(8, "little")), "a.arrow")
    assert outcome.labels == labels


@pytest.mark.parametrize("form", ["parquet", "file"])
def test_bytes_that_are_no_text_are_told(take: Take, form: str) -> None:
    words = pa.array([b"ok", b"\xff\xfe"] * 6).view(pa.string())
    with pytest.raises(Malformed, match="damaged"):
        take(of(form, pa.table({"x": range(12), "label": words})), "a.bin")


def test_a_table_that_expands_beyond_the_limit_is_refused(take: Take) -> None:
    table = pa.table({"x": [0] * 99_999 + [1], "label": ["a"] * 99_999 + ["b"]})
    with pytest.raises(TooLarge):
        take(parquet(table), "a.parquet", Limits(max_expanded_bytes=100_000))


@pytest.mark.parametrize("form", ["parquet", "file"])
@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()], ids=str)
def test_bytes_are_images_texts_or_left_out_by_what_they_hold(take: Take, form: str, kind: Any) -> None:
    labels = [b"ab"[row % 2 :][:1] for row in range(12)]
    table = {"x": [row / 4 for row in range(12)], "label": pa.array(labels, kind)}
    found = take(
        of(form, pa.table({**table, "key": pa.array([bytes([row, 255, 0]) for row in range(12)], kind)})), "a.bin"
    ).found
    assert (found.modality, found.classes) == ("tabular", ["a", "b"])
    assert [one.name for one in found.features] == ["x"]
    assert [one.code for one in found.warnings] == ["nested_left_out"]
    assert "key" in found.warnings[0].detail
    found = take(
        of(form, pa.table({**table, "picture": pa.array([png(value=row) for row in range(12)], kind)})), "a.bin"
    ).found
    assert found.modality == "image"
    said = [f"the {('sun', 'rain')[row % 2]} of day {row}\n".encode() for row in range(12)]
    found = take(of(form, pa.table({"said": pa.array(said, kind), "label": table["label"]})), "a.bin").found
    assert found.modality == "text"


@pytest.mark.parametrize("form", ["parquet", "file"])
@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()], ids=str)
def test_a_row_of_texts_in_bytes_that_are_no_utf_8_is_skipped(take: Take, form: str, kind: Any) -> None:
    said = [f"the {('sun', 'rain')[row % 2]} of day {row}".encode() for row in range(40)]
    said[30] = "la pluie de l'\u00e9t\u00e9".encode("latin-1")
    table = pa.table({"said": pa.array(said, kind), "label": ["a", "b"] * 20})
    outcome = take(of(form, table), "a.bin")
    assert [(one.where, one.reason) for one in outcome.skipped] == [
        ("row 30", "said holds the byte 0xE9, which is no UTF-8")
    ]
    assert outcome.table["text"] == [text.decode() for row, text in enumerate(said) if row != 30]
    assert outcome.labels == [("a", "b")[row % 2] for row in range(40) if row != 30]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()], ids=str)
def test_spaces_around_a_class_are_none_of_it_and_those_around_a_text_are_kept(take: Take, kind: Any) -> None:
    said = [f"  the {('sun', 'rain')[row % 2]} of day {row}\n" for row in range(12)]
    labels = [" a", "b\t"] * 6
    outcome = take(parquet(pa.table({"said": pa.array(said, kind), "label": pa.array(labels, kind)})), "a.parquet")
    assert (outcome.labels, outcome.table["text"]) == (["a", "b"] * 6, said)
    assert as_text(pa.array(labels, kind)).to_pylist() == outcome.labels


def test_bytes_that_are_said_to_be_images_are_not_taken_for_anything_else(take: Take) -> None:
    table = pa.table({"x": [1.5, 2.5] * 6, "picture": [b"no image"] * 12, "label": ["a", "b"] * 6})
    with pytest.raises(Invalid, match="not an image that can be read"):
        take(parquet(table), "a.parquet", modality="image")
