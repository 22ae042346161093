"""Units of the data folder: the folders of datasets, jobs and networks. When each was used last, and locks on them.

A lock is held on a file, by the kernel: it ends with the process, however that ends.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

KINDS = ("datasets", "jobs", "networks")
_STAMPED_EVERY_S = 60.0
_PATIENCE_S = 30.0
_PAUSE_S = 0.05


class Units:
    """The units of a data folder. Lock files, whose times of change are those of the last use, are in `cache`."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.cache = home / "cache"
        self._stamped: dict[Path, float] = {}

    def of(self, path: Path) -> Path | None:
        """The unit that a path is in, or is."""
        parts = path.relative_to(self._home).parts
        return self._home / parts[0] / parts[1] if len(parts) > 1 and parts[0] in KINDS else None

    def all(self) -> list[Path]:
        """Those that are here."""
        kinds = [self._home / kind for kind in KINDS if (self._home / kind).is_dir()]
        return [unit for kind in kinds for unit in kind.iterdir() if unit.is_dir()]

    def stamp(self, path: Path) -> None:
        """Note that the unit of a path is used now. Cheap: a file is touched once a minute."""
        unit = self.of(path)
        if unit is not None and time.monotonic() - self._stamped.get(unit, -_STAMPED_EVERY_S) >= _STAMPED_EVERY_S:
            self._stamped[unit] = time.monotonic()
            self.cache.mkdir(parents=True, exist_ok=True)
            self._lock(unit, "use").touch()

    def last_used(self, unit: Path) -> float:
        """Seconds since the epoch; of a unit that was never stamped, when its folder was changed."""
        for path in (self._lock(unit, "use"), unit):
            try:
                return path.stat().st_mtime
            except FileNotFoundError:
                continue
        return 0.0

    @contextmanager
    def in_use(self, *paths: Path) -> Iterator[None]:
        """Nobody evicts the units of these paths before the block, or the process, ends."""
        with ExitStack() as held:
            for unit in {self.of(path) for path in paths} - {None}:
                assert unit is not None
                held.enter_context(_locked(self._lock(unit, "use"), fcntl.LOCK_SH))
                self.stamp(unit)
            yield

    @contextmanager
    def fetching(self, path: Path) -> Iterator[None]:
        """One process and thread at a time fetches into a unit; the others wait.

        They do not wait for ever: one that was stopped while it fetched would keep all of its host from the unit. Two that fetch at
        once do each other no harm.
        """
        lock, deadline = self._lock(self.of(path) or path, "fetch"), time.monotonic() + _PATIENCE_S
        while True:
            with _locked(lock, fcntl.LOCK_EX | fcntl.LOCK_NB) as alone:
                if alone or time.monotonic() > deadline:
                    yield
                    return
            time.sleep(_PAUSE_S)

    @contextmanager
    def alone(self, unit: Path) -> Iterator[bool]:
        """Whether nobody uses a unit or fetches into it; if so, nobody does until the block ends."""
        with (
            _locked(self._lock(unit, "use"), fcntl.LOCK_EX | fcntl.LOCK_NB) as unused,
            _locked(self._lock(unit, "fetch"), fcntl.LOCK_EX | fcntl.LOCK_NB) as unfetched,
        ):
            yield unused and unfetched

    def tidy(self, before: float) -> None:
        """Delete what was not changed since then: lock files of units that are not here, and what killed processes left in `cache`."""
        here = {self._lock(unit, "use").stem for unit in self.all()}
        for path in self.cache.glob("*"):
            if path.stem in here or path.stat().st_mtime >= before:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        self._stamped.clear()

    def _lock(self, path: Path, name: str) -> Path:
        return self.cache / f"{'-'.join(path.relative_to(self._home).parts)}.{name}"


@contextmanager
def _locked(path: Path, kind: int) -> Iterator[bool]:
    """Hold a lock; False where another has it and `kind` says not to wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, kind)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
