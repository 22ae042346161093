"""Columns of everyday tables: whole months, versions, open ranges, clocks with points, words that may be missing values."""

from collections.abc import Sequence
from datetime import date, datetime, time

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import Invalid
from service.ingest import moments
from tests.unit.ingest.test_ingest_label_columns import FLOATS, columns_of, said
from tests.unit.ingest.uploads import Take, json_lines


def beside(values: Sequence[str], name: str = "v") -> str:
    """A CSV of these values in turn, a measurement and a label."""
    return columns_of({name: values, "w": FLOATS, "label": "aab"})


@given(
    st.dates(date(1800, 1, 1), date(2200, 1, 1)),
    st.sampled_from(["%Y-%m", "%Y/%m", "%m/%Y", "%b-%Y", "%b %Y", "%B %Y"]),
)
def test_a_month_of_a_year_is_its_first_day(day: date, form: str) -> None:
    found = moments.first_moments(pa.array([day.strftime(form)]), moments.NEUTRAL_FORMS).to_pylist()
    assert found == [datetime(day.year, day.month, 1)]


@pytest.mark.parametrize("values", [["2019-03", "2020-11"], ["Oct-2011", "Jan-2014"], ["3/2019", "11/2020"]])
def test_months_are_dates(take: Take, values: list[str]) -> None:
    assert take(beside(values)).kinds["v"] == "datetime"


@pytest.mark.parametrize(
    "values", [["1.2.3", "2.0", "3.1.4"], ["4.1.2", "4.2.0"], ["10.2.3.4", "10.2.3.5"], ["Room 1204", "Room 1310"]]
)
def test_versions_and_numbered_names_are_no_dates(take: Take, values: list[str]) -> None:
    assert take(beside(values)).kinds["v"] == "categorical"


@pytest.mark.parametrize(
    ("values", "number"), [(["10,000+", "500+", "1,000+"], 10_000), (["3+", "0", "1", "2"], 3), (["65 +", "18"], 65)]
)
def test_numbers_with_a_plus_behind_them_are_numbers(take: Take, values: list[str], number: float) -> None:
    outcome = take(beside([f'"{value}"' for value in values]))
    assert (outcome.kinds["v"], outcome.column("v")[0]) == ("numeric", number)


def test_times_with_points_are_times(take: Take) -> None:
    outcome = take(beside(["18.30.00", "00.05.59", "9.00.00"]))
    assert (outcome.kinds["v"], outcome.column("v")[:2]) == ("time", [time(18, 30), time(0, 5, 59)])


@pytest.mark.parametrize("word", ["NA", "None", "null"])
def test_a_word_of_a_category_that_was_read_as_missing_is_told_and_may_be_kept(take: Take, word: str) -> None:
    text = beside(["mild", "strong", word])
    assert f"v, as {word} (20)" in said(take(text), "words_as_missing")
    kept = take(text, missing=[])
    assert word in kept.column("v")
    assert "words_as_missing" not in kept.codes | take(text, missing=[word]).codes


def test_words_of_sources_with_nulls_and_signs_of_missing_are_not_told(take: Take) -> None:
    rows = [{"v": ["mild", "None"][i % 2], "w": i / 7, "label": "aab"[i % 3]} for i in range(60)]
    assert "words_as_missing" not in take(json_lines(rows), "a.jsonl").codes
    assert "words_as_missing" not in take(beside(["mild", "?", "", "strong"])).codes


@pytest.mark.parametrize("name", ["ts", "unix_time"])
def test_seconds_that_go_up_one_a_row_are_a_measurement(take: Take, name: str) -> None:
    assert name in take(beside([str(1_700_000_000 + i) for i in range(60)], name)).kinds


def test_a_column_that_is_left_out_is_not_said_to_be_learnt_from(take: Take) -> None:
    notes = [f'"the {i} fish in pond {i * 7} were seen by the warden"' for i in range(60)]
    outcome = take(columns_of({"text": notes, "rude": "001", "label": ["calm", "sad", "cross"]}))
    assert outcome.found.modality == "text"
    assert "label_leak" not in outcome.codes


NAMED = (
    "{0:%Y}-{0.month}-{0.day}", "{0:%a, %d %b %Y} 10:11:12 GMT", "{0:%a %b %d} 10:11:12 {0:%Y}", "{0:%A, %B %d, %Y}",
    "{0:%a %b %d} 10:11:12 +0000 {0:%Y}", "{0:%Y-%m-%d} 10:11:12 UTC", "{0:%Y}年{0.month}月{0.day}日", "{0:%Y%m%dT101112}",
    "{0:%Y}-{0.month}-{0.day} 10:11", "{0:%Y-%m-%d}",
)  # fmt: skip


