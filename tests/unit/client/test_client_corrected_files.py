"""Corrected data as files, in the form that is asked for, and corrected data of jobs that nobody reviewed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch
from torch.utils.data import TensorDataset

from tests.unit.client.test_client_forms import Finished, N, finished, frame, mended, repair, suspects
from usual_suspects import Client, Invalid
from usual_suspects.client import UnsuitableData

__all__ = ["finished", "suspects"]  # fixtures

READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": pd.read_csv,
    ".parquet": pd.read_parquet,
    ".jsonl": lambda path: pd.read_json(path, lines=True),
}


@pytest.mark.parametrize("given", ["frame", "file"])
def test_a_file_has_the_form_of_its_ending(suspects: Client, finished: Finished, tmp_path: Path, given: str) -> None:
    data: Any = frame()
    if given == "file":
        data = tmp_path / "zoo.csv"
        frame().to_csv(data, index=False)
    job = finished(suspects.submit(data, label="kind", name="my zoo 1.5"))
    repair(job)
    right = mended(frame())["kind"].tolist()
    for ending, read in READERS.items():
        path = job.corrected(path=tmp_path / f"fixed{ending}")
        assert path == tmp_path / f"fixed{ending}"
        assert read(path)["kind"].tolist() == right
    assert pq.read_table(job.corrected(path=tmp_path / "fixed.txt", format="parquet")).num_rows == N - 1
    for name in ("fixed", "fixed.xlsx", "fixed.txt"):
        with pytest.raises(UnsuitableData, match=r"\.csv, \.jsonl"):
            job.corrected(path=tmp_path / name)
        assert not (tmp_path / name).exists() or name == "fixed.txt"
    with pytest.raises(UnsuitableData, match="are data, not a file"):
        job.corrected(path=tmp_path / "fixed.csv", format="pandas")


def test_a_file_without_a_name_has_the_ending_of_its_form(
    suspects: Client, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    job = finished(suspects.submit(frame(), label="kind", name="pyc"))
    repair(job)
    for session in (job, suspects.job(job.id)):
        assert session.corrected(format="path") == Path("pyc.corrected.parquet")
        assert session.corrected(format="csv") == Path("pyc.corrected.csv")
    assert pd.read_parquet("pyc.corrected.parquet")["kind"].tolist() == mended(frame())["kind"].tolist()
    assert pd.read_csv("pyc.corrected.csv")["kind"].tolist() == mended(frame())["kind"].tolist()


@pytest.mark.parametrize("again", [False, True], ids=["same session", "new session"])
def test_where_nothing_was_changed_it_is_what_was_submitted(
    suspects: Client, finished: Finished, tmp_path: Path, again: bool
) -> None:
    def session(job: Any) -> Any:
        return suspects.job(job.id) if again else job

    job = finished(suspects.submit(frame(), label="kind"))
    pd.testing.assert_frame_equal(session(job).corrected(), frame())
    assert pd.read_csv(session(job).corrected(path=tmp_path / "same.csv")).shape[0] == N
    with pytest.raises(Invalid, match="review samples first"):
        session(job).version()
    given = pl.from_pandas(frame())
    assert (
        session(finished(suspects.submit(given, label="kind"))).corrected()["kind"].to_list() == given["kind"].to_list()
    )
    tensors = TensorDataset(torch.randn(N, 5), torch.arange(N) % 3)
    found = session(finished(suspects.submit(tensors))).corrected(tensors if again else None)
    assert [int(label) for _, label in found] == [place % 3 for place in range(N)]
    x, y = np.random.default_rng(0).random((N, 4)), np.arange(N) % 3
    assert session(finished(suspects.submit(x, y))).corrected(format="numpy")[1].tolist() == y.tolist()


def test_another_fault_of_a_correction_is_told(suspects: Client, finished: Finished) -> None:
    job = finished(suspects.submit(frame(), label="kind"))
    job.review([f"row-{place}" for place in range(N) if place % 3], "remove")
    with pytest.raises(Invalid, match="nothing to learn from would be left"):
        job.corrected()
