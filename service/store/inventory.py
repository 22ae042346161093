"""Files of an installation: their sizes by kind, and those that nothing needs any more.

`python -m service.store.inventory` prints both as JSON and changes nothing.
"""

import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import sqlalchemy as sa

from service.domain.errors import ArtefactsUnavailable
from service.domain.job import ENDED, RUNNING
from service.settings import Settings
from service.store import rescorings
from service.store.artefact_store import StoredArtefact
from service.store.blobs import SCRATCH_PREFIX, SHARED_FOLDER, Blobs, claim_folder, open_blobs
from service.store.engine import open_database
from service.store.tables import datasets, jobs, networks

_TOGETHER = 500
_ROWS = {"datasets": datasets, "jobs": jobs, "networks": networks}
_OF_JOBS = {"checkpoints": "checkpoints", "evidence": "evidence", "ranking": "rankings", "model.safetensors": "weights"}
# Of a job, left behind by an attempt that was killed; "scratch" and "rescoring-*" by an earlier version.
_UNFINISHED = ("scratch", "rescoring-*", SHARED_FOLDER, "*.part")
_RESCORED = re.compile(r"ranking-\d+(-\d+)?")  # folders that rescorings write


@dataclass(frozen=True)
class Leftover:
    """A file or folder that nothing needs. `kind`: orphan (no row names it), unfinished (of a process that was killed) or checkpoints.

    `stored` are its bytes in the artefact store.
    """

    kind: str
    path: Path
    stored: int = 0

    @property
    def bytes(self) -> int:
        """Size of all its files, on this host and in the store."""
        return self.stored + sum(size for _, size in _files(self.path))


def leftovers(connection: sa.Connection, blobs: Blobs, before: datetime) -> Iterator[Leftover]:
    """What no row names and unfinished work, where nothing in it was changed since `before`.

    A database without any dataset names nothing: it may be another one than that of these files, so nothing of it is an orphan.
    """
    limit = before.timestamp()
    if connection.execute(sa.select(datasets.c.id).limit(1)).first() is None:
        return
    for kind in _ROWS:
        folders = _entries(blobs.home / kind)
        for start in range(0, len(folders), _TOGETHER):
            some = folders[start : start + _TOGETHER]
            named = _named(connection, kind, [path.name for path in some])
            held = _held_scratch(connection, named) if kind == "jobs" else set()
            rankings = rescorings.folder_names(connection, list(named)) if kind == "jobs" else set()
            for path in some:
                if path.name not in named:
                    yield from _old([Leftover("orphan", path)], limit)
                elif kind == "datasets":
                    yield from _old([Leftover("unfinished", one) for one in path.glob(".ingest-*")], limit)
                elif kind == "jobs":
                    patterns = _UNFINISHED if named[path.name] in ENDED else ()
                    unfinished = [one for pattern in patterns for one in path.glob(pattern)]
                    unfinished += [one for one in path.glob(f"{SCRATCH_PREFIX}*") if one.name not in held]
                    unfinished += [one for one in _rescored(path) if (path.name, one.name) not in rankings]
                    yield from _old([Leftover("unfinished", one) for one in unfinished], limit)
    for folder, pattern in ((blobs.home / "uploads", "*"), (blobs.home / "features", "*.part")):
        yield from _old([Leftover("unfinished", one) for one in sorted(folder.glob(pattern))], limit)


def tidy(connection: sa.Connection, blobs: Blobs, before: datetime) -> dict[Leftover, int]:
    """Remove what is left over on this host, where its files are a cache, and keep that within its size. Gives what was removed, with its bytes."""
    if blobs.cache is None:
        return {}
    removed = {one: one.bytes for one in leftovers(connection, blobs, before)}
    for one in removed:
        blobs.remove_here(one.path)
    blobs.cache.units.tidy(before.timestamp())
    blobs.cache.eviction.make_room()
    return removed


