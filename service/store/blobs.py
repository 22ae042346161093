"""Files: canonical datasets, checkpoints, evidence. One folder tree under the installation's home."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

NETWORK_FILE = "network"


@dataclass(frozen=True)
class Blobs:
    """Where each kind of file lives; every host of one installation sees the same tree."""

    home: Path

    @property
    def uploads(self) -> Path:
        """Uploads on their way in."""
        return self._made(self.home / "uploads")

    def dataset(self, dataset_id: str) -> Path:
        """The folder of a dataset."""
        return self.home / "datasets" / dataset_id

    def canonical(self, dataset_id: str) -> Path:
        """A dataset's canonical Parquet file."""
        return self.dataset(dataset_id) / "data.parquet"

    def skipped(self, dataset_id: str) -> Path:
        """What was left out of a dataset, one JSON object a line."""
        return self.dataset(dataset_id) / "skipped.jsonl"

    @property
    def networks(self) -> Path:
        """Networks that clients uploaded, a folder each."""
        return self.home / "networks"

    def network(self, network_id: str) -> Path:
        """The file of an uploaded network."""
        return self.networks / network_id / NETWORK_FILE

    def job(self, job_id: str) -> Path:
        """The folder of a job."""
        return self.home / "jobs" / job_id

    def checkpoints(self, job_id: str) -> Path:
        """The folder of a job's training states, one file an epoch."""
        return self._made(self.job(job_id) / "checkpoints")

    def model(self, job_id: str) -> Path:
        """The weights at the end of a job's training, as safetensors."""
        return self.job(job_id) / "model.safetensors"

    def evidence(self, job_id: str) -> Path:
        """The folder of a completed job's arrays by sample."""
        return self.job(job_id) / "evidence"

    def origin(self, job_id: str) -> Path:
        """What the labelling tool said of each task when it was pulled for a job, one JSON object a line."""
        return self.job(job_id) / "origin.jsonl"

    def question(self, name: str) -> Path:
        """Samples of which a job's model is to say something, as a canonical file."""
        return self.uploads / f"{_simple(name)}.question"

    def answer(self, name: str) -> Path:
        """What it said, as JSON."""
        return self.uploads / f"{_simple(name)}.answer"

    @property
    def features(self) -> Path:
        """What frozen backbones gave, a folder each; all of it can be computed again."""
        return self._made(self.home / "features")

    def writable(self) -> bool:
        """Whether a file can be written now."""
        try:
            with tempfile.TemporaryFile(dir=self.uploads) as file:
                file.write(b"\0")
        except OSError:
            return False
        return True

    def remove(self, folder: Path) -> None:
        """Delete a folder of this tree, if it is there."""
        if ".." in folder.parts or not folder.is_relative_to(self.home) or folder == self.home:
            raise ValueError(f"not inside {self.home}: {folder}")
        shutil.rmtree(folder, ignore_errors=True)

    @staticmethod
    def _made(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _simple(name: str) -> str:
    if not name.isalnum() or not name.isascii():
        raise ValueError("a name of letters and digits")
    return name
