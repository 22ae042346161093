"""Dependencies of routes: the services, and the job that a path names."""

from typing import Annotated

from fastapi import Depends, Request

from service.actions.find import find_completed_job, find_job, find_ranked_job
from service.domain.access import Caller
from service.services import Services
from service.store.jobs import Job


def services_of(request: Request) -> Services:
    """The services for a request: those of its caller's project once it is authorized, else those of all projects."""
    found: Services = request.app.state.services
    caller: Caller | None = getattr(request.state, "caller", None)
    return found if caller is None else found.of(caller.project)


async def _injected(request: Request) -> Services:
    return services_of(request)


ServicesDependency = Annotated[Services, Depends(_injected)]


def _existing(job_id: str, services: ServicesDependency) -> Job:
    return find_job(services, job_id)


def _completed(job_id: str, services: ServicesDependency) -> Job:
    return find_completed_job(services, job_id)


def _ranked(job_id: str, services: ServicesDependency) -> Job:
    return find_ranked_job(services, job_id)


# The job that the path names: in any state, with a ranking, if only a first one, or with its results. Others are answered 404, 409 or 410.
ExistingJob = Annotated[Job, Depends(_existing)]
RankedJob = Annotated[Job, Depends(_ranked)]
CompletedJob = Annotated[Job, Depends(_completed)]
