"""View of a job: its row in the ledger, its dataset, and the job that follows it."""

from collections.abc import Sequence

from service.actions.find import find_dataset_of_job
from service.api.schemas.jobs import JobLinks, JobView
from service.domain.dataset import DatasetInfo
from service.domain.job import State
from service.services import Services
from service.store import datasets, loops
from service.store.jobs import Job
from service.store.loops import LoopStatus

_COPIED = tuple(name for name in JobView.model_fields if name not in ("dataset", "links", "loop_trouble"))


def job_view(services: Services, job: Job) -> JobView:
    """One job. Raises NotFound when it was deleted in the meantime."""
    with services.database.read() as connection:
        standings = loops.statuses(connection, [job.id])
    return _view(job, find_dataset_of_job(services, job), standings.get(job.id))


def job_views(services: Services, jobs: Sequence[Job]) -> list[JobView]:
    """Several jobs in their order, without those that were deleted in the meantime."""
    with services.database.read() as connection:
        known = {dataset_id: datasets.get(connection, dataset_id) for dataset_id in {job.dataset_id for job in jobs}}
        standings = loops.statuses(connection, [job.id for job in jobs])
    return [_view(job, info, standings.get(job.id)) for job in jobs if (info := known[job.dataset_id]) is not None]


def _view(job: Job, info: DatasetInfo, loop: LoopStatus | None) -> JobView:
    links = JobLinks(
        self=f"/jobs/{job.id}",
        suspects=f"/jobs/{job.id}/suspects",
        events=f"/jobs/{job.id}/events",
        report=f"/jobs/{job.id}/report" if job.state == State.COMPLETED else None,
        model=None if info.modality == "trace" else f"/jobs/{job.id}/model",
        next=f"/jobs/{loop.next_job_id}" if loop and loop.next_job_id else None,
    )
    copied = {name: getattr(job, name) for name in _COPIED}
    return JobView.model_validate(
        {**copied, "dataset": info.without_columns(), "links": links, "loop_trouble": loop and loop.trouble}
    )
