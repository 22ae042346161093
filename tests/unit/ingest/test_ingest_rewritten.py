"""Uploads that are rewritten keep everything but what was corrected: bytes, encodings, line ends, quotes, spaces."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given

from service.domain.dataset import CanonicalHeader, DatasetSpec
from service.domain.errors import Conflict
from service.ingest import Limits, ingest
from service.ingest.encoding import text_encoding
from service.ingest.readers.delimited import raw_rows, table_form
from service.ingest.rewritten.edits import Edits
from service.ingest.rewritten.forms import rewritten
from service.ingest.rewritten.json_text import with_value
from service.ingest.source import Upload
from service.store.originals import Original

Rewrite = Callable[..., bytes]


@pytest.fixture
def rewrite(tmp_path: Path) -> Rewrite:
    """Read bytes as an upload, and write them again with other labels and without some rows, by position."""

    def written(
        content: bytes,
        labels: Mapping[int, str],
        removed: frozenset[int] = frozenset(),
        name: str = "data.csv",
        label: str = "kind",
        copies: tuple[str, ...] = (),
    ) -> bytes:
        path, data = tmp_path / "upload", tmp_path / "data.parquet"
        path.write_bytes(content)
        spec = DatasetSpec(label=label)
        ingest(path, name, spec, data, tmp_path / "skipped", Limits())
        table = pq.read_table(data)
        classes = CanonicalHeader.from_metadata(table.schema.metadata).classes
        rows = table.select(["index", "id", "label"]).to_pylist()

        def kept() -> Iterator[tuple[int, str]]:
            changed = {*labels, *removed}
            return ((row["index"], classes[row["label"]]) for row in rows if row["index"] not in changed)

        edits = Edits(labels, removed, {row["index"]: row["id"] for row in rows}, kept, copies=copies)
        return b"".join(rewritten(Original(path, name, spec), label, edits, Limits(), tmp_path))

    return written


def table_read(data: Path) -> list[str]:
    """The class of each row of a canonical file."""
    table = pq.read_table(data)
    classes = CanonicalHeader.from_metadata(table.schema.metadata).classes
    return [classes[code] for code in table.column("label").to_pylist()]


PLAIN = "size,kind,note\n1,oak,tall\n2,elm,\n3,oak,old\n4,elm,far\n5,oak,dry\n6,elm,wet\n"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        (PLAIN, "3,oak,old"),
        (PLAIN.replace("\n", "\r\n"), "3,oak,old"),
        (PLAIN.replace(",", ";"), "3;oak;old"),
        (PLAIN.replace(",", "\t"), "3\toak\told"),
        (PLAIN.replace("oak", '"oak"'), '3,"oak",old'),
        (PLAIN.replace("3,oak,old", '3,oak,"old, and\nhollow"'), '3,oak,"old, and\nhollow"'),
        (PLAIN.replace("oak", " oak "), "3, oak ,old"),
        (re.sub("(oak|elm),", r'\1, "so ""called""", ', PLAIN).replace("kind,", "kind,a,"), '3,oak, "so ""called""", old'),
        ("sep=,\n" + PLAIN, "3,oak,old"),
        ("# trees of a park\n# by hand\n" + PLAIN, "3,oak,old"),
        (PLAIN.replace("3,oak", "\n3,oak"), "3,oak,old"),
        (PLAIN.replace("2,elm,\n", "2,elm,\n7,elm\n"), "3,oak,old"),
        ("size kind  height\n" + "".join(f"{i}    {'oak' if i % 2 else 'elm'}   {i * 3}\n" for i in range(1, 9)), "3    oak   9"),
        (PLAIN.removesuffix("\n"), "3,oak,old"),
    ],
)  # fmt: skip
def test_a_table_keeps_its_form(rewrite: Rewrite, text: str, at: str) -> None:
    place = 3 if "7,elm\n" in text else 2
    assert rewrite(text.encode(), {place: "elm"}).decode() == text.replace(at, at.replace("oak", "elm"))
    whole = rewrite(text.encode(), {}, frozenset({place})).decode()
    assert whole == text.replace(at + ("\r\n" if "\r" in text else "\n"), "")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252"])
