"""The labelled tasks of a project as a dataset, read while whoever asked for them waits."""

from collections.abc import Callable

import structlog

from service.domain.connection import PullSource
from service.domain.dataset import DatasetInfo
from service.domain.ids import new_id
from service.label_studio.projects import connect, control_of, project_of, unpulled
from service.label_studio.pull.gather import gather
from service.services import Services
from service.store import datasets
from service.store.create import create_with_files

log = structlog.get_logger()


def snapshot(
    services: Services,
    source: PullSource,
    name: str | None,
    tell: Callable[[str, float], None],
) -> DatasetInfo:
    """The dataset, made now unless the same tasks were read before; `tell` hears how far it is, and may raise.

    Raises NotFound, Conflict, Upstream, StorageFull, and what reading the label config and ingest raise.
    """
    dataset_id = new_id("ds_")

    def make() -> DatasetInfo:
        with connect(services, source.connection) as client:
            project = project_of(client, source.project)
            control = control_of(str(project.get("label_config") or ""), source.from_name)
            known = unpulled(dataset_id, dataset_id, name or str(project.get("title") or ""), control, services.now())
            info = gather(services, client, source, known, tell)
        log.info("pulled", dataset=dataset_id, project=source.project, rows=info.rows, skipped=info.skipped_rows)
        return info

    folder = services.blobs.dataset(dataset_id)
    return create_with_files(services.database, services.blobs, folder, make, datasets.add, datasets.by_digest)
