"""Paths of files: canonical datasets, checkpoints, evidence. One folder tree under the installation's home.

Without an artefact store every host of the installation sees the same tree. With one, the tree of each host is a cache of it: the path of
a file that is read is given once the file is here, and what was written is uploaded.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from service.domain.errors import Damaged
from service.domain.stage import FIRST
from service.settings import Settings
from service.store.artefact_cache import ArtefactCache
from service.store.artefact_store import ArtefactStore, StoredArtefact
from service.store.seal import is_seal, seal_of, with_digest, without_digest
from usual_suspects.files import atomic_write

log = structlog.get_logger()

NETWORK_FILE = "network"
VOTES_FILE = "votes.parquet"
SHARED_FOLDER = "shared"
SCRATCH_PREFIX = "scratch-"


@dataclass(frozen=True)
class Blobs:
    """The folder tree of an installation. Paths of what may be in the store raise ArtefactsUnavailable and Damaged when it is fetched.

    Whoever writes a file of a job asks for its path before, since what another attempt stored may take its place then.
    """

    home: Path
    cache: ArtefactCache | None = None

    @property
    def uploads(self) -> Path:
        """Folder of uploads that are being received."""
        return self._made(self.home / "uploads")

    def dataset(self, dataset_id: str) -> Path:
        """The folder of a dataset."""
        return self.home / "datasets" / dataset_id

    def canonical(self, dataset_id: str) -> Path:
        """A dataset's canonical Parquet file."""
        return self._file(self.dataset(dataset_id) / "data.parquet")

    def skipped(self, dataset_id: str) -> Path:
        """Rows that were left out of a dataset, one `SkippedRow` as JSON a line."""
        return self._file(self.dataset(dataset_id) / "skipped.jsonl")

    def votes(self, dataset_id: str) -> Path:
        """Who gave which label in a dataset; absent where no annotator is known."""
        return self._file(self.dataset(dataset_id) / VOTES_FILE)

    def original(self, dataset_id: str) -> Path:
        """The upload of a dataset as it came; absent where none was kept."""
        return self._file(self.dataset(dataset_id) / "original")

    def original_facts(self, dataset_id: str) -> Path:
        """Name and spec of that upload, as JSON."""
        return self._file(self.dataset(dataset_id) / "original.json")

    def amendments(self, dataset_id: str) -> Path:
        """What a corrected dataset has otherwise than its upload, sample by sample."""
        return self._file(self.dataset(dataset_id) / "amendments.parquet")

    @property
    def networks(self) -> Path:
        """Networks that clients uploaded, a folder each."""
        return self.home / "networks"

    def network(self, network_id: str) -> Path:
        """The file of an uploaded network."""
        return self._file(self.networks / network_id / NETWORK_FILE)

    def job(self, job_id: str) -> Path:
        """The folder of a job."""
        return self.home / "jobs" / job_id

    def checkpoints(self, job_id: str, is_held: Callable[[], bool] = lambda: True) -> Path:
        """The folder of a job's training states, one file an epoch: those of the store, if that has the job.

        What earlier attempts left there is removed, if the claim on the job `is_held`.
        """
        folder = self._made(self.job(job_id) / "checkpoints")
        if self.cache is not None:
            self.cache.fetch_each(folder, is_held)
        return folder

    def has_checkpoints(self, job_id: str) -> bool:
        """Whether a job has any training states."""
        folder = self.job(job_id) / "checkpoints"
        return any(folder.glob("*.pt")) if self.cache is None else self.cache.has_any(folder)

    def model(self, job_id: str) -> Path:
        """The weights at the end of a job's training, as safetensors."""
        return self._file(self.job(job_id) / "model.safetensors")

    def evidence(self, job_id: str) -> Path:
        """The folder of a completed job's arrays by sample."""
        return self._folder(self.job(job_id) / "evidence")

    def ranking(self, job_id: str, version: int = 0, attempt: int = 1) -> Path:
        """The folder of a version of a job's ranking as columns; 0 is the one that the job itself made, FIRST one before it.

        Each `attempt` at a rescoring has its own.
        """
        return self._folder(self.job(job_id) / ranking_name(version, attempt))

    def search(self, dataset_id: str) -> Path:
        """The folder of the beginnings of a dataset's texts, to be searched."""
        return self._folder(self.dataset(dataset_id) / "search")

    def profile(self, dataset_id: str) -> Path:
        """The values of a dataset's inputs by class, as JSON."""
        return self.dataset(dataset_id) / "profile.json"

    def origin(self, job_id: str) -> Path:
        """The tasks of a labelling tool as they were pulled for a job, one JSON object a line."""
        return self._file(self.job(job_id) / "origin.jsonl")

    def question(self, name: str) -> Path:
        """Canonical file of new samples for which a job's model shall give predictions."""
        return self._file(self.uploads / f"{_simple(name)}.question")

    def answer(self, name: str) -> Path:
        """The predictions for them, as JSON."""
        return self._file(self.uploads / f"{_simple(name)}.answer")

    def scratch(self, job_id: str, owner: str) -> Path:
        """The scratch folder of one claim of a job or of its rescoring, on this host."""
        return self.job(job_id) / f"{SCRATCH_PREFIX}{claim_folder(owner)}"

    def other_scratch(self, folder: Path) -> list[Path]:
        """The scratch folders of other claims of the same job."""
        return sorted(set(folder.parent.glob(f"{SCRATCH_PREFIX}*")) - {folder})

    def shared(self, job_id: str) -> Path:
        """The folder of what workers of a running job share, with a folder for each claim."""
        return self.job(job_id) / SHARED_FOLDER

    def other_shared(self, folder: Path) -> list[Path]:
        """The folders of other claims beside the one of a claim, here and in the store. Raises ArtefactsUnavailable."""
        place = folder.parent
        stored = (Path(key).relative_to(self._key(place)).parts[0] for key in self.stored(place))
        return [
            place / name for name in sorted({one.name for one in place.glob("*")} | set(stored)) if name != folder.name
        ]

    def discard_shared_folder(self, folder: Path) -> None:
        """Delete the folder of a claim, and that of the job where it was the last. Raises ArtefactsUnavailable."""
        self.discard(folder)
        _remove_empty(folder.parent)  # unless another claim has a folder there

    def discard_fetched_shared(self, job_id: str) -> bool:
        """Delete on this host what it has of that, unless a process here uses the job; gives whether it has nothing more.

        Without a store nothing was fetched, and nothing is deleted.
        """
        if self.cache is None:
            return True
        with self.cache.units.alone(self.job(job_id)) as free:
            if free:
                self.remove_here(self.shared(job_id))
        return free

    def shared_file(self, path: Path) -> Path:
        """A file in it."""
        return self._file(path)

    def write_shared(self, path: Path, content: bytes) -> None:
        """Write a small file in it at once, with its digest; where there is a store, there and not here. Raises OSError and ArtefactsUnavailable."""
        if self.cache is not None:
            self.cache.store.put_bytes(self._key(path), with_digest(content))
            return
        with atomic_write(path) as part:
            part.write_bytes(with_digest(content))

    def read_shared(self, path: Path) -> bytes:
        """What was written so. Raises Damaged, ArtefactsUnavailable, and FileNotFoundError where it is gone."""
        content = path.read_bytes() if self.cache is None else self.cache.store.get_bytes(self._key(path))
        return without_digest(content, path)

    def discard_shared(self, path: Path) -> None:
        """Delete what was written so, if it is there. Raises OSError and ArtefactsUnavailable."""
        if self.cache is None:
            path.unlink(missing_ok=True)
            # A file that was begun while the claim's folder was deleted kept that.
            _remove_empty(path.parent)
            _remove_empty(path.parent.parent)
        else:
            self.cache.store.remove([self._key(path)])

    def job_file(self, job_id: str, name: str) -> Path:
        """A small file of a job, as it was written last, on whichever host; what is damaged is made again, and not here."""
        path = self.job(job_id) / name
        if self.cache is not None:
            try:
                self.cache.fetch_file(path, newest=True)
            except Damaged as error:
                log.warning("damaged in the store, it is made again", path=str(path), error=error.detail)
        return path

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

    def disk(self) -> tuple[int, int]:
        """The disk that it is on, in bytes: its size, and what is free."""
        found = shutil.disk_usage(self.home)
        return found.total, found.free

    def probe(self) -> None:
        """Write a small file into the store, where there is one. Raises ArtefactsUnavailable."""
        if self.cache is not None:
            self.cache.probe()

    def remove(self, path: Path) -> None:
        """Delete a folder or file of this tree, if it is there; in the store too."""
        if ".." in path.parts or not path.is_relative_to(self.home) or path == self.home:
            raise ValueError(f"not inside {self.home}: {path}")
        self.remove_here(path)
        if self.cache is not None:
            self.cache.remove(path)

    def discard(self, path: Path) -> None:
        """Delete a folder, or a file with its seal, that nobody may read again. Raises ArtefactsUnavailable, and then nothing was deleted."""
        if self.cache is not None:
            self.cache.discard(path)
        self.remove_here(path)
        self.remove_here(seal_of(path))

    def upload_difference(self, folder: Path) -> None:
        """Make the store have the files that a folder has, by their names and sizes. Raises ArtefactsUnavailable."""
        if self.cache is not None:
            self.cache.upload_difference(folder)

    @staticmethod
    def remove_here(path: Path) -> None:
        """Delete a folder or file on this host, if it is there."""
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def upload(self, *paths: Path) -> None:
        """Put finished files and folders into the store, before a row names them. Raises ArtefactsUnavailable."""
        if self.cache is not None:
            for path in paths:
                self.cache.upload(path)

    def fetch(self, folder: Path) -> Path:
        """A folder of which every file that the store has is here. Raises as the paths do."""
        for key in self.stored(folder):
            if not is_seal(Path(key)):
                self._file(self.home / key)
        return folder

    def is_sound_in_store(self, folder: Path) -> bool:
        """Whether the store, where there is one, has the sealed files of a folder as they were written. Reads all of them."""
        return self.cache is None or self.cache.is_sound_in_store(folder)

    def stored(self, folder: Path | None = None) -> dict[str, StoredArtefact]:
        """What the store has of a folder, or of the whole tree, by path below `home`; nothing without a store."""
        if self.cache is None:
            return {}
        return self.cache.store.under("" if folder is None else self._key(folder))

    def forget(self, error: Damaged) -> bool:
        """Whether a damaged file was a copy of what the store has: it is removed then, and fetched again when it is read next."""
        return self.cache is not None and isinstance(error.path, Path) and self.cache.forget(error.path)

    @contextmanager
    def in_use(self, *folders: Path) -> Iterator[None]:
        """Keep folders of datasets, jobs and networks on this host while the block runs."""
        if self.cache is None:
            yield
            return
        with self.cache.units.in_use(*folders):
            yield

    def _file(self, path: Path) -> Path:
        if self.cache is not None:
            self.cache.fetch_file(path)
        return path

    def _key(self, path: Path) -> str:
        return path.relative_to(self.home).as_posix()

    def _folder(self, path: Path) -> Path:
        if self.cache is not None:
            self.cache.fetch_folder(path)
        return path

    @staticmethod
    def _made(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def open_blobs(settings: Settings) -> Blobs:
    """The folder tree of the settings, with the artefact store that they name. Connects to nothing."""
    if not settings.artefacts:
        return Blobs(settings.home)
    return Blobs(
        settings.home, ArtefactCache(settings.home, ArtefactStore(settings.artefacts), settings.max_cached_bytes)
    )


def ranking_name(version: int, attempt: int) -> str:
    """Name of the folder of a version of a ranking, as an attempt wrote it."""
    name = {0: "ranking", FIRST: "ranking-first"}.get(version, f"ranking-{version}")
    return name if attempt == 1 else f"{name}-{attempt}"


def claim_folder(owner: str) -> str:
    """Name of the folders of a claim."""
    return hashlib.sha256(owner.encode()).hexdigest()[:16]


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # it is not empty, or not there
        folder.rmdir()


def _simple(name: str) -> str:
    if not name.isalnum() or not name.isascii():
        raise ValueError("a name of letters and digits")
    return name
