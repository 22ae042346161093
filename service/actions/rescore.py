"""Rescorings of completed jobs by what people have verified, asked for by a user or due after enough reviews."""

import structlog

from service.actions.find import find_dataset_of_job
from service.domain.errors import Conflict, SuspectsError
from service.domain.rescoring import FEWEST_VERIFIED
from service.services import Services
from service.store import jobs, rescorings, reviews, versions
from service.store.jobs import Job
from service.store.rescorings import Rescoring
from service.store.standing import DECISIONS

log = structlog.get_logger()

_VERIFYING = [DECISIONS.index("keep"), DECISIONS.index("relabel")]


def ask_to_rescore(services: Services, job: Job) -> Rescoring:
    """Have a worker score the samples of a completed job again, without a training.

    One that waits already is given. Raises Conflict where too few samples are verified, and where the job kept nothing to score.
    """
    _check(services, job)
    with services.database.write() as connection:
        asked = rescorings.request(connection, job.id, reviews.last_number(connection, job.id), services.now())
    services.queue.wake_rescoring(job.id, job.priority)
    return asked


def rescore_due(services: Services) -> int:
    """Ask for the rescoring of jobs with enough new reviews, and send lost messages again; gives the number of messages sent."""
    settings = services.settings
    if settings.rescore_after:
        with services.database.read() as connection:
            due = rescorings.due(connection, settings.rescore_after)
            found = [job for name in due if (job := jobs.get(connection, name)) is not None]
        for job in found:
            _ask_when_possible(services, job)
    if services.queue.depth() is None:
        return 0  # the broker cannot be reached; what is due now is due at the next sweep
    with services.database.write() as connection:
        waiting = rescorings.take_due(connection, settings.lease, settings.max_attempts, services.now())
    for sent, (job_id, priority) in enumerate(waiting):
        if not services.queue.wake_rescoring(job_id, priority):
            return sent
    return len(waiting)


def verified_count(services: Services, job: Job) -> int:
    """How many ranked samples of a completed job have a label that people kept, changed, or confirmed before."""
    with services.database.read() as connection:
        ranking = services.open_rankings.get(connection, services.blobs, job.id)
        decisions = ranking.standing.decisions(connection)
        confirmed = len(versions.verified_ids(connection, job.dataset_id))
    return confirmed + sum(int((decisions == one).sum()) for one in _VERIFYING)


def _ask_when_possible(services: Services, job: Job) -> None:
    try:
        ask_to_rescore(services, job)
    except SuspectsError as error:
        log.debug("not scored again", job=job.id, error=error.detail)


def _check(services: Services, job: Job) -> None:
    modality = find_dataset_of_job(services, job).modality
    if modality == "predictions":
        if "anomalous" not in (job.result or {}).get("signals", ()):
            raise Conflict(
                "the predictions came without features, so that verified samples have nothing to be compared with: upload "
                "features beside them, and submit a job over these",
                members={"state": job.state},
            )
    elif modality != "trace" and not any(services.blobs.checkpoints(job.id).glob("*.pt")):
        raise Conflict(
            "the checkpoints of this job were not kept; run it again: POST /jobs/{id}/rerun",
            members={"state": job.state},
        )
    verified = verified_count(services, job)
    reference = job.spec.reference
    if verified < FEWEST_VERIFIED and not (reference is not None and reference.is_trusted and verified):
        raise Conflict(
            f"{verified} labels of this job are verified, and at least {FEWEST_VERIFIED} are needed: keep or relabel more samples, "
            "see GET /jobs/{id}/verify-next",
            members={"state": job.state},
        )
