"""Resources of a worker process, and the paths of a job's files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
import torch

from service.settings import Settings
from service.store.blobs import Blobs
from service.store.engine import Database
from worker.backbones import BackboneContext, FeatureCache
from worker.training.loop import TrainingState

log = structlog.get_logger()


@dataclass(frozen=True)
class WorkerContext:
    """Database, files and device of a worker process; `stopping` says whether it was told to stop."""

    settings: Settings
    database: Database
    blobs: Blobs
    device: torch.device
    stopping: Callable[[], bool]

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


def preprocessing_path(blobs: Blobs, job_id: str) -> Path:
    """Stored preprocessing of a job with a pretrained network."""
    # The name is that of files that earlier versions wrote.
    return blobs.job(job_id) / "footing.npz"


def checkpoint_path(folder: Path, epoch: int) -> Path:
    """File of the checkpoint at the end of an epoch, from 1."""
    return folder / f"{epoch:05d}.pt"


def latest_checkpoint(folder: Path) -> TrainingState | None:
    """The newest checkpoint that can be read, or None; files that cannot be read are deleted."""
    for path in sorted(folder.glob("*.pt"), reverse=True):
        try:
            return TrainingState.load(path)
        except Exception as error:  # noqa: BLE001 - torch raises many errors for a file that was cut short by a power failure
            log.warning("checkpoint unreadable, going back further", path=str(path), error=str(error))
            path.unlink()
    return None
