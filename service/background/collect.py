"""Removes files that nothing needs any more: orphans, unfinished work, and what is kept for a limited time only."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

import structlog

from service.actions.delete import delete_ended_job, delete_unused_dataset
from service.domain.errors import Conflict, NotFound
from service.services import Services
from service.store import audit_log, blocks, datasets, jobs, keys
from service.store.inventory import Leftover, leftovers, old_checkpoints, stored_leftovers, tidy

log = structlog.get_logger()


def collect(services: Services) -> int:
    """Remove all that is due; returns the number of things removed. Of several services one does it at a time."""
    settings, now = services.settings, services.now()
    long_ago = now - timedelta(seconds=settings.collect_after_seconds)
    here = _tidy(services, long_ago)
    with services.database.try_lock("collect") as free:
        if not free:
            return here
        removed = here
        # Jobs first: a dataset may have been kept by the last job that used it.
        if settings.keep_jobs_days:
            removed += _delete_jobs(services)
        if settings.keep_datasets_days:
            removed += _delete_datasets(services)
        with services.database.write() as connection:
            blocks.remove_of_ended(connection)
        removed += _delete_sessions(services, long_ago)
        if settings.keep_audit_log_days:
            removed += _delete_audit_log(services)
        return removed + _remove(services, _found(services, long_ago))


def _tidy(services: Services, long_ago: datetime) -> int:
    """Remove what is left over on this host, whose files are its own where there is an artefact store."""
    with services.database.read() as connection:
        removed = tidy(connection, services.blobs, long_ago)
    for one, size in removed.items():
        _note(services, one, size)
    return len(removed)


def _found(services: Services, long_ago: datetime) -> list[Leftover]:
    blobs, days = services.blobs, services.settings.keep_checkpoints_days
    stored = blobs.stored()
    with services.database.read() as connection:
        found = list(
            leftovers(connection, blobs, long_ago)
            if blobs.cache is None
            else stored_leftovers(connection, blobs, stored, long_ago)
        )
        if days:
            found += old_checkpoints(connection, blobs, services.now() - timedelta(days=days), stored)
    if blobs.cache is not None and (abandoned := blobs.cache.store.abandon_uploads(long_ago)):
        log.info("uploads in parts abandoned", count=abandoned)
    return found


def _remove(services: Services, found: Iterable[Leftover]) -> int:
    count = 0
    for one in found:
        size = one.bytes
        services.blobs.remove(one.path)
        if one.path.exists():
            log.warning("not collected", kind=one.kind, path=str(one.path))
            continue
        _note(services, one, size)
        count += 1
    return count


def _note(services: Services, one: Leftover, size: int) -> None:
    services.collected.add(one.kind, size)
    log.info("collected", kind=one.kind, path=str(one.path), bytes=size)


def _delete_sessions(services: Services, before: datetime) -> int:
    with services.database.write() as connection:
        count = keys.remove_ended_sessions(connection, before)
    for _ in range(count):
        services.collected.add("session", 0)
    return count


def _delete_audit_log(services: Services) -> int:
    before = services.now() - timedelta(days=services.settings.keep_audit_log_days)
    deleted, more = 0, True
    while more:
        # A transaction for each lot: requests that add entries do not wait for all of them.
        with services.database.write() as connection:
            more = (count := audit_log.remove_oldest(connection, before)) > 0
        deleted += count
    if deleted:
        services.collected.add("audit_log", 0, deleted)
        log.info("old entries of the audit log deleted", count=deleted, before=before.isoformat())
    return deleted


def _delete_jobs(services: Services) -> int:
    with services.database.read() as connection:
        ended = jobs.ended_before(connection, services.now() - timedelta(days=services.settings.keep_jobs_days))
    return _delete_each(services, "job", ended, delete_ended_job)


def _delete_datasets(services: Services) -> int:
    unused_since = services.now() - timedelta(days=services.settings.keep_datasets_days)
    with services.database.read() as connection:
        unused = datasets.unused_since(connection, unused_since)
    return _delete_each(services, "dataset", unused, delete_unused_dataset)


def _delete_each(services: Services, kind: str, ids: Sequence[str], delete: Callable[[Services, str], None]) -> int:
    deleted = 0
    for one in ids:
        try:
            delete(services, one)
        except (Conflict, NotFound) as error:
            log.info("not deleted", kind=kind, id=one, why=error.detail)
            continue
        services.collected.add(kind, 0)
        log.info("deleted, nothing needed it for long", kind=kind, id=one)
        deleted += 1
    return deleted
