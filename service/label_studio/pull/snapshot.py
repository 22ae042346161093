"""A dataset from the labelled tasks of a project, read within the request."""

from collections.abc import Callable

import structlog

from service.domain.connection import PullSource
from service.domain.dataset import DatasetInfo
from service.domain.ids import new_id
from service.domain.names import one_line
from service.label_studio.projects import connect, find_project, placeholder, read_control
from service.label_studio.pull.read_project import read_project
from service.services import Services
from service.store import datasets
from service.store.create import create_with_files

log = structlog.get_logger()


def snapshot(
    services: Services,
    source: PullSource,
    name: str | None,
    on_progress: Callable[[str, float], None],
) -> DatasetInfo:
    """The dataset; an existing one when the same tasks were read before. `on_progress` is that of `read_project`.

    Raises NotFound, Conflict, Upstream, StorageFull, and what reading the label config and ingest raise.
    """
    dataset_id = new_id("ds_")

    def make() -> DatasetInfo:
        with connect(services, source.connection) as client:
            project = find_project(client, source.project)
            control = read_control(str(project.get("label_config") or ""), source.from_name)
            known = placeholder(
                dataset_id, dataset_id, name or one_line(str(project.get("title") or "")), control, services.now()
            )
            info = read_project(services, client, source, known, on_progress)
        log.info("project read", dataset=dataset_id, project=source.project, rows=info.rows, skipped=info.skipped_rows)
        return info

    folder = services.blobs.dataset(dataset_id)
    return create_with_files(services.database, services.blobs, folder, make, datasets.add, datasets.by_digest)
