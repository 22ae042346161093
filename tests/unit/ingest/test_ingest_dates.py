"""Dates and times of day: their forms within a column, and the order of day and month within a file."""

from datetime import date, datetime, time, timedelta
from pathlib import Path

import hypothesis.strategies as st
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given

from service.ingest import moments
from tests.unit.ingest.uploads import Take, rows_as_csv


def dated(**columns: list[str]) -> str:
    """A table of these columns, repeated to 60 rows, with a label of two classes."""
    rows = [
        {name: texts[place % len(texts)] for name, texts in columns.items()}
        | {"b": place / 7, "label": "ppq"[place % 3]}
        for place in range(60)
    ]
    return rows_as_csv(rows)


def test_dates_of_several_forms_make_one_column_of_dates(take: Take) -> None:
    outcome = take(dated(v=["2023-05-01", "05/28/2023", "3 Mar 2024", "2024/12/31 10:30"]))
    assert outcome.kinds["v"] == "datetime"
    assert outcome.column("v")[:4] == [
        datetime(2023, 5, 1),
        datetime(2023, 5, 28),
        datetime(2024, 3, 3),
        datetime(2024, 12, 31, 10, 30),
    ]


def test_one_column_tells_the_order_of_day_and_month_for_the_whole_file(take: Take) -> None:
    outcome = take(dated(sent=["28/02/2024", "01/03/2024"], seen=["02/03/2024", "05/03/2024"]))
    assert outcome.column("seen")[0] == datetime(2024, 3, 2)
    (said,) = [one.detail for one in outcome.found.warnings if one.code == "order_of_dates"]
    assert "seen" in said
    assert "as sent tells" in said
    assert "spec.day_first" in said


def test_an_order_that_nothing_tells_is_told(take: Take) -> None:
    outcome = take(dated(seen=["02/03/2024", "05/03/2024"]))
    assert outcome.column("seen")[0] == datetime(2024, 2, 3)
    assert "nothing in the file tells" in next(
        one.detail for one in outcome.found.warnings if one.code == "order_of_dates"
    )
    assert take(dated(seen=["02/03/2024", "05/03/2024"]), day_first=True).column("seen")[0] == datetime(2024, 3, 2)


def test_dates_of_both_orders_in_one_column_are_told(take: Take) -> None:
    outcome = take(dated(seen=["28/02/2024", "27/02/2024", "26/02/2024", "25/02/2024", "24/02/2024", "02/28/2024"]))
    assert outcome.column("seen")[5] is None
    assert "order_of_dates" in outcome.codes
    assert "seen (10)" in next(one.detail for one in outcome.found.warnings if one.code == "unparsable_values")


def test_marks_among_dates_are_missing_and_counted(take: Take) -> None:
    outcome = take(dated(v=["2023-05-01", "-", "2023-06-01"]))
    assert outcome.column("v")[:3] == [datetime(2023, 5, 1), None, datetime(2023, 6, 1)]
    assert "20 values" in next(one.detail for one in outcome.found.warnings if one.code == "marks_of_missing")


@pytest.mark.parametrize(
    ("text", "value"),
    [("9:30", time(9, 30)), ("23:05:07", time(23, 5, 7)), ("9:30 pm", time(21, 30)), ("12:01 AM", time(0, 1))],
)
def test_times_of_day_are_times(take: Take, text: str, value: time) -> None:
    outcome = take(dated(v=[text, "10:15", "11:45"]))
    assert outcome.kinds["v"] == "time"
    assert outcome.column("v")[0] == value


def test_times_of_a_typed_column_are_times(take: Take, tmp_path: Path) -> None:
    values = [time(hour % 24, 5) for hour in range(40)]
    table = pa.table({"v": pa.array(values, pa.time32("s")), "label": ["p", "q"] * 20})
    pq.write_table(table, tmp_path / "times.parquet")
    outcome = take((tmp_path / "times.parquet").read_bytes(), name="times.parquet")
    assert outcome.kinds["v"] == "time"
    assert outcome.column("v") == values


DAYS = st.dates(date(1900, 1, 1), date(2099, 12, 31))
FORMS = st.sampled_from(
    [form for form in moments.MOMENT_FORMS if "%d" in form and "%y" not in form and "%Y-%m-%d" not in form]
)


@given(st.lists(DAYS, min_size=1, max_size=5), FORMS, st.timedeltas(timedelta(0), timedelta(hours=23)))
def test_a_date_written_in_any_form_comes_back_as_the_same_date(days: list[date], form: str, clock: timedelta) -> None:
    texts = [(datetime(day.year, day.month, day.day) + clock).strftime(form) for day in days]
    found = moments.as_moments(pa.array(texts), form).to_pylist()
    assert [moment.date() for moment in found] == days


@pytest.mark.parametrize("month", ["1. März 2021", "2 de mayo de 2021", "3 février 2021"])
def test_dates_in_words_that_are_not_read_are_told(take: Take, month: str) -> None:
    outcome = take(dated(v=[month, month.replace("2021", "2022"), month.replace("2021", "2023")]))
    assert outcome.kinds["v"] == "categorical"
    assert "v" in next(one.detail for one in outcome.found.warnings if one.code == "dates_not_read")
