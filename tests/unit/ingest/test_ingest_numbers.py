"""Numbers as they are written in many countries, and what is counted as missing among them."""

import math

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings

from service.domain.errors import Invalid
from service.ingest import numbers
from tests.unit.ingest.uploads import Take, rows_as_csv, rows_as_json_lines


def semicolons(**columns: list[str]) -> str:
    """A table with semicolons between its values, and a label of two classes."""
    rows = zip(*columns.values(), strict=True)
    lines = [";".join((*row, "pq"[place % 2])) for place, row in enumerate(rows)]
    return "\n".join([";".join((*columns, "label")), *lines]) + "\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$1,234.50", 1234.5),
        ("-$5", -5),
        ("€ 1,234.5", 1234.5),
        ("1,234.50 USD", 1234.5),
        ("(1,234)", -1234),
        ("1,234.5-", -1234.5),
        ("45%", 45),
        ("12.5 %", 12.5),
        ("\u22125.25", -5.25),
        ("12\u202f345.5", 12345.5),
        ("12\u00a0345", 12345),
        ("1'234.5", 1234.5),
        ("12,34,567.8", 1234567.8),
        ("1,234E+02", 123400),
        ("\u0663\u0664", 34),
        ("\uff11\uff12", 12),
        ("5.-", 5),
    ],
)
def test_signs_and_units_around_a_number_do_not_change_it(text: str, value: float) -> None:
    assert numbers.as_numbers(pa.array([text]), ".").to_pylist() == [value]


@pytest.mark.parametrize("text", ["1_000", "0x1A", "1,5", "1.2.3", "1,234,56", "12-34", "A 5", "-", "1 2 3", "1,2345"])
def test_a_text_that_is_no_number_in_any_country_is_none(text: str) -> None:
    assert numbers.as_numbers(pa.array([text]), ".").to_pylist() == [None]


MARKS = st.sampled_from(
    [(".", ","), (".", ""), (".", "'"), (".", "\u202f"), (",", "."), (",", ""), (",", " "), (",", "\u00a0")]
)


@given(
    st.floats(-1e9, 1e9), MARKS, st.sampled_from(["", "$", "€ "]), st.sampled_from(["", "%", " kr"]), st.integers(0, 4)
)
def test_a_number_written_in_any_locale_comes_back_as_the_same_number(
    value: float, marks: tuple[str, str], before: str, after: str, digits: int
) -> None:
    decimal, thousands = marks
    plain = f"{value:,.{digits}f}"
    text = plain.replace(",", "T").replace(".", decimal).replace("T", thousands)
    sign = "\u2212" if text.startswith("-") else ""
    found = numbers.as_numbers(pa.array([sign + before + text.lstrip("-") + after]), decimal)  # type: ignore[arg-type]  # "." or ","
    assert found.to_pylist() == [float(plain.replace(",", ""))]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(-99_999, 99_999), st.floats(-1e6, 1e6)), min_size=12, max_size=20),
    MARKS,
    st.integers(0, 4),
)
def test_a_file_in_any_locale_gives_the_same_numbers_or_says_how_it_read_them(
    take: Take, pairs: list[tuple[int, float]], marks: tuple[str, str], digits: int
) -> None:
    decimal, thousands = marks
    wanted = [(number, float(f"{value:.{digits}f}")) for number, value in pairs]
    assume(all(len(set(column)) > 2 for column in zip(*wanted, strict=True)))
    texts = [(f"{number:,}", f"{value:,.{digits}f}") for number, value in pairs]
    local = [
        [text.replace(",", "T").replace(".", decimal).replace("T", thousands) for text in column]
        for column in zip(*texts, strict=True)
    ]
    outcome = take(semicolons(a=local[0], b=local[1]), features=["a", "b"])
    told = outcome.codes & {"points_in_numbers", "commas_in_numbers"}
    for place, name in enumerate("ab"):
        if name in outcome.kinds:
            assert told or outcome.column(name) == [row[place] for row in wanted]