def test_a_table_keeps_its_encoding(rewrite: Rewrite, encoding: str) -> None:
    text = PLAIN.replace("elm", "chêne").replace("tall", "haut è")
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    expected = (mark + text.replace("3,oak", "3,chêne")).encode(encoding)
    assert rewrite((mark + text).encode(encoding), {2: "chêne"}) == expected


def test_a_class_that_the_encoding_cannot_hold_is_refused(rewrite: Rewrite) -> None:
    with pytest.raises(Conflict, match=r"'дуб' cannot be written in cp1252"):
        rewrite(PLAIN.replace("elm", "chêne").encode("cp1252"), {2: "дуб"})


def test_a_label_with_a_delimiter_is_quoted(rewrite: Rewrite) -> None:
    assert b'\n3,"elm, ""wych""",old\n' in rewrite(PLAIN.encode(), {2: 'elm, "wych"'})


@pytest.mark.parametrize(
    ("text", "label", "at"),
    [
        ("'{x}.5','old','{kind}'", "a,k", "'a,k'"),
        ("'{x}.5','old','{kind}'", "elm", "'elm'"),
        ("'{x}.5','old, and\nhollow','{kind}'", "elm", "'elm'"),
        ("{x}.5,old,'{kind}'", "elm", "'elm'"),
        ("'{x}.5', 'old', '{kind}'", "elm", "'elm'"),
        ("'{x}.5'\t'old'\t'{kind}'", "elm", "'elm'"),
        ("'{x}.5','it''s old','{kind}'", "elm", "'elm'"),
        ("'{x}.5','old','{kind}'", "o'clock", "'o''clock'"),
        ("'{x}.5','old','{kind}'", '"so, called", "elm"', "'\"so, called\", \"elm\"'"),
    ],
)  # fmt: skip
def test_a_table_in_single_quotes_keeps_them(rewrite: Rewrite, tmp_path: Path, text: str, label: str, at: str) -> None:
    other = "b,k" if "," in label else "oak"
    kinds = [other, label.replace("'", "''")]
    header = "size,note,kind".replace(",", "\t" if "\t" in text else ",")
    content = f"{header}\n" + "".join(f"{text.format(x=i, kind=kinds[i % 3 == 1])}\n" for i in range(12))
    changed = content.rindex(f"'{other}'")
    expected = f"{content[:changed]}{at}{content[changed + len(other) + 2 :]}"
    found = rewrite(content.encode(), {11: label})
    assert found.decode() == expected
    assert rewrite(found, {}) == found
    assert table_read(tmp_path / "data.parquet")[-1] == label


def test_a_new_class_in_single_quotes_is_read_again(rewrite: Rewrite, tmp_path: Path) -> None:
    content = "size,kind\n" + "".join(f"'{i}','{('oak', 'elm')[i % 2]}'\n" for i in range(12))
    for label in ("it's", '"so", called', "o,\n'k'"):
        rewrite(rewrite(content.encode(), {2: label, 4: label}), {})
        assert table_read(tmp_path / "data.parquet") == [
            label if i in (2, 4) else ("oak", "elm")[i % 2] for i in range(12)
        ]


def test_quotes_that_few_values_have_are_not_put_around_others(rewrite: Rewrite, tmp_path: Path) -> None:
    content = "size,kind\n" + "".join(f"{i},{('oak', 'elm')[i % 2]}\n" for i in range(9)) + "9,'b,k'\n10,'b,k'\n"
    found = rewrite(content.encode(), {9: "oak", 10: "elm"})
    assert found.decode() == content.replace("9,'b,k'", "9,oak").replace("10,'b,k'", "10,elm")
    rewrite(found, {})
    assert set(table_read(tmp_path / "data.parquet")) == {"oak", "elm"}


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize("spelt", ['5" pipe', '"5"" pipe"', 'a "pipe" of 5', '"" pipe', 'pipe of 5"'])
def test_a_class_with_a_quote_is_written_as_the_table_writes_it(rewrite: Rewrite, delimiter: str, spelt: str) -> None:
    lines = [delimiter.join([str(i), "dry", ("b", spelt)[i % 2]]) for i in range(12)]
    content = "\n".join([delimiter.join(["size", "note", "kind"]), *lines, ""])
    label = spelt[1:-1].replace('""', '"') if spelt == '"5"" pipe"' else spelt
    found = rewrite(content.encode(), {4: label}).decode()
    assert found == content.replace(f"4{delimiter}dry{delimiter}b\n", f"4{delimiter}dry{delimiter}{spelt}\n")


