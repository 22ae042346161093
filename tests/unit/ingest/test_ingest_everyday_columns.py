"""Columns of everyday tables: whole months, versions, open ranges, clocks with points, words that may be missing values."""

from collections.abc import Sequence
from datetime import date, datetime, time

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
