"""A whole ranking in a file format, streamed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from service.actions.find import find_dataset_of_job
from service.api.exports.export import Export
from service.api.exports.tables import columns
from service.api.exports.writers import WRITERS
from service.domain.dataset import DatasetInfo
from service.domain.errors import Conflict, invalid
from service.domain.exports import EXPORT_FORMATS, ExportFormat
from service.platforms.exports import ExportContext
from service.services import Services
from service.store import rankings
from service.store.jobs import Job


@dataclass(frozen=True)
class ToolNames:
    """What a labelling tool calls things, where it is not what the dataset calls them."""

    field: str | None = None
    about: str | None = None
    root: str = ""

    def context(self, job: Job, info: DatasetInfo) -> ExportContext:
        """Names of a job's dataset in the tool."""
        # What Label Studio calls the text, where the dataset is an export of its own.
        own = info.inferred.format.startswith("label studio") and info.modality == "text" and info.features
        return ExportContext(
            job_id=job.id,
            modality=info.modality,
            classes=tuple(info.classes),
            origin=info.inferred.format,
            field=self.field or info.inferred.label or "label",
            about=self.about or (info.features[0].name if own else None),
            root=self.root,
        )


def export_ranking(
    services: Services, job: Job, query: rankings.Query, form: ExportFormat, names: ToolNames
) -> Iterator[bytes]:
    """The file in pieces; memory does not grow with it, and one connection is held until it ends or is closed.

    Raises at once Invalid for data that the tool has no place for, and Conflict for errors that the job planted itself.
    """
    info = find_dataset_of_job(services, job)
    _check_fits(form, job, info)

    def chunks() -> Iterator[list[dict[str, Any]]]:
        rank = 0
        # The connection is the stream's own, and given back with it, also when the client goes away.
        with services.database.read() as connection:
            for rows in rankings.stream(connection, job.id, query):
                yield [{**row, "rank": place, "score": row[query.by]} for place, row in enumerate(rows, rank + 1)]
                rank += len(rows)

    export = Export(columns((job.result or {})["signals"]), names.context(job, info), services.blobs.canonical(info.id))
    return WRITERS[form.name](chunks(), export)


def _check_fits(form: ExportFormat, job: Job, info: DatasetInfo) -> None:
    if not form.fits(info.modality):
        fitting = ", ".join(one.name for one in EXPORT_FORMATS.values() if one.fits(info.modality))
        kinds = " and ".join(form.modalities or ())
        msg = f"{form.name} is for {kinds}, and this dataset is {info.modality}; there are {fitting}"
        raise invalid(["query", "format"], msg)
    if form.is_for_tool and job.spec.glitches:
        raise Conflict(
            "this job planted errors itself; its suggestions are not about your labels", members={"state": "planted"}
        )
