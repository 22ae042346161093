"""The data folder of a host as a cache of the artefact store, which all hosts share.

What a process has written it uploads, with its seal, before a row of the database names it. What it reads it fetches first where that is not
here: into a temporary folder, where its digests are compared, and then into its place. It is fetched once, whoever asks.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from service.domain.errors import ArtefactsUnavailable, Damaged
from service.store.artefact_store import ArtefactStore
from service.store.eviction import Eviction
from service.store.recent import Recent
from service.store.seal import FOLDER_SEAL, check, check_folder, is_seal, put_in_place, remove_sealed, seal_of
from service.store.units import Units

log = structlog.get_logger()
_KNOWN_S = 60.0
_PROBED_S = 30.0


class ArtefactCache:
    """Files of `home` that `store` has or gets; about `max_bytes` of them are kept here.

    Every method raises ArtefactsUnavailable where the store cannot be reached, unless it says otherwise.
    """

    def __init__(self, home: Path, store: ArtefactStore, max_bytes: int) -> None:
        self.store, self.units = store, Units(home)
        self.eviction = Eviction(home, self.units, store, max_bytes)
        self._home = home
        self._current: set[Path] = set()
        self._probed = -_PROBED_S
        self._asked: Recent[bool] = Recent(1000)

    def fetch_file(self, path: Path, *, newest: bool = False) -> None:
        """Bring a file and its seal here, unless it is. Of one that changes, the `newest` is fetched, whatever is here.

        Where the store has none, nothing happens. Raises Damaged where the copy in the store is, twice in a row.
        """
        self.units.stamp(path)
        if not newest and self._is_here(path, seal_of(path)):
            return
        with self._fetching(path) as part:
            if (not newest and self._is_here(path, seal_of(path))) or not self._get_file(path, part):
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            for one in sorted(part.iterdir(), key=is_seal, reverse=True):  # a file is never there without its seal
                one.replace(path.parent / one.name)
            self._current.add(path)
        self.eviction.make_room_at_times()

    def fetch_folder(self, folder: Path) -> None:
        """Bring a folder that was written at once here, unless it is. Otherwise as `fetch_file`."""
        self.units.stamp(folder)
        if self._is_here(folder, folder / FOLDER_SEAL):
            return
        with self._fetching(folder) as part:
            if self._is_here(folder, folder / FOLDER_SEAL) or not self._get_folder(folder, part):
                return
            folder.parent.mkdir(parents=True, exist_ok=True)
            put_in_place(part, folder)
            self._current.add(folder)
        self.eviction.make_room_at_times()

    def fetch_each(self, folder: Path, is_held: Callable[[], bool]) -> None:
        """Make a folder have the files that it has in the store, if that has anything of its unit. Damaged ones are left out.

        Others are removed while the claim on the unit `is_held`.
        """
        here = list(folder.iterdir()) if folder.exists() else []
        of_unit = self.store.under(self._key(folder.parent))
        stored = {Path(key).name for key in of_unit if key.startswith(f"{self._key(folder)}/")}
        # Of an attempt that went on elsewhere, perhaps at another learning rate. Asked for after the list was made: see scratch_of.
        others = [path for path in here if path.name not in stored] if of_unit else []
        if others and is_held():
            for path in others:
                path.unlink(missing_ok=True)
        for name in sorted(stored):
            path = folder / name
            if not is_seal(path):
                try:
                    self.fetch_file(path)
                except Damaged as error:
                    log.warning("damaged in the store, left out", path=str(path), error=str(error))

    def upload(self, path: Path) -> None:
        """Put a finished file with its seal, or a whole folder, into the store, in place of what it had."""
        self.units.stamp(path)
        self._current.discard(path)
        if path.is_dir():
            files = {self._key(one): one for one in path.rglob("*") if one.is_file() and one.suffix != ".part"}
            self.store.put(files)
            self.store.remove([key for key in self.store.under(self._key(path)) if key not in files])
        else:
            for one in (seal_of(path), path):
                if one is path or one.exists():
                    self.store.put({self._key(one): one})
        self.eviction.make_room_at_times()

    def is_sound_in_store(self, folder: Path) -> bool:
        """Whether the store has the files of a folder that are here and have seals, as they were written. Reads all of them."""
        stored = self.store.under(self._key(folder))
        sealed, seals = _sealed_files(folder), [path for path in folder.iterdir() if is_seal(path)]
        if not all(self._key(path) in stored for path in (*sealed, *seals)):
            return False
        for path in sealed:
            with self._fetching(path) as part:
                try:
                    self._get_file(path, part)
                except Damaged:
                    return False
        return True

    def remove(self, path: Path) -> None:
        """Delete a file with its seal, or a folder, in the store. Raises nothing: what is left there is collected later."""
        try:
            self.discard(path)
        except ArtefactsUnavailable as error:
            log.warning("left in the store, it is collected later", path=str(path), error=error.detail)

    def discard(self, path: Path) -> None:
        """Delete a file with its seal, or a folder, in the store."""
        self.store.remove([*self.store.under(self._key(path)), self._key(seal_of(path))])

    def upload_difference(self, folder: Path) -> None:
        """Make the store have the files that a folder has, by their names and sizes."""
        stored, here = self.store.under(self._key(folder)), {self._key(path): path for path in folder.iterdir()}
        missing = [key for key, path in here.items() if key not in stored or stored[key].size != path.stat().st_size]
        self.store.put({key: here[key] for key in missing})
        self.store.remove([key for key in stored if key not in here])

    def probe(self) -> None:
        """Whether the store can be written, asked at most every half minute."""
        if time.monotonic() - self._probed > _PROBED_S:
            self.store.probe()
            self._probed = time.monotonic()

    def has_any(self, folder: Path) -> bool:
        """Whether the store has any file of a folder; known for a minute."""
        asked = (folder, time.monotonic() // _KNOWN_S)
        known = self._asked.get(asked)
        return self._asked.put(asked, bool(self.store.under(self._key(folder)))) if known is None else known

    def forget(self, path: Path) -> bool:
        """Delete what is here of the file or folder that a damaged file is part of; False where the store does not have the file."""
        if not path.is_relative_to(self._home) or self._key(path) not in self.store.under(self._key(path)):
            return False
        unit = self.units.of(path)
        whole = path if unit is None else unit / path.relative_to(unit).parts[0]
        if whole.is_dir():
            shutil.rmtree(whole, ignore_errors=True)
        else:
            remove_sealed(whole)
        log.warning("damaged copy removed, it is fetched again", path=str(whole))
        return True

    def _get_file(self, path: Path, part: Path) -> bool:
        def get() -> None:
            self.store.get({self._key(path): part / path.name})
            for seal in (seal_of(path), path.parent / FOLDER_SEAL):
                try:
                    self.store.get({self._key(seal): part / seal.name})
                except FileNotFoundError:
                    continue
                return

        return self._get_sound(path, get, lambda: check(part / path.name))

    def _get_folder(self, folder: Path, part: Path) -> bool:
        start = len(self._key(folder)) + 1
        files = {key: part / key[start:] for key in self.store.under(self._key(folder))}

        def sound() -> None:
            check_folder(part)
            for one in files.values():
                if seal_of(one).exists():
                    check(one)

        return bool(files) and self._get_sound(folder, lambda: self.store.get(files), sound)

    def _get_sound(self, path: Path, get: Callable[[], None], sound: Callable[[], None]) -> bool:
        """Get files and compare their digests, once more where they are damaged. False where they are not in the store."""
        for again in (True, False):
            try:
                get()
                sound()
            except FileNotFoundError:
                return False
            except Damaged as error:
                log.warning("damaged when it was fetched", path=str(path), error=str(error))
                if not again:
                    cure = "restore it from a backup of the bucket, or upload or submit it again"
                    raise Damaged(f"{self._key(path)} is damaged in {self.store.url}; {cure}") from error
            else:
                break
        return True

    @contextmanager
    def _fetching(self, path: Path) -> Iterator[Path]:
        """A temporary folder, alone in the unit."""
        with self.units.fetching(path):
            part = Path(tempfile.mkdtemp(suffix=".part", dir=self.units.cache))
            try:
                yield part
            finally:
                for one in self.units.cache.glob(f"{part.name}*"):
                    shutil.rmtree(one, ignore_errors=True)

    def _is_here(self, path: Path, seal: Path) -> bool:
        """Whether a file or folder is here, as the store has it: an attempt at a job that was cut off on this host may have left others.

        It is asked once a process, since nothing changes once a row names it.
        """
        if not path.exists():
            return False
        unit = self.units.of(path)
        if path not in self._current and unit is not None and unit.parent.name == "jobs":
            with tempfile.TemporaryDirectory(suffix=".part", dir=self.units.cache) as part:
                copy = Path(part, "seal")
                try:
                    self.store.get({self._key(seal): copy})
                except FileNotFoundError:
                    return True
                if not seal.exists() or copy.read_bytes() != seal.read_bytes():
                    return False
            self._current.add(path)
        return True

    def _key(self, path: Path) -> str:
        """The key of a file, or the prefix of a folder."""
        return path.relative_to(self._home).as_posix()


def _sealed_files(folder: Path) -> list[Path]:
    files = [path for path in folder.iterdir() if path.is_file() and not is_seal(path)]
    whole = (folder / FOLDER_SEAL).exists()
    return sorted(path for path in files if whole or seal_of(path).exists())