@pytest.mark.parametrize("label", ['say "oak"', "C:\\oak", "oak\\", '\\"', "a\\\\b"])
def test_a_class_in_a_table_with_backslashes_is_read_again(rewrite: Rewrite, tmp_path: Path, label: str) -> None:
    content = "note,size,kind\n" + "".join(
        rf'"so \"called\", {i}",{i},"{("oak", "elm")[i % 2]}"' + "\n" for i in range(12)
    )
    rewrite(rewrite(content.encode(), {2: label, 4: label}), {})
    assert table_read(tmp_path / "data.parquet")[2:5] == [label, "elm", label]


def test_a_row_with_a_quote_that_is_not_doubled_keeps_its_other_values(rewrite: Rewrite) -> None:
    lines = [f'{i},"a red one, {i}",{("oak", "elm")[i % 2]}\n' for i in range(12)]
    content = "size,note,kind\n" + "".join(lines).replace("red one, 2", '"red" one, 2')
    assert rewrite(content.encode(), {2: "elm"}).decode() == content.replace('one, 2",oak', 'one, 2",elm')


CELLS = st.text(st.sampled_from('ab ,;"\n\r\t#é'), max_size=6)


@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=3, max_size=12), quoted=st.booleans())
def test_the_rows_of_a_table_are_the_whole_of_it(
    rows: list[tuple[str, str]],
    quoted: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    def cell(value: str) -> str:
        return '"' + value.replace('"', '""') + '"' if quoted or set(value) & set(',;"\n\r\t') else value

    text = "x,y\n" + "".join(f"1,{cell(a)}{cell(b)[:0]}\n" for a, b in rows)
    path = tmp_path_factory.mktemp("table") / "t.csv"
    path.write_bytes(text.encode())
    upload = Upload(path, "t.csv", DatasetSpec(), Limits(), path.parent)
    encoding, form = table_form(upload)
    found = list(raw_rows(path, encoding, form))
    assert "".join(one.text for one in found) == text
    assert [one.index for one in found if one.index is not None] == list(
        range(sum(one.index is not None for one in found))
    )
    assert text_encoding(path) == encoding


KEYS = st.text(st.sampled_from('kind"\\é\n '), min_size=1, max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2)
)  # fmt: skip


@given(
    found=st.dictionaries(KEYS, VALUES, max_size=5), key=KEYS, value=VALUES, indent=st.sampled_from([None, 1]), ascii_only=st.booleans()
)  # fmt: skip
def test_an_object_gets_one_value_and_keeps_the_rest(
    found: dict[str, object],
    key: str,
    value: object,
    indent: int | None,
    ascii_only: bool,
) -> None:
    text = json.dumps(found, indent=indent, ensure_ascii=ascii_only)
    assert json.loads(with_value(text, key, value)) == {**found, key: value}
    if isinstance(found.get(key), str):
        assert with_value(text, key, found[key], escaped=ascii_only) == text


def test_a_document_keeps_what_is_around_its_array(rewrite: Rewrite) -> None:
    rows = [{"size": i, "kind": ["oak", "elm"][i % 2], "more": {"a": 1.50, "b": None}} for i in range(8)]
    text = json.dumps({"source": {"of": ["a"]}, "trees": rows, "count": 8}, indent=3)
    found = rewrite(text.encode(), {2: "elm"}, frozenset({0, 7}), "trees.json").decode()
    expected = [{**row, "kind": "elm"} if place == 2 else row for place, row in enumerate(rows) if place not in (0, 7)]
    assert found == json.dumps({"source": {"of": ["a"]}, "trees": expected, "count": 8}, indent=3)


