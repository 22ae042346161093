"""Text tables as programs and people write them: what is no row is left out and told, and no value changes."""

import csv
import io
import json
from itertools import chain
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from service.domain.dataset import DatasetSpec
from service.domain.errors import Invalid
from service.ingest import Limits
from service.ingest.readers.delimited import open_delimited
from service.ingest.readers.table_form import form_of
from service.ingest.readers.text_rows import careful_rows
from service.ingest.source import Upload
from tests.unit.ingest.uploads import Outcome, Take, csv_of

WORDS = ("oak", "elm", "ash", "fir", "yew")


def plots(rows: int = 12, *, end: str = "\n", delimiter: str = ",") -> str:
    """A table of trees: a height, a kind of soil, a label."""
    lines = [f"{i}.5,{WORDS[i % 5]},{('dry', 'wet')[i % 2]}" for i in range(rows)]
    return end.join(["height,tree,label", *lines, ""]).replace(",", delimiter)


def told(outcome: Outcome, code: str) -> str:
    """The one warning of this code."""
    (detail,) = (one.detail for one in outcome.found.warnings if one.code == code)
    return detail


def check_plots(outcome: Outcome, rows: int = 12) -> None:
    assert outcome.column("height") == [i + 0.5 for i in range(rows)]
    assert outcome.column("tree") == [WORDS[i % 5] for i in range(rows)]
    assert outcome.labels == [("dry", "wet")[i % 2] for i in range(rows)]
    assert outcome.skipped == []


