"""Samples and classes are named by values of the submitted data, converted as the service converts them."""

import datetime as dt
import decimal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from service.ingest.values import as_text
from tests.unit.client.conftest import Handler
from tests.unit.client.test_client_forms import Finished, N, finished, frame, suspects
from usual_suspects import Client, Invalid, NotFound
from usual_suspects.client.names import class_name, sample_name, text_of
from usual_suspects.client.submissions.prepared import Origin

__all__ = ["finished", "suspects"]  # fixtures

COLUMNS: dict[str, Any] = {
    "int": [1005, -3],
    "int8": np.array([1, 2], "int8"),
    "bool": [True, False],
    "float": [1.0, 0.5, 1e-7, 1e16, 123456789012.0, -0.0],
    "float32": np.array([0.1, 3.0], "float32"),
    "date": [dt.date(2020, 1, 1)],
    "time": [dt.time(1, 2, 3)],
    "datetime": [dt.datetime(2020, 1, 1, 3)],
    "seconds": pd.date_range("2020", periods=2, unit="s"),
    "nanoseconds": pd.date_range("2020-01-01 00:00:00.123456789", periods=2, freq="h", unit="ns"),
    "zone": pd.date_range("2020", periods=2, tz="Europe/Paris"),
    "decimal": [decimal.Decimal("1.10"), decimal.Decimal("2.00")],
    "uuid": [uuid.UUID(int=5)],
    "bytes": [b"abc"],
    "text": ["a", "1.0", "True"],
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_a_value_is_called_as_the_service_calls_it(column: Any, tmp_path: Path) -> None:
    given = pd.DataFrame({"name": column})
    given.to_parquet(tmp_path / "frame.parquet")
    stored = pq.read_table(tmp_path / "frame.parquet").column("name").combine_chunks()
    assert [text_of(given["name"].iloc[place]) for place in range(len(given))] == as_text(stored).to_pylist()
    assert [text_of(value) for value in given["name"].to_numpy()] == as_text(stored).to_pylist() or "zone" in str(
        given["name"].dtype
    )


@pytest.mark.parametrize("value", [None, float("nan"), pd.NA, pd.NaT, (1, 2), [1], {}])
def test_what_names_nothing_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="names no sample"):
        text_of(value)


def test_a_class_is_the_one_that_its_label_may_be_called() -> None:
    assert class_name(True, ("false", "true")) == class_name("True", ("false", "true")) == "true"
    assert class_name(True, ("False", "True")) == "True"
    for label in (1, 1.0, "1.0", np.float64(1), np.int64(1), torch.tensor(1)):
        assert class_name(label, ("0", "1")) == "1"
    assert class_name("1.0", ("1", "1.0")) == "1.0"
    assert class_name(1, ("dog", "eel"), Origin("torch", labels={"dog": 0, "eel": 1})) == "eel"
    assert class_name(pd.Interval(0, 9)) == "(0, 9]"


def test_times_take_the_unit_of_the_index() -> None:
    index = pd.date_range("2020", periods=2, freq="h", unit="ms", tz="UTC")
    origin = Origin("pandas", template=pd.DataFrame(index=index).iloc[:0])
    asked = pd.Timestamp("2020-01-01 01:00", tz="Europe/Paris").as_unit("ns")
    assert sample_name(asked, origin) == text_of(index[0])


@pytest.mark.parametrize(
    "index",
    [pd.Index(np.arange(N) + 1000), pd.date_range("2020", periods=N, freq="h"), pd.Index(np.arange(N) / 2), pd.RangeIndex(10, 10 + 2 * N, 2)],
    ids=["int", "datetime", "float", "default"],
)  # fmt: skip
def test_samples_are_named_by_the_index(suspects: Client, finished: Finished, index: Any) -> None:
    given = frame(index=index)
    job = finished(suspects.submit(given, label="kind", reference={"samples": given.index[20:25]}))
    assert job.sample(given.index[5]).index == 5
    assert job.dataset.sample(given.index[5]).index == 5
    forms = [
        given.index[0], given.index[1:3], given.index[3:5].to_numpy(), given.index.to_series()[5:7], list(given.index[7:9]),
        pl.Series(given.index[9:11].to_numpy()), pa.array(given.index[11:13]), pd.DataFrame({"sample_id": given.index[13:15]}),
    ]  # fmt: skip
    for samples in forms:
        job.review(samples, "keep")
    assert job.view.dataset.rows == N
    places = [job.sample(one.sample_id).index for one in job.reviews()]
    assert sorted(places) == list(range(15))


