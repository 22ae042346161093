"""Text tables whose first row is a sample: `header: false`."""

import gzip
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.domain.dataset import DatasetSpec
from service.domain.errors import Conflict, Invalid
from service.ingest import Limits
from service.ingest.rewritten.edits import Edits
from service.ingest.rewritten.forms import rewritten
from service.store.originals import Original
from tests.unit.ingest.uploads import Take, png, zip_of

ROWS = "".join(f"{i}.5,{('oak', 'elm', 'ash')[i % 3]},{('dry', 'wet')[i % 2]}\n" for i in range(60))
NAMES = "column_1,column_2,column_3\n"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " "])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_the_samples_are_those_of_the_same_table_under_numbered_names(take: Take, delimiter: str, ending: str) -> None:
    rows, named = (text.replace(",", delimiter).replace("\n", ending) for text in (ROWS, NAMES + ROWS))
    bare = take(rows, header=False, label="column_3")
    headed = take(named, label="column_3")
    assert bare.table == headed.table
    assert (bare.found.features, bare.found.classes) == (headed.found.features, headed.found.classes)
    assert bare.table["index"] == list(range(60))
    assert (
        bare.found.inferred.format
        == f"{headed.found.inferred.format.split(', encoding')[0]}, no header, encoding utf-8"
    )


@pytest.mark.parametrize(
    "content",
    [
        "sep=,\n" + ROWS,
        "# trees of a park\n" + ROWS,
        "\n\n" + ROWS,
        ROWS.replace("oak", '"oak, old\nand hollow"'),
        ROWS.encode("utf-16"),
        b"\xef\xbb\xbf" + ROWS.encode(),
    ],
    ids=["delimiter named", "comment above", "blank lines", "quoted", "utf-16", "byte order mark"],
)
def test_the_first_row_is_a_sample_whatever_stands_above_it(take: Take, content: bytes | str) -> None:
    outcome = take(content, header=False, label="column_3")
    assert (outcome.found.rows, outcome.skipped) == (60, [])
    assert outcome.column("column_1")[0] == 0.5


def test_a_first_row_that_begins_with_a_mark_is_a_sample_where_others_are_text(take: Take) -> None:
    outcome = take(
        "#oak,1.5,dry\n" + "".join(f"elm{i},{i}.5,{('dry', 'wet')[i % 2]}\n" for i in range(40)), header=False
    )
    assert outcome.found.rows == 41


def test_no_row_is_taken_for_the_header_once_more(take: Take) -> None:
    outcome = take("a,1,yes\nb,2,no\na,2,no\n" * 20 + "a,1,yes\n" + NAMES, header=False, label="column_3")
    assert outcome.found.rows == 62
    assert "repeated_header" not in outcome.codes


def test_a_row_of_another_width_is_skipped_by_its_own_line_and_place(take: Take) -> None:
    outcome = take(ROWS.replace("1.5,elm,wet\n", "1.5,elm,wet,more\n", 1), header=False, label="column_3")
    assert [(row.index, row.where, row.reason) for row in outcome.skipped] == [
        (1, "line 2", '4 fields, most rows have 3; write " around a value that has a comma in it')
    ]
    assert outcome.table["index"][:2] == [0, 2]


def test_tables_in_an_archive_and_packed_ones_are_read_so_too(take: Take) -> None:
    assert take(gzip.compress(ROWS.encode()), "rows.csv.gz", header=False, label="column_3").found.rows == 60
    parts = zip_of({"train.csv": ROWS.encode(), "test.csv": ROWS.replace(".5", ".7").encode()})
    outcome = take(parts, "parts.zip", header=False, label="column_3")
    assert outcome.found.splits == {"test": 60, "train": 60}
    images = {f"{i}.png": png(value=i) for i in range(20)}
    names = "".join(f"{i}.png,{('dry', 'wet')[i % 2]}\n" for i in range(20)).encode()
    assert take(zip_of(images | {"list.csv": names}), "images.zip", header=False).found.class_counts == {
        "dry": 10,
        "wet": 10,
    }