@pytest.mark.parametrize("delimiter", [";", "\t", "^", "~"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_first_line_may_name_the_delimiter(take: Take, delimiter: str, quote: str) -> None:
    check_plots(take(f"{quote}sep={delimiter}{quote}\r\n" + plots(delimiter=delimiter, end="\r\n")))


def test_rows_keep_their_lines_after_the_line_that_names_the_delimiter(take: Take) -> None:
    outcome = take("sep=;\n" + plots(delimiter=";") + "7;beech\n")
    assert [(row.where, row.reason) for row in outcome.skipped] == [("line 15", "2 fields, the header has 3")]


@pytest.mark.parametrize("mark", ["#", "%", "//"])
def test_comments_before_and_among_rows_are_left_out_and_counted(take: Take, mark: str) -> None:
    lines = plots().splitlines()
    text = "\n".join([f"{mark} surveyed in May, by hand", mark, *lines[:4], f"{mark} below the road", *lines[4:]])
    outcome = take(text)
    check_plots(outcome)
    assert "3 lines" in told(outcome, "comment_lines")
    assert "line 1" in told(outcome, "comment_lines")


def test_a_row_that_was_commented_out_is_no_row_of_a_table_that_begins_with_numbers(take: Take) -> None:
    lines = plots().splitlines()
    outcome = take("\n".join([*lines[:5], "#99.5,oak,dry", *lines[5:]]))
    check_plots(outcome)
    assert "1 lines" in told(outcome, "comment_lines")


def test_hashtags_and_excel_errors_are_no_comments(take: Take) -> None:
    lines = [f"#{WORDS[i % 5]}{i},{i},{('dry', 'wet')[i % 2]}" for i in range(12)]
    outcome = take("\n".join(["tag,height,label", *lines[:6], *lines[6:], "#too,#many,fields,here"]), label="label")
    assert outcome.found.rows == 12
    assert [row.where for row in outcome.skipped] == ["line 14"]
    mixed = take(plots() + "#DIV/0!,oak,dry\n#N/A,elm,wet\n")
    assert mixed.found.rows == 14


def test_a_header_in_a_comment_is_the_header_where_no_other_is(take: Take) -> None:
    rows = plots().split("\n", 1)[1]
    check_plots(take("# height,tree,label\n" + rows))
    check_plots(take("# made by a robot, in haste, at night\n" + plots()))
    assert "#" in take("#,tree,label\n" + rows).kinds


def test_a_repeated_header_is_left_out_and_counted(take: Take) -> None:
    lines = plots().splitlines()
    outcome = take("\n".join([*lines[:5], lines[0], *lines[5:9], lines[0], *lines[9:], lines[0]]))
    check_plots(outcome)
    assert "3 times" in told(outcome, "repeated_header")
    assert "line 6" in told(outcome, "repeated_header")


def test_titles_before_the_header_are_left_out_and_told(take: Take) -> None:
    for title in ("Survey of 2024\n\n", "Survey,,\nof 2024,,\n", "Made by,Jane\nOn,3 May\n\n\n"):
        outcome = take(title + plots())
        check_plots(outcome)
        assert "before it were left out" in told(outcome, "lines_before_header")


def test_blank_lines_before_the_header_do_not_matter(take: Take) -> None:
    check_plots(take("\n  \n\r\n" + plots() + "\n \x1a"))


def test_a_header_of_the_wrong_width_is_no_title(take: Take) -> None:
    with pytest.raises(Invalid, match="5 fields, the header has 3"):
        take("a,b,c\n" + "1,2,3,4,x\n5,6,7,8,y\n" * 5, label="c")


def test_one_bad_byte_costs_its_row_and_not_the_encoding(take: Take) -> None:
    rows = [f"{i},größe {i},{('süß', 'öde')[i % 2]}" for i in range(30)]
    content = "\n".join(["a,b,label", *rows, ""]).encode()
    broken = content.replace("größe 7".encode(), "gr\xf6\xdfe 7".encode("latin-1"))
    outcome = take(broken)
    assert outcome.found.classes == ["süß", "öde"]
    assert [(row.where, "0xF6" in row.reason) for row in outcome.skipped] == [("line 9", True)]
    assert "but for 2 bytes" in told(outcome, "bad_bytes")
    assert take(b"\xef\xbb\xbf" + broken).skipped == outcome.skipped


def test_one_bad_byte_costs_its_line_of_json(take: Take) -> None:
    lines = [json.dumps({"a": i, "b": f"größe {i}", "label": "xy"[i % 2]}, ensure_ascii=False) for i in range(30)]
    content = "\n".join(lines).encode().replace("größe 7".encode(), b"gr\xf6\xc3\x9fe 7")
    outcome = take(content, "a.jsonl")
    assert (outcome.found.rows, [row.where for row in outcome.skipped]) == (29, ["line 8"])
    assert outcome.table["index"][7] == 8


def test_a_file_in_an_old_encoding_is_still_read_in_it(take: Take) -> None:
    text = plots().replace("oak", "chêne").replace("elm", "forêt")
    outcome = take(text.encode("cp1252"))
    assert outcome.column("tree")[:2] == ["chêne", "forêt"]
    assert "encoding_guessed" in outcome.codes


def test_nul_characters_are_left_out_and_told(take: Take) -> None:
    outcome = take(plots().replace("oak", "oak\0\0").encode())
    check_plots(outcome)
    assert "nul_characters" in outcome.codes


def test_quotes_after_backslashes_are_decided_by_the_rows_that_fit(take: Take) -> None:
    lines = [f'"say \\"{word}, twice\\"","C:\\new",{i % 7},{"ab"[i % 2]}' for i, word in enumerate(WORDS * 3)]
    outcome = take("\n".join(["note,path,n,label", *lines]))
    assert outcome.skipped == []
    assert outcome.column("note")[0] == 'say "oak, twice"'
    assert "quotes after backslashes" in outcome.found.inferred.format
    ends = [f'"C:\\{word}\\","say ""{word}""",{i % 7},{"ab"[i % 2]}' for i, word in enumerate(WORDS * 3)]
    outcome = take("\n".join(["path,note,n,label", *ends]))
    assert (outcome.column("path")[0], outcome.column("note")[0]) == ("C:\\oak\\", 'say "oak"')


def test_single_quotes_hold_delimiters_where_there_are_no_others(take: Take) -> None:
    lines = [f"{i}.5,'{WORDS[i % 5]}, old','{('dry', 'wet')[i % 2]}'" for i in range(12)]
    outcome = take("\n".join(["height,tree,soil", *lines]), label="soil")
    assert (outcome.column("tree")[0], outcome.found.classes, outcome.skipped) == ("oak, old", ["dry", "wet"], [])
    apostrophes = take(plots().replace("oak", "'t oak").replace("elm", "elms'"))
    assert set(apostrophes.column("tree")) == {"'t oak", "elms'", "ash", "fir", "yew"}


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("x,y,label", "'{x}','{y}','{label}'"),
        ("'x','y','label'", "'{x}','{y}','{label}'"),
        ("'x', 'y', 'label'", "'{x}', '{y}', '{label}'"),
        ("x,y,label", "{x},{y},'{label}'"),
        ("x;y;label", "'{x}';'{y}';'{label}'"),
        ("# it's said\nx\ty\tlabel", "'{x}'\t'{y}'\t'{label}'"),
    ],
)
@pytest.mark.parametrize("other", ["b", "o''clock", '"b"'])
def test_single_quotes_around_all_values_of_a_column_are_no_part_of_them(
    take: Take, header: str, line: str, other: str
) -> None:
    lines = [line.format(x=i + 0.5, y=i * 7 % 5, label=("a", other)[i % 2]) for i in range(60)]
    outcome = take("\n".join([header, *lines, ""]), label="label")
    assert outcome.found.classes == sorted(["a", other.replace("''", "'")])
    assert (outcome.found.modality, outcome.kinds["x"], outcome.skipped) == ("tabular", "numeric", [])
    assert outcome.column("x") == [i + 0.5 for i in range(60)]


