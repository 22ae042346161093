"""View of a job: its row in the ledger, its dataset, and the job that follows it."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from service.actions.find import find_dataset_of_job
from service.actions.lineage import line_of
from service.actions.measured_estimate import with_measured_estimate
from service.actions.rescore import Rescorable, rescorable
from service.api.schemas.jobs import (
    LISTED_SAMPLES,
    JobLinks,
    JobView,
    LineageItem,
    ListedJob,
    ListedReference,
    ListedSpec,
)
from service.domain.dataset import DatasetInfo
from service.domain.job import State
from service.domain.specs import JobSpec
from service.domain.verdict import FLAGGED
from service.services import Services
from service.store import audits, datasets, loops, rescorings
from service.store.jobs import Job
from service.store.loops import LoopStatus
from service.store.rescorings import Rescoring

_MADE = (
    "dataset",
    "links",
    "loop_trouble",
    "flagged",
    "reviewed",
    "rerun_at",
    "rerun_blocked",
    "rescoring",
    "verified",
    "rescore_blocked",
)
_COPIED = tuple(name for name in JobView.model_fields if name not in _MADE)


def job_view(services: Services, job: Job) -> JobView:
    """One job. Raises NotFound when it was deleted in the meantime."""
    return _views(services, [job], {job.dataset_id: find_dataset_of_job(services, job)})[0]


def job_views(services: Services, jobs: Sequence[Job]) -> list[ListedJob]:
    """Several jobs in their order, without those that were deleted in the meantime, and without most of the samples of long references."""
    with services.database.read() as connection:
        known = {dataset_id: datasets.get(connection, dataset_id) for dataset_id in {job.dataset_id for job in jobs}}
    infos = {dataset_id: info for dataset_id, info in known.items() if info is not None}
    views = _views(services, [job for job in jobs if job.dataset_id in infos], infos)
    return [ListedJob.model_validate({**dict(view), "spec": _listed(view.spec)}) for view in views]


def _listed(spec: JobSpec) -> ListedSpec:
    reference = spec.reference
    if reference is None:
        return ListedSpec.model_validate(dict(spec))
    found = dict(reference)
    if reference.samples is not None and len(reference.samples) > LISTED_SAMPLES:
        found |= {"samples": reference.samples[:LISTED_SAMPLES], "sample_count": len(reference.samples)}
    return ListedSpec.model_validate({**dict(spec), "reference": ListedReference.model_validate(found)})


def lineage_view(services: Services, job: Job) -> list[LineageItem]:
    """A job with those before and after it."""
    line = line_of(services, job)
    found = []
    for number, item in enumerate(line, 1):
        one, result = item.job, item.job.result or {}
        with services.database.read() as connection:
            flagged, reviewed = _counts(services, connection, one)
        made = item.dataset.lineage
        found.append(
            LineageItem(
                version=number,
                job=one.id,
                name=one.name,
                state=one.state,
                dataset=one.dataset_id,
                created_at=one.created_at,
                rows=item.dataset.rows,
                samples=result.get("samples"),
                train_accuracy=result.get("model", {}).get("train_accuracy"),
                reference_accuracy=result.get("model", {}).get("reference_accuracy"),
                flagged=flagged,
                reviewed=reviewed,
                relabelled=made.relabelled if made else 0,
                removed=made.removed if made else 0,
            )
        )
    return found


def _views(services: Services, jobs: Sequence[Job], infos: Mapping[str, DatasetInfo]) -> list[JobView]:
    ids = [job.id for job in jobs]
    with services.database.read() as connection:
        standings = loops.statuses(connection, ids)
        previous = loops.previous_jobs(connection, ids)
        audited = audits.begun(connection, ids)
        rescored = rescorings.latest_of(connection, ids)
        return [
            _view(
                with_measured_estimate(services, connection, job) if job.id in audited else job,
                infos[job.dataset_id],
                standings.get(job.id),
                previous.get(job.id),
                rescored.get(job.id),
                rescorable(services, connection, job, infos[job.dataset_id]),
                *_counts(services, connection, job),
            )
            for job in jobs
        ]


def _counts(services: Services, connection: sa.Connection, job: Job) -> tuple[int | None, int]:
    """Flagged and reviewed samples."""
    if job.state != State.COMPLETED:
        return None, 0
    counted = services.open_rankings.verdicts(connection, services.blobs, job.id)
    reviewed = services.open_rankings.count_reviewed(connection, services.blobs, job.id)
    return sum(counted.get(verdict, 0) for verdict in FLAGGED), reviewed


def _view(
    job: Job,
    info: DatasetInfo,
    loop: LoopStatus | None,
    previous: str | None,
    rescoring: Rescoring | None,
    verified: Rescorable,
    flagged: int | None,
    reviewed: int,
) -> JobView:
    links = JobLinks(
        self=f"/jobs/{job.id}",
        suspects=f"/jobs/{job.id}/suspects",
        events=f"/jobs/{job.id}/events",
        report=f"/jobs/{job.id}/report" if job.state == State.COMPLETED else None,
        model=None if info.modality == "trace" else f"/jobs/{job.id}/model",
        previous=f"/jobs/{previous}" if previous else None,
        next=f"/jobs/{loop.next_job_id}" if loop and loop.next_job_id else None,
    )
    copied = {name: getattr(job, name) for name in _COPIED}
    return JobView.model_validate(
        {
            **copied,
            "dataset": info.without_columns(),
            "links": links,
            "loop_trouble": loop and loop.trouble,
            "flagged": flagged,
            "reviewed": reviewed,
            "rerun_at": loop and loop.starts_at,
            "rerun_blocked": _why_not(job, loop, reviewed),
            "rescoring": rescoring and rescoring.model_dump(),
            "verified": verified.verified,
            "rescore_blocked": verified.blocked,
        }
    )


def _why_not(job: Job, loop: LoopStatus | None, reviewed: int) -> str | None:
    if job.state != State.COMPLETED:
        return f"the job is {job.state}; only a completed one is run again"
    if loop and loop.next_job_id:
        return f"it was run again already, as {loop.next_job_id}"
    if loop and loop.trouble:
        return loop.trouble
    return None if reviewed else "no sample has been reviewed, so that its dataset would be the same"
