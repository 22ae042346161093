"""What frozen networks gave is kept in files, within a limit, for whoever asks again."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from service.domain.errors import Damaged, TooLarge
from tests.damage import cut_short, flip_bit
from worker.backbones.feature_cache import FeatureCache, select_rows

Found = Iterator[tuple[Tensor, tuple[Tensor, ...]]]


def two(rows: int, value: float = 1.0, reversed_: bool = False) -> Found:
    """Two arrays, three rows at a time, in any order of rows."""
    places = torch.arange(rows).flip(0) if reversed_ else torch.arange(rows)
    for part in torch.split(places, 3):
        yield part, (part[:, None] * torch.ones(4) * value, part % 2 == 0)


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    features = FeatureCache(tmp_path, 10**6)
    assert features.find("a") is None
    kept = features.store("a", 8, two(8, reversed_=True))
    found = features.find("a")
    assert found is not None
    for one, other in zip(kept, found, strict=True):
        assert torch.equal(one, other)
    assert found[0][:, 0].tolist() == list(range(8))
    assert found[1].tolist() == [True, False] * 4


def test_what_a_job_writes_into_it_no_other_sees(tmp_path: Path) -> None:
    features = FeatureCache(tmp_path, 10**6)
    features.store("a", 8, two(8))[0][3] = -7
    again = features.find("a")
    assert again is not None
    assert again[0][3].tolist() == [3.0] * 4


def test_the_longest_unused_goes_first(tmp_path: Path) -> None:
    features = FeatureCache(tmp_path, 700)
    for age, key in ((30, "old"), (20, "older"), (10, "new")):
        features.store(key, 4, two(4))
        os.utime(tmp_path / key, (1_000 - age, 1_000 - age))
    # Files have headers of 128 bytes: at most two entries of 324 fit.
    assert {path.name for path in tmp_path.iterdir()} <= {"older", "new"}
    assert features.find("older") is not None
    features.store("next", 4, two(4))
    assert features.find("new") is None
    assert features.find("older") is not None


def test_an_entry_that_makes_room_is_still_read_by_whoever_has_it(tmp_path: Path) -> None:
    features = FeatureCache(tmp_path, 390)  # an entry of 324 bytes and no other
    held = features.store("a", 4, two(4))
    features.store("b", 4, two(4, 2.0))
    assert features.find("a") is None
    assert held[0][:, 1].tolist() == [0, 1, 2, 3]


def test_more_than_the_limit_is_refused_before_it_is_written(tmp_path: Path) -> None:
    features = FeatureCache(tmp_path, 100)
    with pytest.raises(TooLarge, match="SUSPECTS_MAX_FEATURES_BYTES"):
        features.store("a", 8, two(8))
    assert list(tmp_path.iterdir()) == []


def test_a_pass_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Found:
        yield from two(3)
        raise RuntimeError("the lights went out")

    features = FeatureCache(tmp_path, 10**6)
    with pytest.raises(RuntimeError):
        features.store("a", 8, broken())
    assert features.find("a") is None
    assert list(tmp_path.iterdir()) == []


def test_two_that_compute_the_same_at_once_both_have_it(tmp_path: Path) -> None:
    features, barrier, got = FeatureCache(tmp_path, 10**6), threading.Barrier(2), []

    def slow() -> Found:
        barrier.wait(10)
        yield from two(8)

    threads = [threading.Thread(target=lambda: got.append(features.store("a", 8, slow()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 2
    assert torch.equal(got[0][0], got[1][0])
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("limit", [0, 2**30])
def test_some_rows_are_the_same_in_memory_and_in_files(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.backbones.feature_cache._IN_MEMORY", limit)
    whole = FeatureCache(tmp_path / "kept", 10**6).store("a", 8, two(8))
    rows = torch.tensor([1, 2, 6])
    for one, part in zip(whole, select_rows(whole, rows, tmp_path / "scratch"), strict=True):
        assert torch.equal(part, one[rows])
    assert (tmp_path / "scratch").exists() == (limit == 0)
    assert select_rows(whole, torch.arange(8), tmp_path) is whole


@pytest.mark.parametrize("damage", [flip_bit, cut_short, Path.unlink])
def test_a_damaged_entry_is_removed_and_computed_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    features = FeatureCache(tmp_path, 10**6)
    features.store("a", 8, two(8))
    damage(tmp_path / "a" / "1.npy")
    assert features.find("a") is None
    assert not (tmp_path / "a").exists()
    features.store("a", 8, two(8))
    assert features.find("a") is not None


@pytest.mark.parametrize("removed", [False, True])
def test_an_entry_that_is_damaged_while_it_is_read_is_found_out(tmp_path: Path, removed: bool) -> None:
    features = FeatureCache(tmp_path, 10**6)
    features.store("a", 8, two(8))
    features.check_again()
    flip_bit(tmp_path / "a" / "0.npy", 0.9)
    if removed:  # by a worker that found it damaged, or that made room
        shutil.rmtree(tmp_path / "a")
        FeatureCache(tmp_path, 10**6).store("a", 8, two(8))
    with pytest.raises(Damaged):
        features.check_again()
