"""Text tables: how they are written is found out, and what cannot be read is told by line."""

import codecs
import gzip
import json

import pytest

from service.domain.errors import Invalid, Malformed, TooLarge, UnreadableType
from service.ingest import Limits
from tests.unit.ingest.uploads import Take, csv_of, json_lines


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(take: Take, delimiter: str) -> None:
    outcome = take(csv_of(20).replace(",", delimiter))
    assert outcome.kinds == {"age": "numeric", "colour": "categorical"}
    assert outcome.column("age") == list(map(float, range(20)))


def test_a_decimal_comma_does_not_pass_for_the_delimiter(take: Take) -> None:
    outcome = take(csv_of(20, line="{i},5;{c};{t}", header="size;colour;target"))
    assert set(outcome.kinds) == {"size", "colour"}


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("latin-1", b""),
    ],
)
def test_text_means_the_same_in_every_encoding(take: Take, encoding: str, mark: bytes) -> None:
    text = csv_of(20, header="größe,colour,target", line="{i}.5,{c},{t}").replace("yes", "schön").replace("no", "été")
    outcome = take(mark + text.encode(encoding))
    assert outcome.found.classes == ["schön", "été"]
    assert list(outcome.kinds) == ["größe", "colour"]
    assert ("encoding_guessed" in outcome.codes) == (encoding == "latin-1")


def test_utf_16_without_a_mark_is_recognised(take: Take) -> None:
    assert take(csv_of(20).encode("utf-16-le")).found.rows == 20