@given(st.lists(st.dates(date(1950, 1, 1), date(2060, 1, 1)), min_size=1, max_size=4), st.sampled_from(NAMED))
def test_dates_with_what_says_nothing_more_are_read_once_each(days: list[date], form: str) -> None:
    texts = pa.array([form.format(day) for day in days])
    assert [moment.date() for moment in moments.first_moments(texts, moments.NEUTRAL_FORMS).to_pylist()] == days
    tidy = moments.tidied(texts)
    assert all(moments.is_date_like(tidy).to_pylist())
    counted = [moments.as_moments(tidy, form).is_valid().to_pylist() for form in moments.NEUTRAL_FORMS]
    assert [sum(read) for read in zip(*counted, strict=True)] == [1] * len(days)


def test_an_ordinal_day_is_a_day(take: Take) -> None:
    values = ['"March 5th, 2021"', '"May 22nd, 2020"', '"June 1st, 2021"']
    assert take(beside(values)).column("v")[0] == datetime(2021, 3, 5)


@pytest.mark.parametrize("name", ["visits", "users", "people", "Customers", "trips"])
def test_numbers_under_a_plural_are_counts_and_no_group(take: Take, name: str) -> None:
    counts = [str(i * 37 % 40) for i in range(60)]
    outcome = take(beside(counts, name))
    assert (outcome.kinds[name], outcome.found.inferred.group_candidates) == ("numeric", [])
    named = take(beside([f"Q{count}" for count in counts], name))
    assert named.found.inferred.group_candidates == [name]


@pytest.mark.parametrize("name", ["InvoiceNo", "MRN", "order_nr", "basket id"])
def test_the_number_of_a_purchase_or_a_patient_is_a_group(take: Take, name: str) -> None:
    outcome = take(beside([str(5_000 + i // 3 * 7) for i in range(60)], name))
    assert outcome.found.inferred.group_candidates == [name]
    assert name in said(outcome, "group_left_out")


@pytest.mark.parametrize(
    ("labels", "doubted"),
    [
        (["a", "b", "unknown"], "unknown"),
        (["a", "b", "Unlabeled"], "Unlabeled"),
        (["0", "1", "2", "-1"], "-1"),
        (["-1", "0", "1"], ""),
        (["-1", "1"], ""),
    ],
)
def test_a_class_for_samples_without_a_label_is_told(take: Take, labels: list[str], doubted: str) -> None:
    outcome = take(columns_of({"w": FLOATS, "label": labels}))
    assert set(outcome.found.classes) == set(labels)
    if doubted:
        assert f"{doubted} (" in said(outcome, "label_looks_missing")
    else:
        assert "label_looks_missing" not in outcome.codes


@pytest.mark.parametrize(
    ("labels", "similar"),
    [
        (["T", "F", "True", "False"], True),
        (["Y", "yes", "no"], True),
        (["1", "0", "true"], True),
        (["carp", "\u0441arp", "eel"], True),
        (["t", "f", "y", "n"], False),
        (["1", "0", "T", "Y", "N", "F"], True),
        (["\u0441\u043e\u043a", "\u0447\u0430\u0439"], False),
    ],
)
def test_short_forms_of_truth_and_letters_that_look_alike_are_told(
    take: Take, labels: list[str], similar: bool
) -> None:
    outcome = take(columns_of({"w": FLOATS, "label": labels}))
    assert set(outcome.found.classes) == set(labels)
    assert ("similar_labels" in outcome.codes) is similar


def test_shares_of_a_class_with_a_decimal_comma_are_refused_and_may_be_named(take: Take) -> None:
    text = columns_of({"w": FLOATS, "label": ['"0,7"', '"0,3"', "1"]})
    with pytest.raises(Invalid, match="as 0,3: shares of a class") as caught:
        take(text)
    assert '["0,3"]' in str(caught.value)
    assert take(text, merge_labels={"few": ["0,3"], "most": ["0,7"]}).found.classes == ["1", "few", "most"]
    assert take(columns_of({"w": FLOATS, "label": ['"0,5"', '"1,5"', '"2,0"']})).found.classes == ["0,5", "1,5", "2,0"]


@pytest.mark.parametrize(("value", "number"), [("$3.2bn", 3.2), ("€ 4 Mio.", 4), ("120 ft.", 120)])
def test_money_with_a_unit_behind_it_is_a_number(take: Take, value: str, number: float) -> None:
    outcome = take(beside([value, value.replace("2", "5").replace("4", "6")]))
    assert (outcome.kinds["v"], outcome.column("v")[0]) == ("numeric", number)


def test_numbers_of_which_some_have_units_are_told(take: Take) -> None:
    assert "v (" in said(take(beside(["95K", "2M", "7", "81", "12"])), "numbers_with_units")