def test_one_column_tells_how_all_columns_of_the_file_write_their_numbers(take: Take) -> None:
    prices = ["850", "2.750", "11.100", "2.310"] * 5
    outcome = take(semicolons(price=prices, share=["1,5", "0,25", "3,75", "2"] * 5))
    assert outcome.column("price")[:4] == [850, 2750, 11100, 2310]
    assert outcome.column("share")[:4] == [1.5, 0.25, 3.75, 2]
    (said,) = [one.detail for one in outcome.found.warnings if one.code == "points_in_numbers"]
    assert "price" in said
    assert "share" in said
    assert "spec.decimal" in said


def test_a_column_with_decimal_points_keeps_them_beside_decimal_commas(take: Take) -> None:
    outcome = take(semicolons(a=["1.25", "0.5", "10.125"] * 5, b=["1,5", "0,25", "3,75"] * 5))
    assert outcome.column("a")[:3] == [1.25, 0.5, 10.125]
    assert outcome.column("b")[:3] == [1.5, 0.25, 3.75]


def test_numbers_that_nothing_in_the_file_explains_are_told(take: Take) -> None:
    rows = [
        {"v": text, "b": place, "label": "pq"[place % 2]} for place, text in enumerate(["1.234", "2.500", "870"] * 5)
    ]
    outcome = take(rows_as_csv(rows))
    assert outcome.column("v")[:3] == [1.234, 2.5, 870]
    assert "points_in_numbers" in outcome.codes


@pytest.mark.parametrize(("decimal", "value"), [(".", 1.234), (",", 1234)])
def test_the_client_says_which_decimal_mark_is_meant(take: Take, decimal: str, value: float) -> None:
    outcome = take(semicolons(v=["1.234", "2.500", "870"] * 5, b=[str(place) for place in range(15)]), decimal=decimal)
    assert outcome.column("v")[0] == value


@pytest.mark.parametrize("mark", ["\\N", "-", ".", "?", "#DIV/0!", "#N/A", "n.d.", "unknown", "--"])
def test_marks_among_numbers_are_missing_and_counted(take: Take, mark: str) -> None:
    rows = [{"v": mark if place % 3 == 0 else place * 1.5, "label": "pq"[place % 2]} for place in range(30)]
    for outcome in (take(rows_as_csv(rows)), take(rows_as_json_lines(rows), name="rows.jsonl")):
        assert outcome.kinds["v"] == "numeric"
        assert outcome.column("v")[:2] == [None, 1.5]
    said = {one.code: one.detail for one in outcome.found.warnings}
    assert "10 values" in said["marks_of_missing"]
    assert mark in said["marks_of_missing"]


def test_bounds_in_place_of_numbers_are_missing_and_counted(take: Take) -> None:
    values = ["<0.5", ">100", *[str(place / 4) for place in range(28)]]
    outcome = take(rows_as_csv([{"v": text, "label": "pq"[place % 2]} for place, text in enumerate(values)]))
    assert outcome.column("v")[:3] == [None, None, 0]
    assert "v (2)" in next(one.detail for one in outcome.found.warnings if one.code == "unparsable_values")


def test_four_fifths_of_numbers_make_a_number_and_fewer_do_not(take: Take) -> None:
    def rows(words: int) -> str:
        values = [f"grade {place % 3}" for place in range(words)] + [str(place % 9) for place in range(100 - words)]
        return rows_as_csv([{"v": text, "b": place, "label": "pq"[place % 2]} for place, text in enumerate(values)])

    mostly = take(rows(20))
    assert mostly.kinds["v"] == "numeric"
    assert "v (20)" in next(one.detail for one in mostly.found.warnings if one.code == "unparsable_values")
    assert take(rows(21)).kinds["v"] == "categorical"


