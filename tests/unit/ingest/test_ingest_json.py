"""JSON of any form: one object a line, an array of objects, what pandas writes; its values keep their types."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from service.domain.errors import Invalid, Malformed
from service.ingest import Limits
from service.ingest.readers.json_lines import Record, decoded, record_batches
from service.ingest.source import BATCH_CELLS, BATCH_ROWS
from tests.unit.ingest.uploads import Take, json_lines, zip_of

ROWS: list[dict[str, Any]] = [
    {"depth": i / 4, "rock": ("ash", "NA", "marl")[i % 3], "label": "uv"[i % 2]} for i in range(12)
]
COLUMNS = {name: [row[name] for row in ROWS] for name in ROWS[0]}
FORMS: dict[str, Any] = {
    "an array of objects": ROWS,
    "an array under a key": {"count": 12, "rows": ROWS, "about": {"by": "me"}},
    "split": {"columns": list(COLUMNS), "index": list(range(12)), "data": [list(row.values()) for row in ROWS]},
    "columns": {name: dict(zip(map(str, range(12)), column, strict=True)) for name, column in COLUMNS.items()},
    "index": {str(place): row for place, row in enumerate(ROWS)},
    "an object of arrays": COLUMNS,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_every_form_of_a_table_is_the_same_table(take: Take, form: str, indent: int | None, mark: str) -> None:
    lines = take(json_lines(ROWS), "a.jsonl")
    outcome = take(mark + json.dumps(FORMS[form], indent=indent), "a.json", label="label")
    assert outcome.table == lines.table
    assert (outcome.labels, outcome.kinds) == (lines.labels, lines.kinds)
    assert outcome.found.inferred.format.startswith("json, ")


def test_json_alone_in_an_archive_is_read_and_beside_a_table_it_is_not(take: Take) -> None:
    content = json.dumps(ROWS).encode()
    assert take(zip_of({"rocks.json": content}), "a.zip").found.rows == 12
    assert take(zip_of({"rocks.jsonl": json_lines(ROWS[:8]).encode(), "card.json": content}), "a.zip").found.rows == 8


def test_values_keep_their_types(take: Take) -> None:
    rows = [
        '{"a": NaN, "b": true, "c": "NA", "label": "some"}',
        '{"a": 1, "b": false, "c": "x", "label": "none"}',
        '{"a": -Infinity, "b": null, "c": "NA", "label": "some"}',
        '{"a": 2.5, "b": true, "c": "x", "label": "none"}',
    ]
    for content, name in (("\n".join(rows), "a.jsonl"), (f"[{','.join(rows)}]", "a.json")):
        outcome = take(content, name)
        assert outcome.column("a") == [None, 1, None, 2.5]
        assert outcome.column("b") == [True, False, None, True]
        assert outcome.column("c") == ["NA", "x", "NA", "x"]
        assert outcome.labels == ["some", "none", "some", "none"]


def test_an_element_is_named_by_its_place(take: Take) -> None:
    rows = [*ROWS[:3], {**ROWS[3], "label": None}, *ROWS[4:]]
    (skipped,) = take(json.dumps(rows), "a.json").skipped
    assert (skipped.index, skipped.where) == (3, "element 3")


def test_many_elements_keep_their_order(take: Take) -> None:
    rows = [{"x": i, "label": str(i % 3)} for i in range(9_000)]
    assert take(json.dumps(rows), "a.json").column("x") == list(map(float, range(9_000)))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ([1, 2, 3], "no table"),
        ([[1, "a"], [2, "b"]], "no table"),
        ({"a": 1, "b": 2}, "no table"),
        ({"a": ROWS, "b": ROWS}, "several keys"),
        ({"x": [1, 2, 3], "label": ["a", "b"]}, r"differ in length: x \(3\), label \(2\)"),
        ({"columns": ["x", "label"], "data": [[1, "a"], [2]]}, "element 1 of data has 1 values"),
        ([], "no table"),
    ],
)
def test_what_is_no_table_is_refused_with_the_forms_that_are(take: Take, content: Any, match: str) -> None:
    with pytest.raises(Invalid, match=match):
        take(json.dumps(content), "a.json")


@pytest.mark.parametrize("keep", [0.4, 0.9])
def test_a_document_that_is_cut_short_is_told_by_its_line(take: Take, keep: float) -> None:
    for indent in (None, 1):
        text = json.dumps(ROWS, indent=indent)
        with pytest.raises(Malformed, match="line"):
            take(text[: int(len(text) * keep)], "a.json")


def test_a_byte_that_is_no_text_is_told_by_its_line(take: Take) -> None:
    rows = [{**row, "label": "schön" if row["label"] == "u" else "öde"} for row in ROWS]
    content = json.dumps(rows, indent=0, ensure_ascii=False).encode().replace("ö".encode(), b"\xf6", 1)
    with pytest.raises(Malformed, match=r"line 2 .*0xF6"):
        take(content, "a.json")


@pytest.mark.parametrize("between", ["", " ", "\n", ",\n", "\r\n\r\n"])
@pytest.mark.parametrize("indent", [None, 3])
def test_objects_one_after_the_other_are_rows_whatever_stands_between_them(
    take: Take, between: str, indent: int | None
) -> None:
    objects = (json.dumps({"depth": n * 1.5, "soil": "loam" if n % 3 else "clay"}, indent=indent) for n in range(40))
    outcome = take(between.join(objects), "cores.json")
    assert outcome.column("depth") == [n * 1.5 for n in range(40)]
    assert outcome.found.class_counts == {"loam": 26, "clay": 14}


@pytest.mark.parametrize("form", ["array", "lines"])
def test_members_of_an_object_in_a_row_are_columns(take: Take, form: str) -> None:
    rows = [
        {"probe": {"depth": n * 1.5, "site": {"slope": n % 7}}, "judged": {"soil": "loam" if n % 3 else "clay"}}
        for n in range(40)
    ]
    content = json.dumps(rows) if form == "array" else json_lines(rows)
    outcome = take(content, "cores.json", label="judged.soil")
    assert outcome.kinds == {"probe.depth": "numeric", "probe.site.slope": "numeric"}
    assert outcome.found.class_counts == {"loam": 26, "clay": 14}


def test_objects_nested_without_end_are_no_error(take: Take) -> None:
    deep = '{"in":' * 400 + "1" + "}" * 400
    rows = (f'{{"depth":{n / 2},"note":{deep},"soil":"{"loam" if n % 3 else "clay"}"}}' for n in range(40))
    assert take("\n".join(rows), "cores.jsonl").kinds == {"depth": "numeric"}


def test_an_object_of_names_and_labels_is_a_table_of_two_columns(take: Take) -> None:
    content = json.dumps({f"grey rock number {n} of the shore": ("loam", "clay")[n % 2] for n in range(20)})
    assert take(content, "cores.json", label="value", features=["key"]).found.class_counts == {"loam": 10, "clay": 10}


def test_the_key_of_each_row_is_its_id(take: Take) -> None:
    content = json.dumps({f"core-{n}": {"depth": n / 2, "soil": ("loam", "clay")[n % 2]} for n in range(20)})
    assert take(content, "cores.json", id="key").table["id"][3] == "core-3"


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_deep_value_beside_half_a_character_is_read_or_malformed(take: Take, name: str) -> None:
    def content(depth: int) -> str:
        deep = '{"x": ' + "[" * depth + "]" * depth + ', "half": "\\ud800", '
        rows = [deep + f'"n": {n}, "label": "{"ab"[n % 2]}"}}' for n in range(4)]
        return "[" + ",".join(rows) + "]" if name == "a.json" else "\n".join(rows)

    assert take(content(50), name).labels == list("abab")
    for depth in (600, 990):
        with pytest.raises(Malformed, match=r"recursion|deeply"):
            take(content(depth), name)


def test_rows_of_many_names_come_in_batches_of_few_rows() -> None:
    records = [Record(f"row {row}", 10, {f"k{row}": row}) for row in range(5_000)]
    batches = list(record_batches(records, Limits()))
    assert sum(one.rows.num_rows for one in batches) == 5_000
    assert max(one.rows.num_rows * one.rows.num_columns for one in batches) <= 2 * BATCH_CELLS
    same = [Record(f"row {row}", 10, {"k": row}) for row in range(5_000)]
    assert [one.rows.num_rows for one in record_batches(same, Limits())] == [BATCH_ROWS, 5_000 - BATCH_ROWS]


@pytest.mark.parametrize("end", ["", "\n", "\r\n", " \n", "\n\n", "\x0c\n", " {}", ",", "}", "\ufeff", "\u2028"])
@pytest.mark.parametrize("start", ["", " ", "\t", "\ufeff", "\x0b"])
@pytest.mark.parametrize("value", ['{"x": 1, "label": "a"}', "{}", '{"x": NaN}', '{"x": 1', "{'x': 1}", "[1]", "1", ""])
def test_a_line_is_decoded_as_the_whole_of_it_is(value: str, start: str, end: str) -> None:
    line = start + value + end
    assert _outcome(decoded, line) == _outcome(json.loads, line)


def _outcome(decode: Callable[[str], Any], line: str) -> str:
    try:
        return repr(decode(line))
    except json.JSONDecodeError as error:
        return f"{error.msg} at {error.pos}"
