"""Laws of ingest over generated files."""

import csv
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.domain.dataset import METADATA_KEY, CanonicalHeader, DatasetSpec
from service.domain.errors import SuspectsError
from service.ingest import Ingested, Limits, ingest, previews, sample_row
from tests.unit.ingest.samples import SAMPLES
from tests.unit.ingest.uploads import png, zip_of

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

texts = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), include_characters="\n"), min_size=1, max_size=12
)
cells = st.one_of(
    st.sampled_from(["", "?", "NA", "nan", "inf", "yes", "no", "2024-01-02", "[1, 2]", "1.5", "-3"]),
    texts,
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)


def read(content: bytes, name: str, **spec: Any) -> tuple[Ingested, dict[str, list[Any]], CanonicalHeader]:
    """Ingest and read the canonical file back; single rows and previews must agree with it."""
    with tempfile.TemporaryDirectory() as folder:
        source, data, skipped = (Path(folder) / file for file in ("in", "data", "skipped"))
        source.write_bytes(content)
        try:
            found = ingest(source, name, DatasetSpec(**spec), data, skipped, Limits())
        except Exception:
            assert not data.exists()
            assert not skipped.exists()
            raise
        table = pq.read_table(data)
        header = CanonicalHeader.model_validate(json.loads(table.schema.metadata[METADATA_KEY]))
        assert found.skipped_rows == len(skipped.read_text(encoding="utf-8").splitlines())
        last = sample_row(data, table.column("id")[found.rows - 1].as_py())
        assert last is not None
        assert last["index"] == table.column("index")[found.rows - 1].as_py()
        assert len(previews(data, range(found.rows))) == found.rows
    return found, table.to_pydict(), header


def attempted(content: bytes, name: str) -> Ingested | None:
    """As `read`, but None where the file is refused, which must be in words."""
    try:
        return read(content, name)[0]
    except SuspectsError as error:
        detail = error.detail
    assert detail
    return None


def written(rows: list[list[str]], delimiter: str, end: str) -> str:
    """Rows as the standard library writes them, every value quoted."""
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(rows)
    return file.getvalue()


@quick
@given(st.lists(st.tuples(cells, cells, st.sampled_from(["a", "b"])), min_size=2, max_size=30))
def test_every_row_is_kept_or_told(rows: list[tuple[str, str, str]]) -> None:
    body = [[*row] for row in rows] + [["1", "v", "a"], ["2", "w", "b"]]
    try:
        found, table, _ = read(written([["p", "q", "label"], *body], ",", "\n").encode(), "a.csv")
    except SuspectsError:
        return
    assert found.rows + found.skipped_rows == len(body)
    assert found.modality != "tabular" or table["index"] == list(range(len(body)))


@quick
@given(
    st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False), texts), min_size=3, max_size=30),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_numbers_and_words_survive_any_way_of_writing_a_table(
    rows: list[tuple[float, str]], delimiter: str, end: str, encoding: str
) -> None:
    body = [["number", "word", "key", "target"]]
    body += [[repr(number), f"w{word}", str(i % 2), "yes" if i % 2 else "no"] for i, (number, word) in enumerate(rows)]
    content = written(body, delimiter, end).encode(encoding)
    try:
        found, table, header = read(content, "a.csv", features=["number", "word", "key"])
    except SuspectsError as error:
        raise AssertionError(error.detail) from error
    columns = {feature["name"]: table[feature["column"]] for feature in header.features}
    numbers = [number for number, _ in rows]
    if len(set(numbers)) > 1:
        assert columns["number"] == numbers
    if "word" in columns:
        assert columns["word"] == [f"w{word}".strip() for _, word in rows]
    assert found.rows == len(rows)


@quick
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["u", "v", "w"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | texts,
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=2),
                max_leaves=4,
            ),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_any_json_lines_are_read_or_refused_in_words(rows: list[dict[str, Any]]) -> None:
    labelled = [{**row, "label": "ab"[i % 2]} for i, row in enumerate([*rows, {"u": 1}, {"u": 2}])]
    found = attempted("\n".join(map(json.dumps, labelled)).encode(), "a.jsonl")
    assert found is None or found.rows + found.skipped_rows == len(labelled)


@quick
@given(st.binary(max_size=400), st.sampled_from(["a.csv", "a.jsonl", "a.zip", "a.tar", "a.npz", "a.parquet", "a"]))
def test_any_bytes_are_read_or_refused_in_words(content: bytes, name: str) -> None:
    attempted(content, name)


EXPORTS = Path(__file__).parents[1] / "unit" / "ingest" / "exports"
PICTURES = {f"{name}.png": png() for name in ("cat_a0", "cat_b1", "cat_c2", "dog_a0", "dog_b1", "dog_c2", "1", "2")}
RECORDS: dict[str, Any] = {
    **{path.name: json.loads(path.read_text()) for path in EXPORTS.glob("*.json")},
    "prodigy": [
        {"text": f"so {n}", "_input_hash": n, "_task_hash": n, "accept": ["ab"[n % 2]], "answer": "accept"}
        for n in range(4)
    ],
    "doccano": [{"id": n, "text": f"so {n}", "label": ["ab"[n % 2]]} for n in range(4)],
    "labelbox": [
        {
            "data_row": {"id": f"c{n}", "row_data": f"so {n}"},
            "projects": {
                "p": {
                    "labels": [
                        {"annotations": {"classifications": [{"name": "k", "radio_answer": {"name": "ab"[n % 2]}}]}}
                    ]
                }
            },
        }
        for n in range(4)
    ],
    "fiftyone": {
        "samples": [
            {
                "_id": {"$oid": str(n)},
                "filepath": f"{n}.png",
                "tags": ["x"],
                "t": {"_cls": "Classification", "label": "ab"[n % 2]},
            }
            for n in (1, 2)
        ]
    },
}
leaves = st.sampled_from(
    [None, True, 3, -1.5, "", "x", [], {}, ["a"], [[1]], {"a": 1}, "data:image/png;base64,x", "\ud800"]
)


def changed(data: st.DataObject, node: Any) -> Any:
    """With another value somewhere in it."""
    if isinstance(node, (list, dict)) and node and data.draw(st.integers(0, 5)):
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        copy = node.copy()
        copy[key] = changed(data, node[key])
        return copy
    return data.draw(leaves)


@settings(quick, max_examples=150)
@given(st.data(), st.sampled_from(sorted(RECORDS)))
def test_a_labelling_tools_file_of_another_shape_is_read_or_refused_in_words(data: st.DataObject, name: str) -> None:
    content = json.dumps(changed(data, changed(data, RECORDS[name])))
    if data.draw(st.booleans()):
        attempted(zip_of({"a.json": content.encode(), **PICTURES}), "a.zip")
    else:
        attempted(content.encode(), "a.json")


@quick
@given(st.data(), st.sampled_from(sorted(SAMPLES)))
def test_any_damage_is_survived_or_told(data: st.DataObject, form: str) -> None:
    content = bytearray(SAMPLES[form])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(content)))
    attempted(bytes(content[:cut]) if data.draw(st.booleans()) else bytes(content), f"a.{form}")