def stored_leftovers(
    connection: sa.Connection, blobs: Blobs, stored: Mapping[str, StoredArtefact], before: datetime
) -> Iterator[Leftover]:
    """The same of what the artefact store has: orphans, what helpers of jobs that have ended left, and questions that nobody waits for."""
    if connection.execute(sa.select(datasets.c.id).limit(1)).first() is None:
        return
    units: dict[tuple[str, str], list[StoredArtefact]] = {}
    for key, one in stored.items():
        units.setdefault(_unit(key), []).append(one)
    old = {unit: some for unit, some in units.items() if max(one.written for one in some) < before}
    for kind in _ROWS:
        ids = sorted(name for unit_kind, name in old if unit_kind == kind)
        for start in range(0, len(ids), _TOGETHER):
            named = _named(connection, kind, ids[start : start + _TOGETHER])
            for name in ids[start : start + _TOGETHER]:
                if name not in named:
                    yield Leftover("orphan", blobs.home / kind / name, sum(one.size for one in old[kind, name]))
    yield from _shared_of_ended(connection, blobs, stored)
    yield from _unnamed_rankings(connection, blobs, stored, before)
    for (kind, name), some in old.items():
        if kind == "uploads":
            yield Leftover("unfinished", blobs.home / kind / name, sum(one.size for one in some))


def old_checkpoints(
    connection: sa.Connection,
    blobs: Blobs,
    before: datetime,
    stored: Mapping[str, StoredArtefact],
) -> Iterator[Leftover]:
    """Checkpoints of jobs that ended before then, on this host and in the artefact store, which has `stored`."""
    sizes_of = Counter[str]()
    for key, one in stored.items():
        if PurePosixPath(key).parts[2:3] == ("checkpoints",):
            sizes_of[_unit(key)[1]] += one.size
    ended = sa.select(jobs.c.id).where(jobs.c.state.in_(ENDED), jobs.c.finished_at < before)
    for job_id in connection.execute(ended).scalars().all():
        path = blobs.job(job_id) / "checkpoints"
        if path.exists() or sizes_of[job_id]:
            yield Leftover("checkpoints", path, sizes_of[job_id])


def _shared_of_ended(
    connection: sa.Connection, blobs: Blobs, stored: Mapping[str, StoredArtefact]
) -> Iterator[Leftover]:
    found = Counter[str]()
    for key, one in stored.items():
        if PurePosixPath(key).parts[2:3] == (SHARED_FOLDER,):
            found[_unit(key)[1]] += one.size
    states = _named(connection, "jobs", list(found))
    for job_id, size in found.items():
        if states.get(job_id) in ENDED:
            yield Leftover("unfinished", blobs.shared(job_id), size)


def _unnamed_rankings(
    connection: sa.Connection, blobs: Blobs, stored: Mapping[str, StoredArtefact], before: datetime
) -> Iterator[Leftover]:
    """Folders of rankings that attempts at a rescoring wrote, and did not complete."""
    found: dict[tuple[str, str], list[StoredArtefact]] = {}
    for key, one in stored.items():
        kind, *names = PurePosixPath(key).parts
        if kind == "jobs" and len(names) > 2 and _RESCORED.fullmatch(names[1]):
            found.setdefault((names[0], names[1]), []).append(one)
    rankings = rescorings.folder_names(connection, sorted({job_id for job_id, _ in found}))
    for (job_id, name), some in found.items():
        if (job_id, name) not in rankings and max(one.written for one in some) < before:
            yield Leftover("unfinished", blobs.job(job_id) / name, sum(one.size for one in some))


def sizes(home: Path) -> dict[str, int]:
    """Bytes of all files by kind, the largest first."""
    found: Counter[str] = Counter()
    for path, size in _files(home):
        found[_kind(path.relative_to(home).parts)] += size
    return dict(found.most_common())


def _unit(key: str) -> tuple[str, str]:
    kind, _, rest = key.partition("/")
    return kind, rest.partition("/")[0]