@pytest.mark.parametrize("begin", ["'tis {}", "'n' roll {}", "{}'", "'it's {}'"])
@pytest.mark.parametrize("quoted", [True, False])
def test_texts_that_begin_with_an_apostrophe_stay_as_they_are(take: Take, begin: str, quoted: bool) -> None:
    """Also beside a column of which all values have single quotes, where these then stay, too."""
    texts = [begin.format(WORDS[i % 5]) if i % 2 or not quoted else WORDS[i % 5] for i in range(60)]
    mark = "'" if quoted and not begin.endswith("}'") else ""
    lines = [f"{i}.5,{text},{mark}{('dry', 'wet')[i % 3 == 0]}{mark}" for i, text in enumerate(texts)]
    outcome = take("\n".join(["height,said,soil", *lines, ""]), label="soil")
    assert (outcome.column("said"), outcome.found.rows) == (texts, 60)


def test_a_quote_within_single_quotes_that_is_not_doubled_stands_for_itself(take: Take) -> None:
    lines = [f"'{i}.5','it{chr(39) if i == 150 else ''}s {WORDS[i % 5]}','{('dry', 'wet')[i % 2]}'" for i in range(200)]
    form = form_of("\n".join(["height,said,soil", *lines[:100], ""]))
    assert form.quote == "'"
    rows = list(careful_rows([lines[150]], form.dialect, 1))
    assert rows == [(["150.5", "it's oak", "dry"], [lines[150]], True)]


def test_a_byte_that_no_letter_has_is_damage_and_no_other_encoding(take: Take) -> None:
    outcome = take(plots().encode().replace(b"7.5,ash", b"7.5,a\xffh"))
    assert [row.where for row in outcome.skipped] == ["line 9"]
    assert "encoding_guessed" not in outcome.codes


def test_delimiters_after_every_row_are_accepted_and_told(take: Take) -> None:
    lines = plots().splitlines()
    outcome = take("\n".join([lines[0], *(f"{line},," for line in lines[1:])]))
    check_plots(outcome)
    assert "2 more delimiters" in told(outcome, "trailing_delimiters")
    assert "trailing_delimiters" not in take("\n".join(f"{line},," for line in lines), label="label").codes


def test_an_empty_value_too_many_in_one_row_is_still_a_fault(take: Take) -> None:
    outcome = take(plots() + "1.5,oak,dry,\n")
    assert [row.reason for row in outcome.skipped] == [
        '4 fields, the header has 3; write " around a value that has a comma in it'
    ]


@pytest.mark.parametrize("delimiter", [" ", "\t", ","])
def test_the_row_names_of_r_are_a_column(take: Take, delimiter: str) -> None:
    lines = plots().splitlines()
    quoted = [",".join(f'"{name}"' for name in lines[0].split(","))]
    quoted += [f'"n{i + 7}",' + ",".join([h, f'"{t}"', f'"{s}"']) for i, (h, t, s) in enumerate(csv.reader(lines[1:]))]
    outcome = take("\n".join(quoted).replace(",", delimiter), "plots.txt", id="rownames")
    check_plots(outcome)
    assert outcome.table["id"][:2] == ["n7", "n8"]
    assert "'rownames'" in told(outcome, "row_names")


def test_values_may_stand_between_runs_of_spaces(take: Take) -> None:
    rows = [line.split(",") for line in plots().splitlines()]
    outcome = take("\n".join("".join(f"{value:>9}" for value in row) for row in rows), "plots.data")
    check_plots(outcome)
    assert outcome.found.inferred.format.startswith("csv, delimiter spaces")


def test_lines_of_words_are_no_table(take: Take) -> None:
    for text in ("text\nhello there\nyou two\n", "one two\nthree four\nfive six\n", "label\n1\n2\n"):
        with pytest.raises(Invalid, match="only one column"):
            take(text)


