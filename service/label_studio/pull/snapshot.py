"""The labelled tasks of a project as a dataset, read while whoever asked for them waits."""

import errno
from collections.abc import Callable

import sqlalchemy as sa
import structlog

from service.domain.connection import PullSource
from service.domain.dataset import DatasetInfo
from service.domain.errors import StorageFull
from service.label_studio.projects import connect, control_of, project_of, unpulled
from service.label_studio.pull.gather import gather
from service.services import Services
from service.store import datasets

log = structlog.get_logger()

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def snapshot(
    services: Services,
    source: PullSource,
    name: str | None,
    dataset_id: str,
    tell: Callable[[str, float], None],
) -> DatasetInfo:
    """The dataset, called `dataset_id` unless the same tasks were read before; `tell` hears how far it is, and may raise.

    Raises NotFound, Conflict, Upstream, and what reading the label config and ingest raise.
    """
    try:
        with connect(services, source.connection) as client:
            project = project_of(client, source.project)
            control = control_of(str(project.get("label_config") or ""), source.from_name)
            known = unpulled(dataset_id, dataset_id, name or str(project.get("title") or ""), control, services.now())
            info = gather(services, client, source, known, tell)
        log.info("pulled", dataset=dataset_id, project=source.project, rows=info.rows, skipped=info.skipped_rows)
        kept = _keep(services, info)
    except BaseException as error:
        services.blobs.remove(services.blobs.dataset(dataset_id))
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            raise StorageFull("the disk of this installation is full; nothing was kept") from error
        raise
    if kept.id != dataset_id:
        services.blobs.remove(services.blobs.dataset(dataset_id))
    return kept


def _keep(services: Services, info: DatasetInfo) -> DatasetInfo:
    """Write it down, or give the one that is there already, of the same tasks with the same labels."""
    try:
        with services.database.write() as connection:
            known = datasets.by_digest(connection, info.digest)
            if known is None:
                datasets.add(connection, info)
    except sa.exc.IntegrityError:
        with services.database.read() as connection:
            known = datasets.by_digest(connection, info.digest)
        if known is None:
            raise
    return known or info
