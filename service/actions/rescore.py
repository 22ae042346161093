"""Rescorings of completed jobs by what people have verified, asked for by a user or due after enough reviews."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
import structlog

from service.actions.find import find_dataset_of_job
from service.domain.dataset import DatasetInfo
from service.domain.errors import Conflict, SuspectsError
from service.domain.job import State
from service.domain.rescoring import FEWEST_VERIFIED
from service.services import Services
from service.store import audits, jobs, news, rankings, rescorings, reviews, versions, workers
from service.store.answers import answers
from service.store.clock import database_time
from service.store.jobs import Job
from service.store.ranking_columns import RankingColumns
from service.store.rescorings import Rescoring
from service.store.standing import DECISIONS

log = structlog.get_logger()
Array = npt.NDArray[Any]

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
        takers = workers.takers(connection, settings.heartbeat_seconds, database_time(connection))
    queue = takers.message_queue("gpu" if "cpu" in takers.missing else "cpu")  # any worker may do it
    for sent, (job_id, priority) in enumerate(waiting):
        if not services.queue.wake_rescoring(job_id, priority, queue):
            return sent
    return len(waiting)


@dataclass(frozen=True)
class Rescorable:
    """How many ranked samples of a job have a verified label, and why they do not serve to score it again; None where they do."""

    verified: int
    blocked: str | None


def rescorable(services: Services, connection: sa.Connection, job: Job, info: DatasetInfo) -> Rescorable:
    """Whether the samples of a job can be scored again now."""
    if job.state != State.COMPLETED:
        return Rescorable(0, f"the job is {job.state}; only a completed one is scored again")
    verified = verified_count(services, connection, job, info)
    if info.modality == "predictions":
        if "anomalous" not in (job.result or {}).get("signals", ()):
            return Rescorable(
                verified,
                "the predictions came without features, so that verified samples have nothing to be compared with: upload "
                "features beside them, and submit a job over these",
            )
    elif info.modality != "trace" and not services.blobs.has_checkpoints(job.id):
        return Rescorable(verified, "the checkpoints of this job were not kept: run it again")
    reference = job.spec.reference
    if verified < FEWEST_VERIFIED and not (reference is not None and reference.is_trusted and verified):
        labels = "1 label of this job is" if verified == 1 else f"{verified} labels of this job are"
        missing = FEWEST_VERIFIED - verified
        return Rescorable(
            verified,
            f"{labels} verified, and at least {FEWEST_VERIFIED} are needed: keep or relabel {missing} more "
            f"sample{'s' * (missing > 1)}",
        )
    return Rescorable(verified, None)


def verified_count(services: Services, connection: sa.Connection, job: Job, info: DatasetInfo) -> int:
    """How many ranked samples have a label that people kept, changed, or confirmed in an earlier job and did not question since."""
    if info.lineage is None and not any(news.review_numbers(connection, job.id).values()):
        return 0
    ranking = services.open_rankings.get(connection, services.blobs, job.id)
    decisions = ranking.standing.decisions(connection)
    is_verified = np.isin(decisions, _VERIFYING)
    if info.lineage is not None:
        confirmed = ranking.remembered("confirmed", lambda: _confirmed_rows(connection, job, ranking.columns))
        is_verified[confirmed[decisions[confirmed] < 0]] = True
    audit = audits.get(connection, job.id)
    if audit is not None and audit.confirm > 1:
        # What too few people call wrong yet is not verified.
        said = answers(connection, job.id, ranking.columns, ranking.standing, audit.confirm)
        is_verified[list(said.unconfirmed)] = False
    return int(is_verified.sum())


def _confirmed_rows(connection: sa.Connection, job: Job, columns: RankingColumns) -> Array:
    """Rows whose labels people had confirmed when the dataset of the job was made."""
    names = versions.verified_ids(connection, job.dataset_id)
    return columns.rows_at(rankings.ranked_places(connection, job.id, names))


def _ask_when_possible(services: Services, job: Job) -> None:
    try:
        ask_to_rescore(services, job)
    except SuspectsError as error:
        log.debug("not scored again", job=job.id, error=error.detail)


def _check(services: Services, job: Job) -> None:
    info = find_dataset_of_job(services, job)
    with services.database.read() as connection:
        blocked = rescorable(services, connection, job, info).blocked
    if blocked is not None:
        raise Conflict(blocked, members={"state": job.state})
