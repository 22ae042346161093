"""Frames of pandas with names, types and labels that no file has."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tests.unit.client.test_client_forms import CHANGED, NAMES, REMOVED, Finished, N, finished, repair, suspects
from usual_suspects import Client
from usual_suspects.client import UnsuitableData

__all__ = ["finished", "suspects"]  # fixtures

KINDS = NAMES[np.arange(N) % 3]
RANDOM = np.random.default_rng(0)


def mended(given: pd.DataFrame, label: Any) -> pd.DataFrame:
    right = given.copy()
    right.iloc[CHANGED, right.columns.get_loc(label)] = "eel"
    return right.drop(index=given.index[REMOVED])


@pytest.mark.parametrize("again", [False, True], ids=["same session", "new session"])
@pytest.mark.parametrize(
    ("names", "label"),
    [([0, 1, 2], 2), ([7, "weight", 400.5], "weight"), (pd.RangeIndex(3, name="place"), np.int64(0))],
    ids=["numbers", "mixed", "named"],
)
def test_names_of_columns_may_be_numbers(
    suspects: Client, finished: Finished, names: Any, label: Any, again: bool
) -> None:
    given = pd.DataFrame(RANDOM.random((N, 3)), columns=names)
    given[label] = KINDS
    job = finished(suspects.submit(given, label=label, exclude=[]))
    assert {one.name for one in job.dataset.info.features} == {str(name) for name in names if name != label}
    repair(job)
    found = (suspects.job(job.id) if again else job).corrected()
    pd.testing.assert_frame_equal(found, mended(given, label), check_column_type=False)
    assert found.columns.equals(given.columns)


def test_labels_beside_columns_of_numbers_come_back_beside_them(suspects: Client, finished: Finished) -> None:
    given = pd.DataFrame(RANDOM.random((N, 3)))
    job = finished(suspects.submit(given, KINDS))
    repair(job)
    x, y = job.corrected()
    pd.testing.assert_frame_equal(x, given.drop(index=REMOVED))
    assert y.tolist() == mended(given.assign(kind=KINDS), "kind")["kind"].tolist()


def test_a_level_of_the_index_may_be_called_a_number(suspects: Client, finished: Finished) -> None:
    given = pd.DataFrame({"x": np.arange(N) / 2, "kind": KINDS}, index=pd.Index(np.arange(N) + 1000, name=5))
    job = finished(suspects.submit(given, label="kind"))
    repair(job, names=("1004", "1006"))
    pd.testing.assert_frame_equal(job.corrected(), mended(given, "kind"))


@pytest.mark.parametrize("again", [False, True], ids=["same session", "new session"])
def test_intervals_are_texts_for_the_service_and_intervals_for_their_owner(
    suspects: Client, finished: Finished, again: bool
) -> None:
    place = np.arange(N)
    given = pd.DataFrame(
        {
            "x": place / 2,
            "binned": pd.cut(place % 10, 3),
            "with_gaps": pd.cut(place, [5, 20]),
            "plain": pd.arrays.IntervalArray.from_breaks(np.arange(N + 1) / 2),
            "kind": KINDS,
        }
    )
    job = finished(suspects.submit(given, label="kind", exclude=["plain"]))
    repair(job)
    found = (suspects.job(job.id) if again else job).corrected()
    right = mended(given, "kind")
    if again:
        for name in ("binned", "plain"):
            assert [str(value) for value in found[name]] == [str(value) for value in right[name]]
    else:
        pd.testing.assert_frame_equal(found, right)


def test_intervals_may_be_labels(suspects: Client, finished: Finished) -> None:
    y = pd.cut(np.arange(N), [-1, 9, 19, N])
    job = finished(suspects.submit(pd.DataFrame({"x": np.arange(N)}), y))
    assert job.dataset.info.classes == ("(-1, 9]", "(19, 30]", "(9, 19]")
    for data in (
        pl.DataFrame({"x": np.arange(N)}),
        pa.table({"x": np.arange(N)}),
        [f"words {number} of it" for number in range(N)],
    ):
        assert suspects.upload(data, y).info.classes == job.dataset.info.classes


FRAME = pd.DataFrame({"x": np.arange(3)})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (FRAME.assign(bad=[1, "a", 2]), "column 'bad' of the frame mixes types.*'bad'"),
        (FRAME.assign(bad=pd.Categorical([1, "a", 2])), "column 'bad'"),
        (FRAME.assign(bad=pd.Categorical(pd.period_range("2020", periods=3, freq="M"))), "column 'bad'"),
        (FRAME.assign(bad=[10**30] * 3), "column 'bad'"),
        (FRAME.set_axis(pd.Index([1, "a", 2])), "the index mixes types"),
        (FRAME.set_axis(pd.MultiIndex.from_tuples([("x", "y")]), axis=1), "several levels"),
        (FRAME.set_axis([None], axis=1), "called None"),
        (FRAME.assign(**{"0": 1}).rename(columns={"x": 0}), "several columns '0'"),
        ((FRAME, [1, 2]), "3 rows and y has 2"),
        ((FRAME, np.zeros((3, 2))), "argmax"),
        ((FRAME, "kind"), "by `label`"),
        ((pl.DataFrame({"x": [1, 2, 3]}), [1, 2]), "3 rows and y has 2"),
        ((pl.DataFrame({"x": [1, 2, 3]}), [1, "a", 2]), "y mixes types"),
        ((pa.table({"x": [1, 2, 3]}), [1, 2]), "3 rows and y has 2"),
        ((["a b", "c d", "e f"], [1, 2]), "3 rows and y has 2"),
        ([{"a": 1}, {"a": "x"}], "do not fit into Arrow"),
        (([[1, 2], [3]], [0, 1]), "rows of one length"),
    ],
)
def test_what_cannot_be_written_is_named(data: Any, words: str) -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(UnsuitableData, match=words):
        client.submit(data)


@pytest.mark.parametrize(
    ("index", "order"),
    [
        (pd.RangeIndex(N), "own"),
        (pd.Index([f"s{number}" for number in range(N)]), "own"),
        (pd.Index([f"s{number}" for number in range(N)]), "default"),
        (pd.Index(["a", "b"] * (N // 2)), "default"),
        (pd.Index(["a", "b"] * (N // 2)), "same"),
    ],
)
def test_labels_beside_a_frame_belong_to_the_rows_of_their_index(suspects: Client, index: Any, order: str) -> None:
    given = pd.DataFrame({"x": np.arange(N) / 2}, index=index)
    y = pd.Series(KINDS, index=None if order == "default" else index)
    beside = y.sample(frac=1, random_state=0) if order == "own" else y
    found = suspects.upload(given, beside)
    row = {"s": "s4", "a": "row-4", "0": "row-4"}[str(index[0])[0]]
    assert found.sample(row).label == KINDS[4]


@pytest.mark.parametrize(
    ("index", "of_y"),
    [
        (pd.RangeIndex(3), pd.RangeIndex(1, 4)),
        (pd.Index(["a", "b", "c"]), pd.Index(["a", "b", "d"])),
        (pd.Index(["a", "a", "b"]), pd.Index(["a", "b", "a"])),
    ],
)
def test_labels_of_other_rows_are_refused(index: Any, of_y: Any) -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(UnsuitableData, match="the index of y is not that"):
        client.submit(FRAME.set_axis(index), pd.Series([0, 1, 0], index=of_y))


@pytest.mark.parametrize("path", ["", Path()])
def test_an_empty_path_is_not_the_folder_of_the_process(
    path: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    monkeypatch.chdir(tmp_path)
    with Client("http://127.0.0.1:1") as client:
        for send in (client.submit, client.upload):
            with pytest.raises(UnsuitableData, match="the path is empty"):
                send(path)