def test_signs_beside_some_numbers_alone_are_told(take: Take) -> None:
    values = [f"{place}%" if place % 2 else str(place / 100) for place in range(40)]
    outcome = take(rows_as_csv([{"v": text, "label": "pq"[place % 3 % 2]} for place, text in enumerate(values)]))
    assert "v (20)" in next(one.detail for one in outcome.found.warnings if one.code == "mixed_units")


@pytest.mark.parametrize("name", ["v", "zip", "home_postal_code"])
def test_codes_are_categories(take: Take, name: str) -> None:
    codes = ["01234", "80331", "10115"] if name == "v" else ["91234", "80331", "10115"]
    rows = [{name: codes[place % 3], "b": place / 7, "label": "pq"[place % 2]} for place in range(30)]
    outcome = take(rows_as_csv(rows))
    assert outcome.kinds[name] == "categorical"
    assert outcome.column(name)[:3] == codes


@pytest.mark.parametrize(("kind", "value"), [("categorical", "7"), ("numeric", 7), ("text", "7")])
def test_the_client_says_of_which_kind_a_column_is(take: Take, kind: str, value: object) -> None:
    rows = [{"v": place % 5 + 7, "label": "pq"[place % 2]} for place in range(30)]
    outcome = take(rows_as_csv(rows), kinds={"v": kind}, modality="text" if kind == "text" else "tabular")
    assert outcome.kinds["v"] == kind
    assert (outcome.table["text"] if kind == "text" else outcome.column("v"))[0] == value


def test_a_kind_that_no_value_has_is_refused(take: Take) -> None:
    rows = [{"v": ("red", "blue")[place % 2], "b": place, "label": "pq"[place % 2]} for place in range(30)]
    with pytest.raises(Invalid, match="no value of 'v' can be read as datetime"):
        take(rows_as_csv(rows), kinds={"v": "datetime"})


@pytest.mark.parametrize("word", ["NA", "null", "None", "nan", "N/A"])
def test_a_word_in_a_source_with_nulls_is_a_category(take: Take, word: str) -> None:
    rows = [
        {"v": (word, "red", None, "blue")[place % 4], "b": place / 3, "label": "pq"[place % 2]} for place in range(30)
    ]
    assert take(rows_as_json_lines(rows), name="rows.jsonl").column("v")[:3] == [word, "red", None]
    assert take(rows_as_csv(rows)).column("v")[:3] == [None, "red", None]


def test_the_client_says_what_is_missing(take: Take) -> None:
    rows = [
        {"v": (-999, 1.5, "NA", 2)[place % 4], "w": ("none", "red", "NA")[place % 3], "label": "pq"[place % 2]}
        for place in range(30)
    ]
    beside = take(rows_as_csv(rows), missing=["-999", "red"])
    assert beside.column("v")[:3] == [None, 1.5, None]
    assert "w" not in beside.kinds
    alone = take(rows_as_csv(rows), missing=[])
    assert alone.column("w")[:3] == ["none", "red", "NA"]
    assert math.isclose(alone.column("v")[0], -999)


@pytest.mark.parametrize(("text", "value"), [("{} cm", 1), ("{}kg", 1), ("{},5 °C", 1.5), ("{}.5 m/s", 1.5)])
def test_numbers_with_one_unit_behind_them_are_numbers(take: Take, text: str, value: float) -> None:
    rows = [{"v": text.format(place), "label": "pq"[place % 2]} for place in range(30)]
    outcome = take(rows_as_csv(rows))
    assert outcome.kinds["v"] == "numeric"
    assert outcome.column("v")[1] == value


def test_numbers_with_several_units_are_told(take: Take) -> None:
    rows = [{"v": f"{place % 9} {('cm', 'm')[place % 2]}", "b": place, "label": "pq"[place % 2]} for place in range(30)]
    outcome = take(rows_as_csv(rows))
    assert outcome.kinds["v"] == "categorical"
    assert "v (cm, m)" in next(one.detail for one in outcome.found.warnings if one.code == "numbers_with_units")
