"""Help with the scoring of another worker's job: one block of rows at a time."""

from contextlib import suppress

import structlog
import torch

from service.domain.errors import ArtefactsUnavailable
from service.store import blocks
from service.store.blocks import HelpedBlock, RowBlock
from worker.influence.row_computations import Arrays
from worker.job.context import WorkerContext
from worker.job.shared_files import OpenedComputation, SharedFiles, kind_of_process

log = structlog.get_logger()


class Helper:
    """Computes blocks. What it has opened last it keeps for the next block, until `forget`."""

    def __init__(self) -> None:
        self._opened: tuple[tuple[str, str], OpenedComputation] | None = None
        self._helped: set[str] = set()  # jobs of which this host may have fetched files

    def forget(self) -> None:
        """Free the memory of what was opened."""
        self._opened = None

    def help_with(self, job_id: str, owner: str, context: WorkerContext) -> bool:
        """Compute a block of a job, and give whether there was one; `owner` must differ from call to call.

        Raises SQLAlchemyError where the database is away when a block is to be taken, and nothing afterwards.
        """
        with context.database.write() as connection:
            block = blocks.help_with(connection, job_id, kind_of_process(), owner)
        if block is None:
            self.forget()
            return False
        # Not as soon as there is no block: the same job may offer more, of the same arrays.
        self._helped = {one for one in self._helped - {job_id} if not context.blobs.discard_fetched_shared(one)} | {
            job_id
        }
        taken, files = HelpedBlock(block, owner, done=False), SharedFiles(context.blobs, job_id, block.claim)
        try:
            with context.blobs.in_use(context.blobs.job(job_id)):
                files.write_block(taken, self._compute(files, block))
            with context.database.write() as connection:
                wanted = blocks.finish(connection, block, owner)
            if not wanted:
                files.discard_block(taken)
        except Exception as error:  # noqa: BLE001 - whatever ails this helper, the worker of the job computes the block
            log.warning("could not help", job=job_id, first=block.first, error=str(error))
            self.forget()
            self._give_back(block, owner, context)
            with suppress(OSError, ArtefactsUnavailable):
                files.discard_block(taken)
            return False
        log.info("helped", computation=block.computation, first=block.first, last=block.last, wanted=wanted)
        return wanted

    def _compute(self, files: SharedFiles, block: RowBlock) -> Arrays:
        key = (block.claim, block.computation)
        if self._opened is None or self._opened[0] != key:
            self._opened = None  # before the next one is opened
            self._opened = (key, files.open(block.computation))
        opened = self._opened[1]
        # With another number of threads some bits may differ.
        torch.set_num_threads(opened.threads)
        with torch.inference_mode():
            return opened.of_rows(block.rows)

    @staticmethod
    def _give_back(block: RowBlock, owner: str, context: WorkerContext) -> None:
        try:
            with context.database.write() as connection:
                blocks.give_back(connection, block, owner)
        except Exception as error:  # noqa: BLE001 - it is taken away after a while
            log.warning("a block is not given back", first=block.first, error=str(error))
