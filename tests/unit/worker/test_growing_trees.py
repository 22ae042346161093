"""Trees that grow while the network is trained: the same as those grown after it, told how far they are, and ended with the job."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from service.domain.models.tabular import BoostedTreesParams
from tests.trees import SHAPE, table
from worker.job import growing_trees
from worker.job.growing_trees import GrowingTrees, growing
from worker.job.trees_beside import trees_beside
from worker.models.boosted_trees import BoostedTrees

PATIENCE_S = 30.0


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets the number of torch's threads for a test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def new_trees() -> BoostedTrees:
    return BoostedTrees(BoostedTreesParams(), SHAPE, 3)


def growers() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith("trees")]


def test_they_are_to_the_bit_those_that_are_grown_afterwards(threads: Callable[[int], None]) -> None:
    inputs, labels = table(3)
    threads(3)
    with growing(new_trees(), inputs, labels, 0) as trees:
        assert trees is not None
        found = trees.answers(lambda _share: None)
    assert torch.equal(found, trees_beside(new_trees(), inputs, labels, 0, lambda _share: None))
    assert trees.share == 1
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(("number", "trees"), [(1, new_trees()), (2, None)])
def test_without_trees_or_a_second_thread_nothing_grows(
    threads: Callable[[int], None], number: int, trees: BoostedTrees | None
) -> None:
    threads(number)
    with growing(trees, *table(3), 0) as grown:
        assert grown is None


def test_they_get_all_threads_but_one(threads: Callable[[int], None]) -> None:
    threads(4)
    grown = GrowingTrees(lambda _report: torch.full((1, 1), float(torch.get_num_threads())), 3)
    assert int(grown.answers(lambda _share: None)) == 3
    grown.stop()
    assert torch.get_num_threads() == 4


def test_whoever_waits_is_told_how_far_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing_trees, "_EVERY_S", 0.01)
    go_on = threading.Event()
    told: list[float] = []

    def grow(report: Callable[[float], None]) -> Any:
        report(0.25)
        go_on.wait(PATIENCE_S)
        return torch.ones(1, 1)

    def on_progress(share: float) -> None:
        told.append(share)
        if share == 0.25:
            go_on.set()

    grown = GrowingTrees(grow, 1)
    assert torch.equal(grown.answers(on_progress), torch.ones(1, 1))
    assert told[-1] == 0.25
    grown.stop()


def test_what_they_raise_is_raised_where_they_are_asked_for() -> None:
    def grow(_report: Callable[[float], None]) -> Any:
        raise MemoryError

    grown = GrowingTrees(grow, 1)
    with pytest.raises(MemoryError):
        grown.answers(lambda _share: None)
    grown.stop()


def test_a_job_that_ends_early_ends_them(threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    threads(2)

    def grow(*given: Any) -> Any:
        while True:
            given[-1](0.5)
            time.sleep(0.001)

    monkeypatch.setattr(growing_trees, "trees_beside", grow)

    def interrupt() -> None:
        with growing(new_trees(), *table(3), 0):
            assert growers()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert not growers()
