"""Sharing of a job's scoring: the worker of the job offers blocks of rows to other workers, and computes blocks itself meanwhile.

It depends on nobody. A block whose helper is slow or gone it computes itself, and without the database or the broker all of them. What
comes out has the same bits, whoever computed which block.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa
import structlog
import torch

from service.domain.errors import ArtefactsUnavailable, Damaged
from service.store import blocks, jobs, workers
from service.store.blocks import HelpedBlock, RowBlock
from service.store.clock import database_time
from service.store.jobs import Claim
from worker.influence.row_computations import GRAIN, Arrays, Merged, OfRows, OnShare, RowComputation, alone, ranges
from worker.job.context import CheckpointLost, WorkerContext
from worker.job.patience import Patience, process_of
from worker.job.shared_files import SharedFiles, kind_of_process

log = structlog.get_logger()

_BLOCKS = 100  # of a computation that is neither short nor very long
_SHORTEST = 30  # such parts of the least time for which a computation is shared
_LONGEST_S = 10.0  # of a block, on one thread
_MOST = 10_000
_PAUSE_S = 0.1


def rows_of_blocks(computation: RowComputation, share_seconds: float) -> int:
    """How many rows a block has: a multiple of GRAIN, by the length of the computation, however many workers there are."""
    seconds = min(max(computation.seconds / _BLOCKS, share_seconds / _SHORTEST), _LONGEST_S)
    rows = max(computation.samples * seconds / computation.seconds, computation.samples / _MOST)
    return max(1, round(rows / GRAIN)) * GRAIN


@dataclass
class _Offered:
    """A computation whose blocks are offered. `left`: those that are not merged yet."""

    merged: Merged
    on_share: OnShare
    samples: int
    left: dict[int, RowBlock]
    of_rows: OfRows | None = None


class Sharing:
    """Shares computations of a claimed job; its `begin` is that of `worker.influence.row_computations`."""

    def __init__(self, claim: Claim, context: WorkerContext, clock: Callable[[], float] = time.monotonic) -> None:
        self._claim, self._context, self._clock = claim, context, clock
        self._files = SharedFiles(context.blobs, claim.job_id, claim.owner)
        self._offered: dict[str, _Offered] = {}
        self._patience = Patience(context.settings.lease_seconds, clock)
        self._called = -float("inf")
        self._by_others = self._by_itself = 0

    def begin(self, computation: RowComputation, on_share: OnShare) -> Callable[[], Arrays]:
        """Begin a computation: with others, where it is long and there are any."""
        if not self._is_worthwhile(computation) or not self._offer(computation, on_share):
            return alone(computation, on_share)
        label = computation.label
        return lambda: self._collect(label)

    def end(self) -> None:
        """Remove what was offered."""
        if not self._offered and not self._files.folder.exists():
            return
        if self._offered:
            log.info("scoring shared", blocks=self._by_others + self._by_itself, by_others=self._by_others)
        self._offered.clear()
        try:
            with self._context.database.write() as connection:
                blocks.remove_all(connection, self._claim)
            self._files.discard()
        except (sa.exc.SQLAlchemyError, ArtefactsUnavailable) as error:
            log.warning("what was shared is removed later", error=str(error))

    def _is_held(self) -> bool:
        with self._context.database.read() as connection:
            return jobs.is_held(connection, self._claim)

    def _is_worthwhile(self, computation: RowComputation) -> bool:
        least = self._context.settings.share_seconds
        return (
            least > 0
            and computation.recipe is not None
            and computation.seconds >= least
            and computation.samples > GRAIN
        )

    def _offer(self, computation: RowComputation, on_share: OnShare) -> bool:
        """Whether the computation was offered to others, of which there are some."""
        label, recipe = computation.label, computation.recipe
        parts = ranges(slice(0, computation.samples), rows_of_blocks(computation, self._context.settings.share_seconds))
        offered = [RowBlock(self._claim.job_id, self._claim.owner, label, part.start, part.stop) for part in parts]
        try:
            with self._context.database.read() as connection:
                if recipe is None or self._count_others(connection) == 0:
                    return False
            if not self._offered:
                self._files.discard_earlier(self._is_held)  # of attempts that were killed
            self._files.write_recipe(label, recipe, torch.get_num_threads())
            with self._context.database.write() as connection:
                if not jobs.is_held(connection, self._claim):
                    return False  # the next attempt offers its own
                blocks.offer(connection, offered, kind_of_process())
        except (sa.exc.SQLAlchemyError, ArtefactsUnavailable, OSError) as error:
            log.warning("scoring not shared", computation=label, error=str(error))
            return False
        left = {one.first: one for one in offered}
        self._offered[label] = _Offered(Merged(computation.samples), on_share, computation.samples, left)
        self._called = -float("inf")
        self._call()
        return True

    def _collect(self, label: str) -> Arrays:
        """Compute blocks, of other computations too where none of this one is open, until all of this one are there."""
        while self._offered[label].left:
            following, done = self._step(label)
            for one in done:
                self._read(one)
            if following is not None:
                self._compute(following)
            elif not done:
                time.sleep(_PAUSE_S)
                self._report(self._offered[label])
        return self._offered[label].merged.arrays

    def _step(self, label: str) -> tuple[RowBlock | None, list[HelpedBlock]]:
        """The next block to compute here, if there is one, and blocks that helpers have done."""
        try:
            with self._context.database.write() as connection:
                helped = blocks.helped(connection, self._claim)
                done = [one for one in helped if one.done]
                for one in done:
                    blocks.remove(connection, one.block)
                self._open_again(connection, [one for one in helped if not one.done])
                following = self._take_away(connection, label)
                if following is None and not done:
                    following = self._slow(connection)
                if following is None and not helped:
                    # What a helper gave could not be read, or somebody has removed rows.
                    following = next(iter(self._offered[label].left.values()))
            self._call()
        except sa.exc.SQLAlchemyError as error:
            log.warning("the database is away, so this block is computed here", error=str(error))
            return next(iter(self._offered[label].left.values())), []
        return following, done

    def _take_away(self, connection: sa.Connection, label: str) -> RowBlock | None:
        # One that was computed while the database was away is still open there.
        while (found := blocks.take_away(connection, self._claim, label)) is not None:
            if found.first in self._offered[found.computation].left:
                return found
        return None

    def _open_again(self, connection: sa.Connection, held: Sequence[HelpedBlock]) -> None:
        """Let others have the blocks of helpers that are gone."""
        processes = sorted({process_of(one.helper) for one in held})
        self._patience.note(held, workers.seen_at(connection, processes))
        for one in self._patience.gone():
            log.warning("a helper is gone", computation=one.block.computation, first=one.block.first)
            blocks.give_back(connection, one.block, one.helper)

    def _slow(self, connection: sa.Connection) -> RowBlock | None:
        """A block that its helper has had for long, taken away from it."""
        for one in self._patience.slow():
            log.warning("a helper is slow", computation=one.block.computation, first=one.block.first)
            blocks.remove(connection, one.block)
            return one.block
        return None

    def _read(self, helped: HelpedBlock) -> None:
        """Put in what a helper has computed; where that is damaged or gone, the block is computed here."""
        block = helped.block
        offered = self._offered[block.computation]
        if block.first not in offered.left:
            return
        try:
            part = self._files.read_block(helped)
        except (Damaged, OSError, ArtefactsUnavailable) as error:
            log.warning("what a helper computed cannot be read", first=block.first, error=str(error))
            return
        self._by_others += 1
        self._put(block, part)

    def _compute(self, block: RowBlock) -> None:
        offered, began = self._offered[block.computation], self._clock()
        if offered.of_rows is None:
            try:
                offered.of_rows = self._files.open(block.computation).of_rows
            except (Damaged, FileNotFoundError) as error:
                raise CheckpointLost(str(error)) from error
        part = offered.of_rows(block.rows)
        self._patience.computed(self._clock() - began)
        self._by_itself += 1
        self._put(block, part)

    def _put(self, block: RowBlock, part: Arrays) -> None:
        offered = self._offered[block.computation]
        offered.merged.add(block.rows, part)
        del offered.left[block.first]
        if not offered.left:
            offered.of_rows = None
        self._report(offered)

    @staticmethod
    def _report(offered: _Offered) -> None:
        left = sum(one.last - one.first for one in offered.left.values())
        offered.on_share(1 - left / offered.samples)

    def _call(self) -> None:
        """Call idle workers, every few seconds while there is something to do: a message that was lost costs no more."""
        now = self._clock()
        if now - self._called < self._context.settings.sweep_seconds or not any(
            one.left for one in self._offered.values()
        ):
            return
        self._called = now
        with self._context.database.read() as connection:
            helpers = {one.helper for one in blocks.helped(connection, self._claim) if not one.done}
            idle = self._count_others(connection) - blocks.count_running(connection) + 1 - len(helpers)
        self._context.call_helpers(self._claim.job_id, max(idle, 0))

    def _count_others(self, connection: sa.Connection) -> int:
        now = database_time(connection)
        return workers.presence(connection, self._context.settings.heartbeat_seconds, now).ready - 1


@contextmanager
def sharing_of(claim: Claim, context: WorkerContext) -> Iterator[Sharing]:
    """Share computations of a claimed job until the block ends."""
    sharing = Sharing(claim, context)
    try:
        yield sharing
    finally:
        sharing.end()