def test_a_label_within_an_object_is_changed_there(rewrite: Rewrite) -> None:
    lines = [
        json.dumps({"size": i, "of": {"kind": ["oak", "elm"][i % 2], "by": {"whom": f"a{i % 3}"}}}) for i in range(8)
    ]
    found = rewrite("\n".join(lines).encode(), {2: "elm"}, frozenset(), "trees.jsonl", "of.kind").decode()
    assert found.split("\n") == [line.replace("oak", "elm") if i == 2 else line for i, line in enumerate(lines)]


def test_class_numbers_of_hugging_face_stay_numbers(rewrite: Rewrite, tmp_path: Path) -> None:
    features = {"kind": {"names": ["oak", "elm"], "_type": "ClassLabel"}, "size": {"dtype": "int64", "_type": "Value"}}
    said = {"huggingface": json.dumps({"info": {"features": features}}), "pandas": "{}"}
    table = pa.table({"size": range(8), "kind": pa.array([0, 1] * 4, pa.int64())}).replace_schema_metadata(said)
    pq.write_table(table, tmp_path / "t", compression="gzip")
    found = rewrite((tmp_path / "t").read_bytes(), {2: "elm"}, frozenset({5}), "trees.parquet")
    (tmp_path / "found").write_bytes(found)
    with pq.ParquetFile(tmp_path / "found") as file:
        assert file.schema_arrow.metadata == table.schema.metadata
        assert file.read().column("kind").to_pylist() == [0, 1, 1, 1, 0, 0, 1]
        assert file.metadata.row_group(0).column(1).compression == "GZIP"
    with pytest.raises(Conflict, match="no value for the class 'yew'"):
        rewrite((tmp_path / "t").read_bytes(), {2: "yew"}, frozenset(), "trees.parquet")


CODED = "kind,code,note\noak,07,tall\nelm,x 1,\noak,07,old\nelm,x 1,far\n"


def test_a_copy_of_the_label_in_a_table_changes_with_it(rewrite: Rewrite) -> None:
    out = rewrite(CODED.encode(), {0: "elm", 1: "ash"}, copies=("code",)).decode()
    assert out == "kind,code,note\nelm,x 1,tall\nash,,\noak,07,old\nelm,x 1,far\n"


@pytest.mark.parametrize("form", ["lines", "array"])
def test_a_copy_of_the_label_in_json_changes_with_it(rewrite: Rewrite, form: str) -> None:
    rows = [{"text": f"tree {row}", "kind": {"id": row % 2, "name": ["oak", "elm"][row % 2]}} for row in range(4)]
    lines = [json.dumps(row) for row in rows]
    text = "\n".join(lines) if form == "lines" else f"[{', '.join(lines)}]"
    name = "data.jsonl" if form == "lines" else "data.json"
    out = rewrite(text.encode(), {0: "elm", 1: "ash"}, name=name, label="kind.name", copies=("kind.id",)).decode()
    found = json.loads(out) if form == "array" else [json.loads(line) for line in out.splitlines()]
    assert [row["kind"] for row in found] == [
        {"id": 1, "name": "elm"},
        {"id": None, "name": "ash"},
        {"id": 0, "name": "oak"},
        {"id": 1, "name": "elm"},
    ]


def test_a_copy_in_lists_changes_with_the_label(rewrite: Rewrite) -> None:
    rows = [
        {"text": f"tree {row}", "kind": ["oak", "elm"][row % 2], "tags": [["Q"], ["U"]][row % 2]} for row in range(4)
    ]
    out = rewrite("\n".join(map(json.dumps, rows)).encode(), {0: "elm"}, name="data.jsonl", copies=("tags",)).decode()
    assert [json.loads(line)["tags"] for line in out.splitlines()] == [["U"], ["U"], ["Q"], ["U"]]


