"""Dependencies of routes: the services, and the job that a path names."""

from typing import Annotated

from fastapi import Depends, Request

from service.actions.find import find_completed_job, find_job
from service.services import Services
from service.store.jobs import Job


def services_of(request: Request) -> Services:
    """The services of the application that a request came to."""
    found: Services = request.app.state.services
    return found


async def _injected(request: Request) -> Services:
    return services_of(request)


ServicesDependency = Annotated[Services, Depends(_injected)]


def _existing(job_id: str, services: ServicesDependency) -> Job:
    return find_job(services, job_id)


def _completed(job_id: str, services: ServicesDependency) -> Job:
    return find_completed_job(services, job_id)


# The job that the path names: in any state, or with its results. Others are answered 404, 409 or 410.
ExistingJob = Annotated[Job, Depends(_existing)]
CompletedJob = Annotated[Job, Depends(_completed)]