@pytest.mark.parametrize(
    "labels", [[True, False], [1.0, 0.0], [np.int64(4), np.int64(7)]], ids=["bool", "float", "int"]
)
def test_labels_are_named_by_their_values(suspects: Client, finished: Finished, labels: list[Any]) -> None:
    given = pd.DataFrame({"x": np.arange(N) / 2, "target": np.array(labels * (N // 2))})
    job = finished(suspects.submit(given, label="target"))
    again = suspects.job(job.id)
    for one in (job, again):
        one.review("row-0", "relabel", given["target"].iloc[1])
        one.review("row-2", "relabel", labels[1])
        one.review(
            pd.DataFrame({"sample_id": ["row-4", "row-6"], "decision": ["relabel", "keep"], "label": [labels[1], None]})
        )
        assert one.suspects(label=labels[0]).count() == N // 2
    found = job.corrected()
    assert found["target"].iloc[:5].tolist() == [labels[1]] * 5
    assert found["target"].dtype == given["target"].dtype


def test_labels_of_arrays_are_named_by_their_values(suspects: Client, finished: Finished) -> None:
    y = np.arange(N) % 2 == 0
    job = finished(suspects.submit(np.random.default_rng(0).random((N, 3)), y))
    job.review("row-1", "relabel", True)
    job.review("row-3", "relabel", y[0])
    assert job.corrected()[1][:5].tolist() == [True] * 5


def test_rows_without_a_decision_are_left_out(suspects: Client, finished: Finished) -> None:
    job = finished(suspects.submit(frame(), label="kind"))
    rows = {
        "sample_id": ["row-0", "row-1", "row-2", "row-3"],
        "decision": ["", "keep", None, "relabel"],
        "label": [None, None, None, "dog"],
    }
    for table in (pd.DataFrame(rows), pl.DataFrame(rows), pa.table(rows), pd.DataFrame(rows).convert_dtypes()):
        assert job.review(table).recorded == 2
    ranking = job.suspects().to_pandas()
    ranking.loc[ranking["sample_id"] == "row-1", "reviewer"] = "Noor"
    assert job.review(ranking).recorded == 2
    assert ("row-1", "keep", None, "Noor") in [
        (one.sample_id, one.decision, one.label, one.reviewer) for one in job.reviews()
    ][-2:]
    assert ("row-3", "dog") in [(one.sample_id, one.label) for one in job.reviews()][-2:]
    with pytest.raises(Invalid, match="no row has a decision"):
        job.review(ranking.assign(decision=None))
    with pytest.raises(Invalid, match=r"3\.sample_id") as raised:
        job.review(
            pl.DataFrame({"sample_id": ["row-0", "row-1", "row-2", "none"], "decision": [None, None, "keep", "keep"]})
        )
    assert raised.value.errors[0]["loc"] == [3, "sample_id"]


def test_a_limit_is_no_filter_of_a_file(suspects: Client, finished: Finished, tmp_path: Path) -> None:
    job = finished(suspects.submit(frame(), label="kind"))
    with pytest.raises(ValueError, match="a limit holds for rows"):
        job.suspects(limit=3).save(tmp_path / "ranking.csv", "csv")
    assert not (tmp_path / "ranking.csv").exists()


def test_a_report_that_is_written_gives_its_path(suspects: Client, finished: Finished, tmp_path: Path) -> None:
    job = finished(suspects.submit(frame(), label="kind"))
    path = job.report(tmp_path / "report.html")
    assert path == tmp_path / "report.html"
    assert path.read_text() == job.report()


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.job(""),
        lambda client: client.dataset(""),
        lambda client: client.get("jobs", "", "suspects"),
    ],
)
def test_an_empty_id_is_told_before_anything_is_sent(client_of: Callable[[Handler], Client], ask: Any) -> None:
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.raw_path.decode())
        return httpx.Response(404, json={"code": "not_found", "detail": "none"})

    client = client_of(answer)
    with pytest.raises(NotFound, match="The id is empty"):
        ask(client)
    assert sent == []
    with pytest.raises(NotFound):
        client.job("..")
    assert sent == ["/jobs/%2E%2E"]


@pytest.mark.parametrize(("column", "options"), [("code", {"id": "code"}), ("id", {})], ids=["said", "inferred"])
def test_a_column_of_ids_names_samples_where_the_index_is_the_default_one(
    suspects: Client, finished: Finished, column: str, options: dict[str, Any]
) -> None:
    given = frame().assign(**{column: np.arange(N)[::-1]})
    if options:  # what the service will infer is not known before
        options = options | {"reference": {"samples": given[column][20:25]}}
    job = finished(suspects.submit(given, label="kind", **options))
    assert job.sample(given[column][5]).index == 5
    options.pop("reference", None)
    assert suspects.upload(given, label="kind", **options).sample(given[column][5]).index == 5
