"""Reconciles jobs with Label Studio: those with an event, and those that were not reconciled for a while."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby

import structlog

from service.domain.errors import SuspectsError
from service.label_studio.projects import connect
from service.label_studio.reconcile.reconcile import ProjectReader, PushedNow
from service.services import Services
from service.store import jobs, pulls
from service.store.jobs import Job
from service.store.pulls import Pull

log = structlog.get_logger()

_WAIT = timedelta(seconds=2)  # more events of a burst may follow the first
_PAUSE = timedelta(minutes=1)  # after a failure


def reconcile_due(services: Services) -> int:
    """Reconcile all jobs that are due; returns the number of jobs read. Two services at once reconcile each job once."""
    now, every = services.now(), timedelta(seconds=services.settings.reconcile_seconds)
    if every:
        with services.database.write() as connection:
            pulls.request_overdue(connection, every, now)
    with services.database.read() as connection:
        due = pulls.requested(connection, _WAIT, now)
    due.sort(key=lambda pull: pull.connection_id or "")
    by_connection = groupby(due, lambda pull: pull.connection_id)
    return sum(_reconcile_over(services, connection_id, list(some)) for connection_id, some in by_connection)


def _reconcile_over(services: Services, connection_id: str | None, due: Sequence[Pull]) -> int:
    with services.database.write() as connection:
        claimed = [pull for pull in due if pulls.claim(connection, pull, services.now())]
        found = [(pull, jobs.get(connection, pull.job_id)) for pull in claimed]
    mine = [(pull, job) for pull, job in found if job is not None and not job.spec.glitches]
    if not mine:
        return 0
    try:
        with connect(services, connection_id) as client:
            reader = ProjectReader(services, client)
            return sum(_reconcile(services, reader, pull, job) for pull, job in mine)
    except SuspectsError as error:
        _record_failure(services, [pull for pull, _ in mine], error)
    return 0


def _reconcile(services: Services, reader: ProjectReader, pull: Pull, job: Job) -> bool:
    try:
        fingerprint = reader.fingerprint(pull)
        if fingerprint == pull.seen:
            with services.database.write() as connection:
                pulls.record_reconciled(connection, pull.job_id, fingerprint, services.now())
            return False
        result = reader.reconcile(job, pull, fingerprint)
    except PushedNow:
        with services.database.write() as connection:
            pulls.request_again(connection, pull.job_id, services.now())
        return False
    except SuspectsError as error:
        _record_failure(services, [pull], error)
        return False
    log.info("reconciled", job=job.id, project=pull.project, recorded=result.recorded)
    return True


def _record_failure(services: Services, failed: Sequence[Pull], error: SuspectsError) -> None:
    log.warning("not reconciled", jobs=[pull.job_id for pull in failed], error=error.detail)
    with services.database.write() as connection:
        for pull in failed:
            pulls.record_failure(connection, pull.job_id, error.detail, services.now() + _PAUSE)