def _kind(parts: Sequence[str]) -> str:
    if parts[0] == "jobs" and len(parts) > 2:
        name = parts[2]  # each version of a ranking has a folder: ranking, ranking-first, ranking-2
        return _OF_JOBS.get("ranking" if name.startswith("ranking-") else name, "other files of jobs")
    if parts[0] in ("datasets", "networks", "features", "uploads", "logs", "models"):
        return parts[0]
    return "database" if parts[0].startswith("suspects.db") else "other files"


def _named(connection: sa.Connection, kind: str, ids: Sequence[str]) -> dict[str, str]:
    """Those of the ids that have a row, with the state of a job."""
    table = _ROWS[kind]
    state = table.c.state if kind == "jobs" else sa.literal("")
    return {row[0]: row[1] for row in connection.execute(sa.select(table.c.id, state).where(table.c.id.in_(ids)))}


def _held_scratch(connection: sa.Connection, job_ids: Iterable[str]) -> set[str]:
    """Names of the scratch folders of those who compute these jobs, or score them again."""
    ids = list(job_ids)
    computing = sa.select(jobs.c.owner).where(jobs.c.id.in_(ids), jobs.c.state.in_(RUNNING))
    owners = [*connection.execute(computing).scalars(), *rescorings.owners(connection, ids)]
    return {f"{SCRATCH_PREFIX}{claim_folder(owner)}" for owner in owners if owner is not None}


def _rescored(job: Path) -> Iterator[Path]:
    return (one for one in job.glob("ranking-*") if _RESCORED.fullmatch(one.name))


def _old(found: Sequence[Leftover], limit: float) -> Iterator[Leftover]:
    return (one for one in found if _changed(one.path) < limit)


def _changed(path: Path) -> float:
    """When a file, or anything in a folder, was changed last."""
    newest = 0.0
    for entry in (path, *path.rglob("*")):
        try:
            newest = max(newest, entry.lstat().st_mtime)
        except FileNotFoundError:
            continue
    return newest


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _files(path: Path) -> Iterator[tuple[Path, int]]:
    for one in [path] if path.is_file() else path.rglob("*"):
        try:
            state = one.lstat()
        except FileNotFoundError:
            continue
        if not one.is_dir() or one.is_symlink():
            # A hard link, as corrected datasets have to their upload, takes its share.
            yield one, state.st_size // max(state.st_nlink, 1)


def _sizes_by_folder(home: Path, found: Iterable[Leftover]) -> dict[str, int]:
    """Bytes by kind and folder of `home`, as in "orphan datasets", the largest first."""
    told = Counter[str]()
    for one in found:
        folder = one.path.relative_to(home).parts[0]
        told[one.kind if one.kind == "checkpoints" else f"{one.kind} {folder}"] += one.bytes
    return dict(told.most_common())


def main() -> None:
    """Print sizes, what the service would remove now, and what later unless something comes to need it."""
    settings = Settings()
    told: dict[str, object] = {"sizes": sizes(settings.home)}
    file = sa.make_url(settings.database).database
    if not settings.database.startswith("sqlite") or (file and os.path.exists(file)):  # noqa: PTH110 - else it would be made
        database, now = open_database(settings.database), datetime.now(UTC)
        blobs = open_blobs(settings)
        long_ago = now - timedelta(seconds=settings.collect_after_seconds)
        try:
            stored = blobs.stored()
            with database.read() as connection:
                old, all_ages = (
                    [*leftovers(connection, blobs, before), *stored_leftovers(connection, blobs, stored, before)]
                    for before in (long_ago, now)
                )
                due = old
                if settings.keep_checkpoints_days:
                    ended = now - timedelta(days=settings.keep_checkpoints_days)
                    due = [*old, *old_checkpoints(connection, blobs, ended, stored)]
            told["removed"] = _sizes_by_folder(blobs.home, due)
            told["removed_later"] = _sizes_by_folder(blobs.home, set(all_ages).difference(old))
        except ArtefactsUnavailable as error:
            told["error"] = error.detail
        except sa.exc.SQLAlchemyError as error:
            told["error"] = str(getattr(error, "orig", None) or error).strip()
        database.close()
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
