"""What a job stores of its preprocessing, so that new samples are encoded as its training samples were."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from service.store.seal import read_checked, sealed_write
from worker.data.standard import Standard


@dataclass(frozen=True)
class Preprocessing:
    """Digest of a pretrained network's files (SHA-256), and the scale of its outputs on the training part."""

    network: str
    standard: Standard

    def save(self, path: Path) -> None:
        """Write to a file that is whole or not there, whenever the process dies."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with sealed_write(path) as part, part.open("wb") as file:
            np.savez(file, network=self.network, mean=self.standard.mean, deviation=self.standard.deviation)

    @classmethod
    def load(cls, path: Path) -> "Preprocessing":
        """Read what `save` wrote. Raises Damaged."""
        with np.load(BytesIO(read_checked(path)), allow_pickle=False) as file:
            return cls(str(file["network"]), Standard(file["mean"], file["deviation"]))
