"""What a job's training stands on, kept with the job, so that new samples can be put on the same."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service.store.files import atomic_write
from worker.data.standard import Standard


@dataclass(frozen=True)
class Footing:
    """The digest of a pretrained network's files, and the scale of what it gave of the training part."""

    network: str
    standard: Standard

    def save(self, path: Path) -> None:
        """Write to a file that is whole or not there, whenever the process dies."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part, part.open("wb") as file:
            np.savez(file, network=self.network, mean=self.standard.mean, deviation=self.standard.deviation)

    @classmethod
    def load(cls, path: Path) -> "Footing":
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return cls(str(file["network"]), Standard(file["mean"], file["deviation"]))
