"""Views of datasets: with what became of them, and their rows in short."""

from collections.abc import Sequence

from service.api.schemas.datasets import DatasetSampleCard, DatasetSampleLinks, DatasetView
from service.api.views.links import media_link, sample_link
from service.domain.dataset import DatasetInfo
from service.ingest.rows import listed_rows
from service.services import Services
from service.store import datasets, versions


def dataset_views(services: Services, infos: Sequence[DatasetInfo]) -> list[DatasetView]:
    """Datasets with the number of their jobs, their version and their parent."""
    with services.database.read() as connection:
        jobs = datasets.count_jobs(connection, [info.id for info in infos])
        line = {info.id: len(versions.ancestors(connection, info.id)) if info.lineage else 1 for info in infos}
    return [
        DatasetView.model_validate(
            {
                **dict(info),
                "jobs": jobs.get(info.id, 0),
                "version": line[info.id],
                "parent": info.lineage.parent if info.lineage else None,
            }
        )
        for info in infos
    ]


def sample_page(services: Services, info: DatasetInfo, start: int, limit: int) -> list[DatasetSampleCard]:
    """Rows `start` to before `start + limit` of a dataset, as far as there are."""
    rows = listed_rows(services.blobs.canonical(info.id), range(start, min(start + limit, info.rows)))
    return [
        DatasetSampleCard(
            **row,
            links=DatasetSampleLinks(self=sample_link(info.id, row["id"]), media=media_link(info, row["id"])),
        )
        for row in rows
    ]
