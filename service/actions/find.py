"""Look-ups by id: what is not there is an error, and so is a result that is not there yet."""

import sqlalchemy as sa

from service.domain.dataset import DatasetInfo
from service.domain.errors import Conflict, FieldError, Gone, NotFound, invalid
from service.domain.job import ACTIVE, State
from service.domain.models import MODELS
from service.domain.network import NetworkInfo
from service.domain.signal import SIGNALS, Signal
from service.services import Services
from service.store import connections, datasets, jobs, networks, webhooks
from service.store.connections import EncryptedConnection
from service.store.jobs import Job
from service.store.webhooks import Delivery

_RETRY_S = 2
_LISTED = 20


def find_job(services: Services, job_id: str) -> Job:
    """The job in any state. Raises NotFound."""
    with services.database.read() as connection:
        job = jobs.get(connection, job_id)
    if job is None:
        raise NotFound(f"no job {job_id}")
    return job


def known_job(services: Services, connection: sa.Connection, job_id: str) -> Job:
    """The same where a completed job that was read before need not be read again. Raises NotFound."""
    job = services.completed_jobs.job(connection, job_id)
    if job is None:
        raise NotFound(f"no job {job_id}")
    return job


def find_completed_job(services: Services, job_id: str) -> Job:
    """A job whose results are there. Raises NotFound, Conflict (not yet) and Gone (never)."""
    return completed(find_job(services, job_id))


def find_ranked_job(services: Services, job_id: str) -> Job:
    """A job that has a ranking, if only a first one. Raises NotFound, Conflict (not yet) and Gone (never)."""
    return ranked(find_job(services, job_id))


def ranked(job: Job) -> Job:
    """The job, if it has a ranking, if only a first one. Raises Conflict (not yet) and Gone (never)."""
    return job if job.state in ACTIVE and job.result is not None else completed(job)


def completed(job: Job) -> Job:
    """The job, if its results are there. Raises Conflict (not yet) and Gone (never)."""
    if job.state in ACTIVE:
        raise Conflict(
            f"the job is {job.state}; its results come when it is completed",
            retry_after=_RETRY_S,
            members={"state": job.state},
        )
    if job.state != State.COMPLETED:
        why = f": {job.error.detail}" if job.error else ""
        raise Gone(f"the job {job.state}{why}; retry it to run it again", members={"state": job.state})
    return job


def find_dataset(services: Services, dataset_id: str, *loc: str | int) -> DatasetInfo:
    """The dataset. Raises NotFound, at `loc` where the id came in a body."""
    with services.database.read() as connection:
        info = datasets.get(connection, dataset_id)
    if info is None:
        raise _missing(f"no dataset {dataset_id}", *loc)
    return info


def find_dataset_of_job(services: Services, job: Job) -> DatasetInfo:
    """The dataset that a job ranks. Raises NotFound once the job was deleted, and the dataset after it."""
    with services.database.read() as connection:
        info = datasets.get(connection, job.dataset_id)
    if info is None:
        raise NotFound(f"the job {job.id} was deleted in the meantime")
    return info


def known_dataset_of_job(services: Services, connection: sa.Connection, job: Job) -> DatasetInfo:
    """The same where the dataset of a completed job that was read before need not be read again. Raises NotFound."""
    info = services.completed_jobs.dataset(connection, job)
    if info is None:
        raise NotFound(f"the job {job.id} was deleted in the meantime")
    return info


def find_network(services: Services, network_id: str, *loc: str | int) -> NetworkInfo:
    """The network. Raises NotFound, at `loc` where the id came in a body."""
    with services.database.read() as connection:
        info = networks.get(connection, network_id)
    if info is None:
        raise _missing(f"no network {network_id}", *loc)
    return info


def find_connection(services: Services, connection_id: str) -> EncryptedConnection:
    """The connection with its encrypted secrets. Raises NotFound."""
    with services.database.read() as connection:
        found = connections.get_encrypted(connection, connection_id)
    if found is None:
        raise NotFound(f"no connection {connection_id}")
    return found


def find_delivery(services: Services, delivery_id: str) -> Delivery:
    """The message to a webhook. Raises NotFound."""
    with services.database.read() as connection:
        found = webhooks.get(connection, delivery_id)
    if found is None:
        raise NotFound(f"no delivery {delivery_id}")
    return found


def check_class(info: DatasetInfo, name: str | None, *loc: str | int) -> None:
    """Raise Invalid at `loc` for a class that the dataset has not; None is no class that was asked for."""
    if name is None or name in info.classes:
        return
    more = len(info.classes) - _LISTED
    known = ", ".join(info.classes[:_LISTED]) + (f" and {more} more" if more > 0 else "")
    raise invalid(loc, f"no class {name!r}; one of {known}")


def check_signal(job: Job, name: str, *loc: str | int) -> None:
    """Raise Invalid at `loc` for a signal that does not exist, or that a completed job has not computed, with the reason."""
    computed: list[str] = (job.result or {})["signals"]
    if name in computed:
        return
    if name not in SIGNALS:
        msg = f"no such signal; one of {', '.join(computed)}"
    elif SIGNALS[name].trusted_reference and not (job.spec.reference and job.spec.reference.is_trusted):
        msg = "not computed for this job: it needs a trusted reference"
    elif (why := _unsuited(job, SIGNALS[name], computed)) is not None:
        msg = f"not computed for this job: {why}"
    else:
        msg = f"not among the signals of this job: {', '.join(computed)}"
    raise invalid(loc, msg)


def _unsuited(job: Job, signal: Signal, computed: list[str]) -> str | None:
    """Why the signal cannot be computed by the model of the job; None if it can."""
    if job.spec.model.name == "predictions":
        return signal.unsuited(features="anomalous" in computed)
    trees = job.spec.model.name in MODELS and MODELS[job.spec.model.name].trees
    return signal.unsuited_for_trees() if trees else signal.unsuited_for_networks()


def _missing(msg: str, *loc: str | int) -> NotFound:
    return NotFound(msg, errors=[FieldError(loc=[*loc], msg=msg)] if loc else [])
