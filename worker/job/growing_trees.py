"""Trees that grow while the network beside them is trained. One thread computes the short steps of the training; the other cores are idle."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.data.encoding import Inputs
from worker.influence.row_computations import OnShare
from worker.job.trees_beside import trees_beside
from worker.models.boosted_trees import BoostedTrees

_EVERY_S = 0.5  # between two reports to whoever waits


class _Stopped(Exception):
    """Nobody waits for the trees any more."""


class GrowingTrees:
    """Trees that a thread of its own grows. `share` is done, from 0 to 1."""

    def __init__(self, grow: Callable[[OnShare], Float[Tensor, "n c"]], threads: int) -> None:
        self.share = 0.0
        self._is_stopped = False
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="trees")
        self._found = self._pool.submit(self._grow, grow, threads)

    def answers(self, on_progress: OnShare) -> Float[Tensor, "n c"]:
        """What they say of each sample, as soon as they are grown. `on_progress` gets the share done meanwhile. Raises what they raised."""
        while wait([self._found], _EVERY_S).not_done:
            on_progress(self.share)
        return self._found.result()

    def stop(self) -> None:
        """End the thread, and wait for it. It ends at its next report."""
        self._is_stopped = True
        self._pool.shutdown()

    def _grow(self, grow: Callable[[OnShare], Float[Tensor, "n c"]], threads: int) -> Float[Tensor, "n c"]:
        before = torch.get_num_threads()
        # It holds for this thread, and for threads that begin before it is set back.
        torch.set_num_threads(threads)
        try:
            return grow(self._report)
        finally:
            torch.set_num_threads(before)

    def _report(self, share: float) -> None:
        if self._is_stopped:
            raise _Stopped
        self.share = share


@contextmanager
def growing(
    trees: BoostedTrees | None, inputs: Inputs, labels: Int[Tensor, " n"], seed: int
) -> Iterator[GrowingTrees | None]:
    """Grow the trees beside a network during the block, on all threads but one. None without trees, or with a single thread.

    The end of the block ends the thread. The trees are the same as those that are grown after the block.
    """
    threads = torch.get_num_threads()
    if trees is None or threads == 1:
        yield None
        return
    grow = partial(trees_beside, trees, inputs, labels, seed)
    grown = GrowingTrees(grow, threads - 1)
    try:
        yield grown
    finally:
        grown.stop()
