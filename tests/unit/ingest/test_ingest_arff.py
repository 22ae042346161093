"""ARFF files: names and types from the header, values in quotes, sparse rows."""

import pytest

from service.domain.errors import Invalid, Malformed
from tests.unit.ingest.uploads import Outcome, Take, zip_of

HEADER = """% Beans, cut short

@RELATION 'dry beans'
@ATTRIBUTE 'seed area' REAL
@attribute coat {red,'dark blue',"it's \\"odd\\""}
@ATTRIBUTE	sown	DATE "yyyy-MM-dd"
@ATTRIBUTE note STRING
@ATTRIBUTE kind {NA, none, ?}
@DATA
"""
ROWS = """1.5,red,2024-03-01,'a, b',NA
?,'dark blue',"2024-03-02",'it\\'s',none
% a comment

2.5, "it's \\"odd\\"", 2024-03-03, ?, NA
3.5,red,2024-03-04,'?',none
4.5,red,2024-03-04,plain,NA,surplus
5.5,red,2024-03-05,plain,none
"""


def check_beans(outcome: Outcome) -> None:
    assert outcome.column("seed area") == [1.5, None, 2.5, 3.5, 5.5]
    assert outcome.column("coat") == ["red", "dark blue", 'it\'s "odd"', "red", "red"]
    assert [row.where for row in outcome.skipped] == ["line 16"]
    assert outcome.skipped[0].reason == "6 values, the header has 5"


def test_an_arff_file_is_a_table_whose_header_names_the_columns(take: Take) -> None:
    outcome = take((HEADER + ROWS).replace("NA", "good").replace("kind", "grade"), "beans.arff")
    check_beans(outcome)
    assert outcome.labels == ["good", "none", "good", "none", "none"]
    assert outcome.found.inferred.label == "grade"
    check_beans(take(zip_of({"beans.arff": (HEADER + ROWS).replace("NA", "good").encode()}), "beans.zip"))
    check_beans(take((HEADER + ROWS).replace("NA", "good").replace("\n", "\r\n").encode("utf-16"), "beans"))


def test_a_question_mark_in_quotes_is_a_value_and_without_them_none(take: Take) -> None:
    rows = "".join(f"{i},{('?', chr(39) + '?' + chr(39), 'b')[i % 3]},{'xy'[i % 2]}\n" for i in range(12))
    outcome = take(
        "@relation r\n@attribute n numeric\n@attribute c {'?',b}\n@attribute class {x,y}\n@data\n" + rows, "a.arff"
    )
    assert outcome.column("c")[0] is None
    assert outcome.column("c")[2] == "b"


def test_the_class_attribute_or_else_a_nominal_last_one_is_the_label(take: Take) -> None:
    def label(*attributes: str) -> str | None:
        head = "".join(f"@attribute {one}\n" for one in attributes)
        rows = "".join(f"{'pq'[i % 2]},{i % 4},{'uv'[i // 2 % 2]}\n" for i in range(12))
        return take(f"@relation r\n{head}@data\n{rows}", "a.arff").found.inferred.label

    assert label("class {p,q}", "n numeric", "colour {u,v}") == "class"
    assert label("shape {p,q}", "n numeric", "colour {u,v}") == "colour"
    with pytest.raises(Invalid, match="label"):
        take("@relation r\n@attribute c {p,q}\n@attribute n real\n@data\n" + "p,1.5\nq,2.25\np,3.5\n" * 9, "a.arff")


def test_sparse_rows_have_zeros_and_first_values_where_they_say_nothing(take: Take) -> None:
    head = "@relation r\n@attribute a numeric\n@attribute b {u,'v w'}\n@attribute class {x,y}\n@data\n"
    outcome = take(head + "{0 1.5, 1 'v w'}\n{2 y}\n{}\n{0 ?,2 y}\n{7 1}\n{0 4, 1 'v w', 2 y}\n", "a.arff")
    assert outcome.column("a") == [1.5, 0, 0, None, 4]
    assert outcome.column("b") == ["v w", "u", "u", "u", "v w"]
    assert outcome.labels == ["x", "y", "x", "y", "y"]
    assert [(row.where, "no index below 3" in row.reason) for row in outcome.skipped] == [("line 10", True)]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (HEADER.split("@DATA", maxsplit=1)[0], "@data"),
        (HEADER.replace("STRING", "relational") + ROWS, "line 7: 'note' has the type 'relational'"),
        (HEADER.replace(", ?}", ""), "line 8: the values of 'kind'"),
        ("@relation r\n@attribute a real\n@data\n1\n", "two lines @attribute"),
        ("@relation r\n@attribute a real\nhello\n@data\n1\n", "line 3"),
    ],
)
def test_a_header_that_cannot_be_read_is_refused_by_its_line(take: Take, content: str, match: str) -> None:
    with pytest.raises((Malformed, Invalid), match=match):
        take(content, "a.arff")


def test_values_that_the_header_does_not_declare_are_told(take: Take) -> None:
    rows = "".join(f"{n},{('Loam', 'clay', 'loam')[n % 3]}\n" for n in range(30))
    head = "@relation cores\n@attribute depth numeric\n@attribute soil {clay,loam}\n@data\n"
    outcome = take(head + rows, "cores.arff")
    assert outcome.found.class_counts == {"Loam": 10, "clay": 10, "loam": 10}
    told = next(one.detail for one in outcome.found.warnings if one.code == "undeclared_values")
    assert told.startswith("values of 'soil' are none of those that the header declares: Loam;")


def test_an_index_of_thousands_of_digits_is_no_index(take: Take) -> None:
    head = "@relation r\n@attribute a numeric\n@attribute class {x,y}\n@data\n"
    outcome = take(head + "0,x\n1,y\n{" + "9" * 5_000 + " 1}\n2,x\n", "a.arff")
    assert outcome.column("a") == [0, 1, 2]
    assert [row.where for row in outcome.skipped] == ["line 7"]
