"""The loop: once people have changed enough labels, the dataset is corrected and the job is run again over it."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
import structlog

from service.actions.make_version import make_version
from service.actions.verified import next_reference
from service.domain.dataset import DatasetInfo
from service.domain.errors import SuspectsError
from service.domain.job import State
from service.domain.specs import JobSpec
from service.queue import Queue
from service.settings import Settings
from service.store import datasets, jobs, loops, pulls, webhooks
from service.store.blobs import Blobs
from service.store.engine import Database

log = structlog.get_logger()


def run_again(
    database: Database,
    blobs: Blobs,
    queue: Queue,
    settings: Settings,
    new_id: Callable[[str], str],
    now: datetime,
) -> list[str]:
    """Look once at every loop; gives the ids of the jobs that were begun. Two services at once begin each job once."""
    with database.read() as connection:
        if jobs.count_by_state(connection).get(State.QUEUED, 0) >= settings.max_waiting_jobs:
            return []
        due = loops.due_reruns(connection, now)
    begun = []
    for job_id in due:
        next_id = new_id("job_")
        try:
            following = _following(database, blobs, job_id, next_id, new_id("ds_"), now)
        except (SuspectsError, OSError) as error:
            log.warning("a job cannot be run again", job=job_id, error=str(error))
            with database.write() as connection:
                loops.record_failure(connection, job_id, str(error))
            continue
        if following is not None and _begin(database, blobs, job_id, next_id, following, now):
            log.info("run again", job=job_id, next=next_id, dataset=following.spec.dataset)
            if following.to_pull is None:
                queue.wake(next_id, following.spec.priority)
            begun.append(next_id)
    return begun


@dataclass(frozen=True)
class _Following:
    """What the next job does; `to_pull` is the dataset that its tasks will be, where they are pulled once more."""

    spec: JobSpec
    to_pull: DatasetInfo | None = None


def _begin(database: Database, blobs: Blobs, job_id: str, next_id: str, following: _Following, now: datetime) -> bool:
    if following.to_pull is None:
        _keep_origin(blobs, job_id, next_id)
    begun = _write(database, job_id, next_id, following, now)
    if not begun:
        blobs.remove(blobs.job(next_id))
    return begun


def _write(database: Database, job_id: str, next_id: str, following: _Following, now: datetime) -> bool:
    try:
        with database.write() as connection:
            if not loops.set_next_job(connection, job_id, next_id):
                return False
            if following.to_pull is not None:
                datasets.add(connection, following.to_pull)
            jobs.add(connection, next_id, following.spec, now)
            webhooks.copy_to_job(connection, job_id, next_id)
            if following.to_pull is None:
                pulls.copy_to_job(connection, job_id, next_id)
            elif following.spec.source is not None:
                pulls.add(connection, next_id, following.spec.source)
    except sa.exc.IntegrityError:
        return False  # the corrected dataset was deleted just now; the next look makes it again
    return True


def _keep_origin(blobs: Blobs, job_id: str, next_id: str) -> None:
    """What a labelling tool said at the pull outlives the job that pulled."""
    before, after = blobs.origin(job_id), blobs.origin(next_id)
    if before.exists():
        after.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(before, after)


def _following(
    database: Database, blobs: Blobs, job_id: str, next_id: str, dataset_id: str, now: datetime
) -> _Following | None:
    """What the next job does; None when this one is gone. Raises what make_version raises."""
    with database.read() as connection:
        job = jobs.get(connection, job_id)
        parent = None if job is None else datasets.get(connection, job.dataset_id)
        afresh = loops.pulls_again(connection, job_id)
    if job is None or parent is None:
        return None
    if afresh and job.spec.source is not None:
        info = jobs.placeholder_dataset(dataset_id, next_id, parent.name, parent.modality, parent.classes, now)
        return _Following(job.spec.model_copy(update={"dataset": dataset_id}), info)
    version = make_version(database, blobs, parent, job, "reviews", dataset_id, now)
    with database.read() as connection:
        reference = next_reference(connection, blobs, job.spec, version.id)
    return _Following(job.spec.model_copy(update={"dataset": version.id, "reference": reference}))