def test_a_copy_without_a_value_stays_without_one(rewrite: Rewrite) -> None:
    table = "kind,code\noak,\noak,7\noak,\nelm,9\nelm, \nelm,9\n"
    out = rewrite(table.encode(), {0: "elm", 3: "oak"}, copies=("code",)).decode()
    assert out == "kind,code\nelm,\noak,7\noak,\noak,7\nelm, \nelm,9\n"
    rows: list[dict[str, Any]] = [
        {"kind": "oak", "code": None},
        {"kind": "oak", "code": 7},
        {"kind": "elm", "code": 9},
        {"kind": "elm"},
    ]
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    out = rewrite(lines.encode(), {0: "elm", 3: "oak"}, name="data.jsonl", copies=("code",)).decode()
    assert [json.loads(line) for line in out.splitlines()] == [
        {**rows[0], "kind": "elm"},
        rows[1],
        rows[2],
        {"kind": "oak"},
    ]


@pytest.mark.parametrize("is_nullable", [True, False])
def test_a_copy_of_the_label_in_parquet_changes_with_it(rewrite: Rewrite, tmp_path: Path, is_nullable: bool) -> None:
    fields = [("size", pa.int64()), ("kind", pa.string()), ("code", pa.int8())]
    schema = pa.schema([pa.field(name, kind, nullable=is_nullable) for name, kind in fields])
    columns = {"size": [1, 2, 3, 4], "kind": ["oak", "elm", "oak", "elm"], "code": [7, 9, 7, 9]}
    pq.write_table(pa.table(columns, schema=schema), tmp_path / "trees.parquet")
    content = (tmp_path / "trees.parquet").read_bytes()
    out = rewrite(content, {0: "elm"}, name="trees.parquet", copies=("code",))
    assert pq.read_table(pa.BufferReader(out)).to_pydict() == columns | {
        "kind": ["elm", "elm", "oak", "elm"],
        "code": [9, 9, 7, 9],
    }
    if is_nullable:
        out = rewrite(content, {0: "ash"}, name="trees.parquet", copies=("code",))
        assert pq.read_table(pa.BufferReader(out)).column("code").to_pylist() == [None, 9, 7, 9]
    else:
        with pytest.raises(Conflict, match="'code' says the label too"):
            rewrite(content, {0: "ash"}, name="trees.parquet", copies=("code",))


def test_a_form_that_cannot_be_written_says_what_works(rewrite: Rewrite) -> None:
    svm = "".join(f"{i % 2} 1:{i} 2:{i * 2}\n" for i in range(8)).encode()
    with pytest.raises(Conflict, match=r"written as svmlight.*; csv, parquet and jsonl"):
        rewrite(svm, {2: "1"}, frozenset(), "trees.svm", "label")


@pytest.mark.parametrize("packed", [False, True])
def test_arrays_keep_their_types_and_lose_the_rows_of_removed_samples(
    rewrite: Rewrite, tmp_path: Path, *, packed: bool
) -> None:
    x, weight = np.arange(24, dtype=">f4").reshape(8, 3), np.arange(8)
    for y in (np.arange(8, dtype=np.uint8) % 2, np.array(["oak", "elm"] * 4)):
        save = np.savez_compressed if packed else np.savez
        save(tmp_path / "a.npz", x=x, y=y, weight=weight, other=np.eye(2))
        new = "1" if y.dtype.kind == "u" else "hornbeam"
        found = rewrite((tmp_path / "a.npz").read_bytes(), {2: new}, frozenset({5}), "a.npz", "y")
        (tmp_path / "found.npz").write_bytes(found)
        with np.load(tmp_path / "found.npz") as arrays:
            left = [0, 1, 2, 3, 4, 6, 7]
            expected = y.astype(object)[left]
            expected[2] = 1 if new == "1" else new
            assert arrays["y"].tolist() == expected.tolist()
            assert (arrays["x"].tolist(), arrays["weight"].tolist()) == (x[left].tolist(), left)
            assert (arrays["x"].dtype, arrays["other"].tolist()) == (x.dtype, np.eye(2).tolist())
            assert arrays["y"].dtype.kind == y.dtype.kind