def test_a_quote_that_is_not_doubled_stands_for_itself(take: Take) -> None:
    text = csv_of(400, header="age,note,target", line='{i},"a ""{c}"" one",{t}').replace(
        '"a ""red"" one",yes\n', '"a "red" one, or two",yes\n'
    )
    outcome = take(text)
    assert (outcome.found.rows, outcome.skipped) == (400, [])
    assert set(outcome.column("note")) == {'a "red" one', 'a "red" one, or two', 'a "green" one', 'a "blue" one'}
    assert "67 rows" in told(outcome, "stray_quotes")


def test_a_stray_quote_far_down_costs_no_other_row(take: Take) -> None:
    text = csv_of(3000, header="age,note,target", line='{i},"a\n{c} one",{t}')
    odd = text.replace('2500,"a\ngreen one"', '2500,"a "green" one')
    outcome = take(odd)
    assert outcome.found.rows == 3000
    assert outcome.column("note")[2500] == '"a "green" one'
    assert outcome.table["index"] == list(range(3000))


def read(content: bytes, tmp: Any, name: str = "data.csv") -> tuple[list[str], list[list[str]], list[int], str]:
    """Names, rows and skipped rows of a text table, and everything that is said of it."""
    path = tmp / "upload"
    path.write_bytes(content)
    source = open_delimited(Upload(path, name, DatasetSpec(), Limits(), tmp))
    batches = list(source.batches(True))
    rows = [list(row.values()) for batch in batches for row in batch.rows.to_pylist()]
    skipped = [row.index for batch in batches for row in batch.skipped]
    said = " ".join(one.code for one in (*source.warnings, *source.counted()))
    return list(source.columns or ()), rows, skipped, said


VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
TABLES = st.integers(2, 5).flatmap(
    lambda width: st.lists(st.lists(VALUES, min_size=width, max_size=width), min_size=2, max_size=12)
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=TABLES,
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_any_table_that_is_written_comes_back_or_is_told(
    tmp_path: Any, table: list[list[str]], delimiter: str, quoting: Any, end: str, encoding: str
) -> None:
    # Before Python 3.13 its csv does not quote these, so that the file says another thing.
    assume(quoting != csv.QUOTE_MINIMAL or not {"\r", "\n"} - set(end) & set("".join(chain(*table))))
    names = [f"name {place}" for place in range(len(table[0]))]
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerows([names, *table])
    found, rows, skipped, said = read(file.getvalue().encode(encoding), tmp_path)
    assert found == names
    if not said:
        stripped = [[value.lstrip(" ") for value in row] for row in table]
        expected = [row for place, row in enumerate(stripped) if place not in skipped]
        assert [[value.lstrip(" ") for value in row] for row in rows] == expected
    assert len(rows) + len(skipped) + (0 if not said else len(table)) >= len(table)


MARK = "\ufeff"


def test_byte_order_marks_in_joined_files_are_no_text(take: Take) -> None:
    part = "soil,depth\n" + "".join(f"{('loam', 'clay')[n % 2]},{n / 2}\n" for n in range(10))
    outcome = take(MARK + MARK + part + MARK + part, "cores.csv", label="soil")
    assert outcome.found.class_counts == {"loam": 10, "clay": 10}
    assert outcome.codes >= {"nul_characters", "repeated_header"}


@pytest.mark.parametrize(
    ("top", "rule", "row"),
    [
        ("depth,soil\n", "-----,----\n", "{},{}\n"),
        (" depth | soil \n", "-------+------\n", " {} | {}\n"),
        ("| depth | soil |\n", "|------:|:-----|\n", "| {} | {} |\n"),
        ("+-------+------+\n| depth | soil |\n", "+-------+------+\n", "| {} | {} |\n"),
    ],
)
def test_a_line_of_dashes_below_the_header_is_no_row(take: Take, top: str, rule: str, row: str) -> None:
    rows = "".join(row.format(n / 2, ("loam", "clay")[n % 2]) for n in range(20))
    outcome = take(top + rule + rows, "cores.csv", label="soil")
    assert outcome.found.class_counts == {"loam": 10, "clay": 10}
    assert outcome.skipped == []


@pytest.mark.parametrize("control", ["\v", "\x1c", "\x07"])
def test_a_control_character_in_a_text_is_no_sign_of_a_binary_file(take: Take, control: str) -> None:
    rows = "".join(f"wet{control}ground number {n} was found,{('loam', 'clay')[n % 2]}\n" for n in range(20))
    assert take("note,soil\n" + rows, "notes.csv").found.class_counts == {"loam": 10, "clay": 10}