def test_cyrillic_in_its_old_encoding_is_recognised(take: Take) -> None:
    text = csv_of(20).replace("yes", "хорошо").replace("no", "плохо").replace("red", "красный")
    assert take(text.encode("cp1251")).found.classes == ["плохо", "хорошо"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_do_not_matter(take: Take, end: str) -> None:
    outcome = take(csv_of(20).replace("\n", end) + end + end)
    assert (outcome.found.rows, outcome.found.classes, outcome.skipped) == (20, ["no", "yes"], [])


def test_quotes_may_hold_delimiters_quotes_and_line_ends(take: Take) -> None:
    text = 'note,x,target\n"a, ""b""\nc",1,yes\n"plain",2,no\n"a, ""b""\nc",3,yes\n'
    outcome = take(text)
    assert outcome.column("note") == ['a, "b"\nc', "plain", 'a, "b"\nc']


def test_a_space_before_a_quote_does_not_spoil_it(take: Take) -> None:
    assert take('x, note, target\n1, "a, b", yes\n2, "c, d", no\n').column("note") == ["a, b", "c, d"]


def test_a_row_of_another_width_is_skipped_and_told_by_its_line(take: Take) -> None:
    outcome = take('x,note,target\n1,"two\nlines",yes\n\n2,b\n3,c,no,extra\n4,d,no\n')
    assert [(row.index, row.where, row.reason) for row in outcome.skipped] == [
        (1, "line 5", "2 fields, the header has 3"),
        (2, "line 6", '4 fields, the header has 3; write " around a value that has a comma in it'),
    ]
    assert outcome.table["index"] == [0, 3]
    assert outcome.table["id"] == ["row-0", "row-3"]
    assert "skipped_rows" in outcome.codes


@pytest.mark.parametrize("name", ["DATA.CSV", "data.csv.gz", "data", "x.txt"])
def test_content_decides_before_the_name(take: Take, name: str) -> None:
    assert take(csv_of(20), name).found.rows == 20


@pytest.mark.parametrize("name", ["DATA.CSV.GZ", "data.csv", "data"])
def test_gzip_is_undone(take: Take, name: str) -> None:
    outcome = take(gzip.compress(csv_of(20).encode()), name)
    assert outcome.found.rows == 20
    assert outcome.found.inferred.format == "csv, delimiter comma, encoding utf-8, gzip"


def test_a_truncated_gzip_is_told(take: Take) -> None:
    packed = gzip.compress(csv_of(5000).encode())
    with pytest.raises(Malformed, match="cut short"):
        take(packed[: len(packed) // 2], "data.csv.gz")


def test_a_damaged_gzip_is_told(take: Take) -> None:
    packed = bytearray(gzip.compress(csv_of(5000).encode()))
    packed[-6] ^= 0xFF
    with pytest.raises(Malformed, match="damaged"):
        take(bytes(packed), "data.csv.gz")


def test_a_bomb_is_refused_by_its_size(take: Take) -> None:
    packed = gzip.compress(csv_of(20_000).encode())
    with pytest.raises(TooLarge, match="100,000 bytes"):
        take(packed, "data.csv.gz", Limits(max_expanded_bytes=100_000))


def test_a_bomb_is_refused_by_its_ratio(take: Take) -> None:
    packed = gzip.compress(b"x,target\n" + b"0,1\n" * (17 * 2**20))
    with pytest.raises(TooLarge, match="200 times"):
        take(packed, "data.csv.gz")


def test_a_quote_that_is_never_closed_is_told_by_the_line_that_opens_it(take: Take) -> None:
    with pytest.raises(Malformed, match="line 4") as caught:
        take('x,note,target\n1,a,yes\n2,b,no\n3,"c,yes\n4,d,no\n5,e,yes\n')
    assert caught.value.errors[0].loc == ["file", "line 4"]


def test_a_repeated_column_gets_a_name_of_its_own_and_is_told(take: Take) -> None:
    outcome = take("x,y,x,x.1,x,target\n1,2,3,4,9,a\n4,5,6,7,8,b\n")
    assert {name: outcome.column(name)[0] for name in outcome.kinds} == {"x": 1, "y": 2, "x.2": 3, "x.1": 4, "x.3": 9}
    (told,) = (one.detail for one in outcome.found.warnings if one.code == "repeated_columns")
    assert "'x' (now also 'x.2', 'x.3')" in told


@pytest.mark.parametrize("content", [b"", b"x,target\n", b"\n\n", b"\xef\xbb\xbf"])
def test_a_file_without_rows_is_refused(take: Take, content: bytes) -> None:
    with pytest.raises(Invalid):
        take(content)


def test_one_column_is_too_few(take: Take) -> None:
    with pytest.raises(Invalid, match="only one column"):
        take("target\nyes\nno\n")


def test_a_header_of_numbers_is_doubted(take: Take) -> None:
    assert "header_looks_like_data" in take("1,2,3\n4,5,a\n6,7,b\n8,9,a\n", label="3").codes


def test_a_table_that_is_too_wide_is_refused(take: Take) -> None:
    with pytest.raises(TooLarge, match="columns"):
        take(csv_of(20), limits=Limits(max_columns=2))


@pytest.mark.parametrize(
    ("content", "name", "hint"),
    [
        (b"%PDF-1.7 \x00\x01", "a.pdf", "PDF"),
        (b"\x93NUMPY\x01\x00v\x00", "a.npy", "savez"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "a.png", "ZIP"),
        (b"just a sentence\n", "a.md", "Readable"),
        (b"<html><body>x,y\n1,2</body></html>", "a.html", "Readable"),
    ],
)
def test_what_no_reader_takes_is_refused_with_the_readable_types(
    take: Take, content: bytes, name: str, hint: str
) -> None:
    with pytest.raises(UnreadableType, match="CSV and TSV") as caught:
        take(content, name)
    assert hint in caught.value.detail


def test_json_lines_may_differ_in_their_keys(take: Take) -> None:
    rows = [
        {"x": 1, "label": "a"},
        {"label": "b", "flag": True, "x": 2.5},
        {"x": None, "label": "a", "flag": False},
        {"x": "NaN", "label": "b", "flag": None},
    ]
    outcome = take(json_lines(rows), "data.jsonl")
    assert outcome.kinds == {"x": "numeric", "flag": "boolean"}
    assert outcome.column("x") == [1, 2.5, None, None]
    assert outcome.column("flag") == [None, True, False, None]


def test_a_line_that_is_not_json_is_told_by_its_number(take: Take) -> None:
    with pytest.raises(Malformed, match="line 3") as caught:
        take('{"x": 1, "label": "a"}\n\n{"x": 2, "label"\n', "data.jsonl")
    assert caught.value.errors[0].loc == ["file", "line 3"]


@pytest.mark.parametrize("line", ["[1, 2]", "3", '"text"', "[" * 100_000, "1" * 10_000])
def test_a_line_that_is_no_object_is_told(take: Take, line: str) -> None:
    with pytest.raises(Malformed, match="line 2"):
        take('{"x": 1, "label": "a"}\n' + line + "\n", "data.jsonl")


def test_odd_json_values_do_no_harm(take: Take) -> None:
    rows = [
        '{"x": 1e999, "s": "\\ud800", "v": [1], "o": {"a": 1}, "label": "a"}',
        '{"x": 123456789012345678901234567890, "s": "b", "v": "text", "o": null, "label": "b"}',
        '{"x": NaN, "s": null, "v": null, "o": [], "label": "a"}',
        '{"x": 4, "s": "c", "v": {"k": [2]}, "o": 1, "label": "b"}',
    ]
    outcome = take("\n".join(rows), "data.jsonl")
    assert outcome.column("x") == [None, 123456789012345678901234567890.0, None, 4.0]


def test_gzipped_json_lines_in_utf_16_are_read(take: Take) -> None:
    rows = [{"x": i, "label": "ja" if i % 2 else "nein"} for i in range(10)]
    outcome = take(gzip.compress(json_lines(rows).encode("utf-16")), "data.jsonl.gz")
    assert outcome.found.classes == ["ja", "nein"]


def test_many_batches_keep_order_and_rows(take: Take) -> None:
    outcome = take(csv_of(10_000))
    assert outcome.column("age") == list(map(float, range(10_000)))
    outcome = take(json_lines([{"x": i, "label": str(i % 3)} for i in range(10_000)]), "a.jsonl")
    assert outcome.column("x") == list(map(float, range(10_000)))


def test_a_long_field_is_read(take: Take) -> None:
    vector = json.dumps([0.5] * 60_000)
    outcome = take(f'v,target\n"{vector}",a\n"{vector}",b\n')
    assert outcome.found.modality == "embedding"
