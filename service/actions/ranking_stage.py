"""The ranking of a job that is asked for: the newest, or that of one stage."""

from service.actions.find import completed, ranked
from service.domain.errors import NotFound
from service.domain.job import ACTIVE
from service.domain.stage import FIRST, Stage
from service.services import Services
from service.store import first_rankings
from service.store.jobs import Job


def at_stage(services: Services, job: Job, stage: Stage | None) -> Job:
    """The job with the result of its ranking at this stage; None for the newest.

    Raises Conflict (not yet), Gone (never) and NotFound where a completed job has kept no first ranking.
    """
    if stage == "full":
        return completed(job)
    if ranked(job).state in ACTIVE or stage is None:
        return job
    result = first_rankings.result(services.blobs.ranking(job.id, FIRST))
    if result is None:
        raise NotFound(
            f"no first ranking of job {job.id} was kept: jobs that train a network on a table with trees beside it make one"
        )
    return job.model_copy(update={"result": result})
