"""The line of jobs from a dataset to its corrected versions: v1, v2, v3."""

from dataclasses import dataclass

import sqlalchemy as sa

from service.domain.dataset import DatasetInfo
from service.services import Services
from service.store import datasets, jobs, loops, versions
from service.store.jobs import Job


@dataclass(frozen=True)
class LineItem:
    """One job of the line, and its dataset."""

    job: Job
    dataset: DatasetInfo


def line_of(services: Services, job: Job) -> list[LineItem]:
    """The jobs before `job`, itself and those after it, the oldest first.

    Another job follows one whose rerun it is, or whose reviews or suggestions its dataset was made of; where several do, the
    rerun or the newest.
    """
    with services.database.read() as connection:
        ids, before, after = [job.id], _before(connection, job.id), _after(connection, job.id)
        while before is not None and before not in ids:
            ids.insert(0, before)
            before = _before(connection, before)
        while after is not None and after not in ids:
            ids.append(after)
            after = _after(connection, after)
        found = []
        for one in ids:
            told = jobs.get(connection, one)
            info = None if told is None else datasets.get(connection, told.dataset_id)
            if told is not None and info is not None:
                found.append(LineItem(told, info))
    return found


def _before(connection: sa.Connection, job_id: str) -> str | None:
    return loops.previous_jobs(connection, [job_id]).get(job_id) or versions.job_before(connection, job_id)


def _after(connection: sa.Connection, job_id: str) -> str | None:
    standing = loops.statuses(connection, [job_id]).get(job_id)
    return (standing and standing.next_job_id) or versions.job_after(connection, job_id)
