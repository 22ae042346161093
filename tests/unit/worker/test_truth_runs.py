"""Kept jobs of the benchmark of true answers are those that a worker runs, and stay so when they are read again."""

from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_wine

from benchmarks import truth_runs
from benchmarks.data import taken
from benchmarks.truth_runs import known_runs
from service.domain.dataset import DatasetSpec


def test_kept_jobs_have_what_auto_has_and_reading_them_again_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "wine.csv"
    load_wine(as_frame=True).frame.to_csv(source, index=False)
    dataset = taken(source, DatasetSpec(label="target"), tmp_path)
    monkeypatch.setattr(truth_runs, "load", lambda *_: dataset)
    measured = truth_runs._made("wine", "mislabeled_uniform", 178, 0, 0)
    assert measured.measurements.by_trees is not None
    monkeypatch.setattr(truth_runs, "_made", lambda *_: measured)
    (read,) = known_runs(["wine"], ["mislabeled_uniform"], 178, [0], 0, tmp_path)
    assert torch.equal(read.measurements.confusion.scores, measured.measurements.confusion.scores)
    assert read.measurements.confusion.directed == measured.measurements.confusion.directed
