"""Removes files that nothing needs any more: orphans, unfinished work, and what is kept for a limited time only."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

import structlog

from service.actions.delete import delete_ended_job, delete_unused_dataset
from service.domain.errors import Conflict, NotFound
from service.services import Services
from service.store import datasets, jobs, keys
from service.store.inventory import Leftover, leftovers, old_checkpoints

log = structlog.get_logger()


def collect(services: Services) -> int:
    """Remove all that is due; returns the number of things removed. Of several services one does it at a time."""
    settings, now = services.settings, services.now()
    with services.database.try_lock("collect") as free:
        if not free:
            return 0
        removed = 0
        # Jobs first: a dataset may have been kept by the last job that used it.
        if settings.keep_jobs_days:
            removed += _delete_jobs(services)
        if settings.keep_datasets_days:
            removed += _delete_datasets(services)
        long_ago = now - timedelta(seconds=settings.collect_after_seconds)
        removed += _delete_sessions(services, long_ago)
        with services.database.read() as connection:
            found = list(leftovers(connection, services.blobs, long_ago))
            if settings.keep_checkpoints_days:
                ended = now - timedelta(days=settings.keep_checkpoints_days)
                found += old_checkpoints(connection, services.blobs, ended)
        return removed + _remove(services, found)


def _remove(services: Services, found: Iterable[Leftover]) -> int:
    count = 0
    for one in found:
        size = one.bytes
        if one.path.is_dir():
            services.blobs.remove(one.path)
        else:
            one.path.unlink(missing_ok=True)
        if one.path.exists():
            log.warning("not collected", kind=one.kind, path=str(one.path))
            continue
        services.collected.add(one.kind, size)
        log.info("collected", kind=one.kind, path=str(one.path), bytes=size)
        count += 1
    return count


def _delete_sessions(services: Services, before: datetime) -> int:
    with services.database.write() as connection:
        count = keys.remove_ended_sessions(connection, before)
    for _ in range(count):
        services.collected.add("session", 0)
    return count


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
