"""Reruns of jobs over their corrected datasets, requested by a user or due by the job's loop."""

import shutil

import sqlalchemy as sa
import structlog

from service.actions.find import find_job
from service.actions.make_version import make_version, would_change
from service.actions.spend_job import spend_job
from service.actions.submit import NewJob, begin, check_room
from service.actions.verified import next_reference
from service.domain.access import Caller
from service.domain.errors import Conflict, SuspectsError, TooMany, invalid
from service.domain.ids import new_id
from service.domain.job import State
from service.domain.specs import Loop
from service.services import Services
from service.store import datasets, jobs, loops, pulls, webhooks
from service.store.blobs import Blobs
from service.store.jobs import Job
from service.store.seal import share_seal

log = structlog.get_logger()


def ask_for_rerun(services: Services, caller: Caller, job_id: str, *, at_once: bool = False) -> Job:
    """Request a rerun of a completed job, however few labels its reviews have changed; `at_once` without its pauses.

    Raises NotFound, Conflict where it is not completed or another job follows it already, Invalid where no review
    would change its dataset, and TooMany for a quota that is used up: the first request of each rerun counts.
    """
    job = find_job(services, job_id)
    if job.state != State.COMPLETED:
        raise Conflict(f"the job is {job.state}; only a completed one is run again", members={"state": job.state})
    if not would_change(services, job):
        raise invalid([], "no review of this job would change or verify anything in its dataset: review samples first")
    with services.database.write() as connection:
        pauses = Loop(after=1, cool_down_seconds=0)
        known = loops.is_requested(connection, job_id)
        asked = loops.request_rerun(connection, job_id, services.now(), pauses, at_once=at_once)
        if asked and not known:
            spend_job(services, connection, caller)
    if not asked:
        msg = f"the job is {job.state}: another job follows it already, see links.next"
        raise Conflict(msg, members={"state": job.state})
    if at_once:
        services.rerun_wanted.set()
    return job


def run_again(services: Services) -> list[str]:
    """Ids of the jobs that follow those whose loop is due, begun now, where their projects have room. Two services at once begin each job once."""
    with services.database.read() as connection:
        due = loops.due_reruns(connection, services.now())
    begun = []
    for job_id in due:
        try:
            following = _begin_following(services, job_id)
        except TooMany:
            continue  # it stays due, and other projects have room
        except (SuspectsError, OSError) as error:
            log.warning("a job cannot be run again", job=job_id, error=str(error))
            with services.database.write() as connection:
                loops.record_failure(connection, job_id, str(error))
            continue
        if following is not None:
            log.info("run again", job=job_id, next=following.id, dataset=following.spec.dataset)
            begun.append(following.id)
    return begun


class _FollowedAlready(Exception):
    """Another service was quicker."""


def _begin_following(services: Services, job_id: str) -> NewJob | None:
    """The job that follows, begun; None where another was quicker, or the job is gone. Raises TooMany, and what make_version raises."""
    with services.database.read() as connection:
        job = jobs.get(connection, job_id)
    if job is None:
        return None
    services = services.of(job.project)
    with services.database.read() as connection:
        check_room(services, connection)  # before a dataset is made
    following = _following(services, job)
    if following is None:
        return None

    def write(connection: sa.Connection) -> None:
        if not loops.set_next_job(connection, job_id, following.id):
            raise _FollowedAlready
        webhooks.copy_to_job(connection, job_id, following.id)
        if following.placeholder is None:
            pulls.copy_to_job(connection, job_id, following.id)

    if following.placeholder is None:
        _keep_origin(services.blobs, job_id, following.id)
    try:
        begin(services, following, write)
    except (_FollowedAlready, sa.exc.IntegrityError):
        # The corrected dataset may have been deleted just now; the next look makes it again.
        services.blobs.remove(services.blobs.job(following.id))
        return None
    except TooMany:
        services.blobs.remove(services.blobs.job(following.id))
        raise
    # After any other error the job may have been written: the answer to the commit can be lost. Its files stay.
    return following


def _keep_origin(blobs: Blobs, job_id: str, next_id: str) -> None:
    """Copy what a labelling tool said at the pull, so that it outlives the job that pulled."""
    before, after = blobs.origin(job_id), blobs.origin(next_id)
    if before.exists():
        after.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(before, after)
        share_seal(before, after)
        blobs.upload(after)


def _following(services: Services, job: Job) -> NewJob | None:
    """The next job; None when the dataset of this one was deleted. Raises what make_version raises."""
    with services.database.read() as connection:
        parent = datasets.get(connection, job.dataset_id)
        afresh = loops.pulls_again(connection, job.id)
    if parent is None:
        return None
    next_id = new_id("job_")
    if afresh and job.spec.source is not None:
        dataset_id, now = new_id("ds_"), services.now()
        info = pulls.placeholder_dataset(dataset_id, next_id, parent.name, parent.modality, parent.classes, now)
        return NewJob(next_id, job.spec.model_copy(update={"dataset": dataset_id}), info)
    version = make_version(services, parent, job, "reviews")
    reference = next_reference(services, job.spec, version.id)
    return NewJob(next_id, job.spec.model_copy(update={"dataset": version.id, "reference": reference}))
