"""Resources of a worker process, and the paths of a job's files."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import torch

from service.domain.errors import Damaged
from service.domain.job_queue import JOB_QUEUES, JobQueue
from service.domain.specs import JobSpec
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.engine import Database
from service.store.jobs import Job
from service.store.seal import check, remove_sealed
from worker.backbones import BackboneContext, FeatureCache
from worker.training.loop import TrainingState

log = structlog.get_logger()
_STORED_EVERY_S = 60.0


@dataclass(frozen=True)
class WorkerContext:
    """Database, files and device of a worker process; `stopping` says whether it was told to stop; `call_helpers` sends so many workers a message to help with a job.

    `queues` are those whose jobs it takes.
    """

    settings: Settings
    database: Database
    blobs: Blobs
    device: torch.device
    stopping: Callable[[], bool]
    call_helpers: Callable[[str, int], None] = lambda _job_id, _count: None
    queues: Collection[JobQueue] = JOB_QUEUES

    def backbone_context(
        self, scratch: Path, on_progress: Callable[[float], None] = lambda _share: None
    ) -> BackboneContext:
        """Where pretrained networks and their cached outputs are; `on_progress` is called with the share done."""
        return BackboneContext(
            models=self.settings.models_folder,
            networks=self.blobs.networks,
            features=FeatureCache(self.blobs.features, self.settings.max_features_bytes),
            scratch=scratch,
            device=self.device,
            on_progress=on_progress,
        )

    @contextmanager
    def files_of(self, job: Job) -> Iterator[None]:
        """The files that a job needs stay on this host while the block runs; the network that it names is here."""
        blobs, ids = self.blobs, [job.dataset_id, job.reference_dataset_id]
        with blobs.in_use(blobs.job(job.id), *(blobs.dataset(one) for one in ids if one is not None)):
            if job.spec.model.network is None:
                yield
                return
            with blobs.in_use(blobs.networks / job.spec.model.network):
                blobs.network(job.spec.model.network)
                yield


@contextmanager
def scratch_of(blobs: Blobs, job_id: str, owner: str, is_held: Callable[[], bool]) -> Iterator[Path]:
    """A folder for large arrays of one attempt, which goes with it. What earlier attempts left behind is removed first.

    Each attempt has its own: one that was stopped past its lease and wakes up must remove nothing of the next.
    """
    folder = blobs.scratch(job_id, owner)
    earlier = blobs.other_scratch(folder)
    # In this order: while the claim holds, no later attempt can have made what was found.
    if earlier and is_held():
        for one in earlier:
            blobs.remove_here(one)
    try:
        yield folder
    finally:
        blobs.remove_here(folder)


def remove_parts(folder: Path, is_held: Callable[[], bool]) -> None:
    """Remove what attempts that were killed have half written in a folder; nothing of a later attempt, as above."""
    found = list(folder.glob("*.part"))
    if found and is_held():
        for part in found:
            part.unlink(missing_ok=True)


def preprocessing_path(blobs: Blobs, job_id: str) -> Path:
    """Stored preprocessing of a job with a pretrained network."""
    # The name is that of files that earlier versions wrote.
    return blobs.job_file(job_id, "footing.npz")


def found_rate_path(blobs: Blobs, job_id: str) -> Path:
    """File of the learning rate that a job found before its training."""
    return blobs.job_file(job_id, "learning_rate.json")


def with_found_rate(spec: JobSpec, found: Mapping[str, Any]) -> JobSpec:
    """The spec with the learning rate that such a file holds."""
    training = spec.training.model_copy(update={"learning_rate": found["rate"]})
    return spec.model_copy(update={"training": training})


def checkpoint_path(folder: Path, epoch: int) -> Path:
    """File of the checkpoint at the end of an epoch, from 1."""
    return folder / f"{epoch:05d}.pt"


class StoredAtTimes:
    """Stores checkpoints so that a worker of another host loses about a minute of training, and no more."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs, self._at = blobs, time.monotonic()
        self._passing: Path | None = None  # was stored, and is not kept

    def store(self, checkpoint: Path, timings: Path, *, kept: bool, at_once: bool) -> None:
        """Store the newest checkpoint, if it is `kept`, `at_once`, or after a minute; it replaces one that is not kept."""
        if kept or at_once or time.monotonic() - self._at >= _STORED_EVERY_S:
            self._blobs.upload(checkpoint, timings)
            if self._passing is not None:
                self._blobs.discard(self._passing)
            self._at, self._passing = time.monotonic(), None if kept else checkpoint


class CheckpointLost(Exception):
    """A checkpoint that was needed is damaged or gone; training can go on from the one before."""


class InputsLost(CheckpointLost):
    """What the checkpoints were trained on was damaged meanwhile; training begins anew."""


def load_checkpoint(path: Path) -> TrainingState:
    """A checkpoint. Raises CheckpointLost; what is damaged is deleted then."""
    try:
        return TrainingState.load(path)
    except (Damaged, FileNotFoundError) as error:
        remove_sealed(path)
        raise CheckpointLost(str(error)) from error


def checkpoint_to_resume(folder: Path, kept: Sequence[int]) -> TrainingState | None:
    """The newest checkpoint that can be read and before which none of the epochs `kept` is lost, or None.

    Damaged checkpoints are deleted with all later ones: training makes them again, with the same bits.
    """
    there = {int(path.stem): path for path in folder.glob("*.pt")}
    lost = [epoch for epoch in kept if epoch <= max(there, default=0) and not _is_sound(folder, epoch)]
    for epoch in sorted(there, reverse=True):
        if not lost or epoch < lost[0]:
            try:
                return TrainingState.load(there[epoch])
            except Exception as error:  # noqa: BLE001 - torch raises many errors for a file of an earlier version that was cut short
                log.warning("checkpoint unreadable, going back further", path=str(there[epoch]), error=str(error))
        remove_sealed(there[epoch])
    return None


def _is_sound(folder: Path, epoch: int) -> bool:
    try:
        check(checkpoint_path(folder, epoch))
    except (Damaged, FileNotFoundError) as error:
        log.warning("checkpoint lost, going back further", epoch=epoch, error=str(error))
        return False
    return True
