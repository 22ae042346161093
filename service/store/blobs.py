"""Paths of files: canonical datasets, checkpoints, evidence. One folder tree under the installation's home."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

NETWORK_FILE = "network"


@dataclass(frozen=True)
class Blobs:
    """The folder tree of an installation; every host of the installation sees the same tree."""

    home: Path

    @property
    def uploads(self) -> Path:
        """Folder of uploads that are being received."""
        return self._made(self.home / "uploads")

    def dataset(self, dataset_id: str) -> Path:
        """The folder of a dataset."""
        return self.home / "datasets" / dataset_id

    def canonical(self, dataset_id: str) -> Path:
        """A dataset's canonical Parquet file."""
        return self.dataset(dataset_id) / "data.parquet"

    def skipped(self, dataset_id: str) -> Path:
        """Rows that were left out of a dataset, one `SkippedRow` as JSON a line."""
        return self.dataset(dataset_id) / "skipped.jsonl"

    def original(self, dataset_id: str) -> Path:
        """The upload of a dataset as it came; absent where none was kept."""
        return self.dataset(dataset_id) / "original"

    def original_facts(self, dataset_id: str) -> Path:
        """Name and spec of that upload, as JSON."""
        return self.dataset(dataset_id) / "original.json"

    def amendments(self, dataset_id: str) -> Path:
        """What a corrected dataset has otherwise than its upload, sample by sample."""
        return self.dataset(dataset_id) / "amendments.parquet"

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

    def ranking(self, job_id: str, version: int = 0) -> Path:
        """The folder of a version of a completed job's ranking as columns; 0 is the one that the job itself made."""
        return self.job(job_id) / (f"ranking-{version}" if version else "ranking")

    def search(self, dataset_id: str) -> Path:
        """The folder of the beginnings of a dataset's texts, to be searched."""
        return self.dataset(dataset_id) / "search"

    def profile(self, dataset_id: str) -> Path:
        """The values of a dataset's inputs by class, as JSON."""
        return self.dataset(dataset_id) / "profile.json"

    def origin(self, job_id: str) -> Path:
        """The tasks of a labelling tool as they were pulled for a job, one JSON object a line."""
        return self.job(job_id) / "origin.jsonl"

    def question(self, name: str) -> Path:
        """Canonical file of new samples for which a job's model shall give predictions."""
        return self.uploads / f"{_simple(name)}.question"

    def answer(self, name: str) -> Path:
        """The predictions for them, as JSON."""
        return self.uploads / f"{_simple(name)}.answer"

    @property
    def features(self) -> Path:
        """Cached outputs of frozen backbones, a folder each; they can be computed again."""
        return self._made(self.home / "features")

    def writable(self) -> bool:
        """Whether a file can be written now; readiness asks for it."""
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