def test_a_format_that_always_has_names_is_refused(take: Take) -> None:
    with pytest.raises(Invalid, match=r"header: only text tables .* this is json") as refused:
        take('[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]', "rows.json", header=False)
    assert refused.value.errors is not None
    assert refused.value.errors[0].loc == ["spec", "header"]


@pytest.mark.parametrize("rows", [ROWS.replace("dry", "1").replace("wet", "2"), "1,2,3\n4,5,a\n6,7,b\n8,9,a\n1,2,b\n"])
def test_the_warning_of_a_first_line_like_data_names_the_option_and_is_not_told_where_it_is_given(
    take: Take, rows: str
) -> None:
    label = rows.splitlines()[0].rpartition(",")[2]
    told = [one.detail for one in take(rows, label=label).found.warnings if one.code == "header_looks_like_data"]
    assert ["set spec.header to false" in one for one in told] == [True]
    assert "header_looks_like_data" not in take(rows, label=label, header=True).codes
    assert "header_looks_like_data" not in take(rows, label="column_3", header=False).codes


@pytest.mark.parametrize("later", ["header", "annotator"])
def test_a_description_that_says_nothing_of_a_later_field_has_the_digest_that_it_had(later: str) -> None:
    assert later not in DatasetSpec(label="kind").model_dump()


@pytest.mark.parametrize(
    "text",
    [ROWS, "# by hand\r\n" + ROWS.replace("\n", "\r\n"), ROWS.replace(",", "\t")],
    ids=["comma", "comment and returns", "tab"],
)
def test_a_corrected_file_comes_back_without_a_header_and_else_byte_by_byte(tmp_path: Path, text: str) -> None:
    path, delimiter = tmp_path / "upload", "\t" if "\t" in text else ","
    path.write_bytes(text.encode())
    spec = DatasetSpec(header=False, label="column_3")
    edits = Edits({0: "wet"}, frozenset({59}), {0: "row-0", 59: "row-59"}, lambda: _unchanged())
    found = b"".join(rewritten(Original(path, "rows.csv", spec), "column_3", edits, Limits(), tmp_path)).decode()
    last = text.splitlines(keepends=True)[-1]
    first = delimiter.join(["0.5", "oak", "dry"])
    assert found == text.replace(first, first.replace("dry", "wet"), 1).removesuffix(last)
    added = replace(edits, columns=("reviewed_by",))
    with pytest.raises(Conflict, match="without a header"):
        list(rewritten(Original(path, "rows.csv", spec), "column_3", added, Limits(), tmp_path))


def _unchanged() -> Iterator[tuple[int, str]]:
    return ((i, ("dry", "wet")[i % 2]) for i in range(1, 59))


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
@pytest.mark.parametrize("numbers", [1, 2, 4])
def test_commas_within_numbers_do_not_separate_columns(take: Take, delimiter: str, numbers: int) -> None:
    rows = (delimiter.join([*[f"1.{i:03},{place}" for place in range(numbers)], "ab"[i % 2]]) for i in range(60))
    outcome = take("\n".join(rows), header=False, label=f"column_{numbers + 1}")
    assert outcome.column("column_1")[1] == 1001.0
    assert outcome.found.classes == ["a", "b"]


def test_other_delimiters_within_values_leave_the_comma_one(take: Take) -> None:
    rows = (f"{i},A{i % 7};B,{'ab'[i % 2]}" for i in range(60))
    outcome = take("\n".join(rows), header=False, label="column_3")
    assert outcome.column("column_2")[0] == "A0;B"


def test_spaces_between_numbers_with_decimal_commas_separate_columns(take: Take) -> None:
    rows = (f"{i % 9},5 {i % 4},25 {'abc'[i % 3]}" for i in range(60))
    outcome = take("\n".join(rows), "a.txt", header=False, label="column_3")
    assert outcome.column("column_2")[:2] == [0.25, 1.25]
    assert outcome.found.classes == ["a", "b", "c"]
