"""Eviction from a data folder that is a cache: never of a unit in use, nor of one of which the store lacks what cannot be made again."""

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

import structlog

from service.store.artefact_store import ArtefactStore
from service.store.units import Units

log = structlog.get_logger()

_IDLE_S = 600.0  # a unit that was used since then stays: a request may be reading it
_EVERY_S = 60.0
# What a unit may have beyond the store: what is made again, and the remains of attempts that went on elsewhere.
_REMADE = ("profile.json*", "timings.json*", "order-*", "*.part", ".ingest-*", "scratch", "scratch-*", "shared", "rescoring-*", "checkpoints", "search")  # fmt: skip


class Eviction:
    """Keeps the units of a data folder within `max_bytes`, those that were used last."""

    def __init__(self, home: Path, units: Units, store: ArtefactStore, max_bytes: int, idle_s: float = _IDLE_S) -> None:
        self._home, self._units, self._store = home, units, store
        self._max_bytes, self._idle_s = max_bytes, idle_s
        self._looked, self._looking = time.monotonic(), threading.Lock()

    def make_room_at_times(self) -> None:
        """Make room, if this process has not looked for a minute."""
        if time.monotonic() - self._looked >= _EVERY_S and self._looking.acquire(blocking=False):
            try:
                self._looked = time.monotonic()
                self.make_room()
            finally:
                self._looking.release()

    def make_room(self) -> int:
        """Evict the units that were used least recently, until they are as large as they may be. Gives their number."""
        found = sorted((self._units.last_used(unit), _size(unit), unit) for unit in self._units.all())
        total, evicted = sum(size for _, size, _ in found), 0
        for used, size, unit in found:
            if total <= self._max_bytes or used > time.time() - self._idle_s:
                break
            if self._evict(unit):
                total, evicted = total - size, evicted + 1
                log.info("evicted", unit=f"{unit.parent.name}/{unit.name}", bytes=size)
        return evicted

    def _evict(self, unit: Path) -> bool:
        """Whether the unit is no longer here, since it was evicted by this process or, meanwhile, by another."""
        with self._units.alone(unit) as free:
            # First away from its place, at once: nobody finds half of it.
            away = self._units.cache / f"{unit.name}.{time.time_ns()}"
            try:
                if not free or not self._is_stored(unit):
                    return False
                unit.rename(away)
            except FileNotFoundError:
                return not unit.exists()
        shutil.rmtree(away, ignore_errors=True)
        return True

    def _is_stored(self, unit: Path) -> bool:
        prefix = unit.relative_to(self._home).as_posix()
        stored = {key: one.size for key, one in self._store.under(prefix).items()}
        needed = {path.relative_to(self._home).as_posix(): path.stat().st_size for path in _needed(unit)}
        return bool(stored) and needed.items() <= stored.items()


def _needed(unit: Path) -> Iterator[Path]:
    for path in unit.rglob("*"):
        parts = path.relative_to(unit).parts
        if path.is_file() and not any(fnmatch(part, pattern) for part in parts for pattern in _REMADE):
            yield path


def _size(unit: Path) -> int:
    """Bytes of its files; what is deleted meanwhile does not count."""
    total = 0
    for folder, _, names in os.walk(unit):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(folder, name).lstat().st_size
    return total
