"""Deletion, with files and idempotency keys. What others still need is in the way."""

from collections.abc import Callable, Sequence

import sqlalchemy as sa

from service.actions.find import find_connection, find_dataset, find_job, find_network
from service.domain.errors import Conflict
from service.services import Services
from service.store import connections, datasets, idempotency, jobs, networks


def delete_ended_job(services: Services, job_id: str) -> None:
    """Delete a job with its ranking and its files. Raises NotFound, and Conflict while it has not ended."""
    with services.database.write() as connection:
        removed = jobs.remove(connection, job_id)
        if removed:
            idempotency.remove_of(connection, job_id)
    if not removed:
        state = find_job(services, job_id).state
        raise Conflict(f"the job is {state}: cancel it first", members={"state": state})
    services.blobs.remove(services.blobs.job(job_id))


def delete_unused_dataset(services: Services, dataset_id: str) -> None:
    """Delete a dataset with its files. Raises NotFound, and Conflict while jobs use it, finished ones too."""
    find_dataset(services, dataset_id)
    _delete_unused(services, dataset_id, datasets.jobs_using, datasets.remove)
    services.blobs.remove(services.blobs.dataset(dataset_id))


def delete_unused_network(services: Services, network_id: str) -> None:
    """Delete a network with its file. Raises NotFound, and Conflict while jobs use it, finished ones too."""
    find_network(services, network_id)
    _delete_unused(services, network_id, networks.jobs_using, networks.remove)
    services.blobs.remove(services.blobs.network(network_id).parent)


def delete_unused_connection(services: Services, connection_id: str) -> None:
    """Delete a connection with its secrets; jobs that came over it stay.

    Raises NotFound, and Conflict while jobs still pull over it.
    """
    find_connection(services, connection_id)
    with services.database.write() as connection:
        waiting = connections.jobs_to_pull(connection, connection_id)
        if waiting:
            raise Conflict(
                f"{len(waiting)} jobs are still pulling over it; cancel them first", members={"jobs": waiting}
            )
        connections.remove(connection, connection_id)
        idempotency.remove_of(connection, connection_id)


def _delete_unused(
    services: Services,
    resource_id: str,
    users: Callable[[sa.Connection, str], list[str]],
    remove: Callable[[sa.Connection, str], None],
) -> None:
    try:
        with services.database.write() as connection:
            found = users(connection, resource_id)
            if found:
                raise _in_use(found)
            remove(connection, resource_id)
            idempotency.remove_of(connection, resource_id)
    except sa.exc.IntegrityError as error:
        raise _in_use([]) from error  # a job began to use it just now


def _in_use(jobs_of: Sequence[str]) -> Conflict:
    named = f": {', '.join(jobs_of[:5])}" if jobs_of else ""
    return Conflict(f"{len(jobs_of) or 'some'} jobs use it{named}; delete them first", members={"jobs": list(jobs_of)})
