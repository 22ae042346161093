"""A whole ranking in a file format, streamed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service.actions.find import find_dataset_of_job
from service.actions.select_suspects import Selection
from service.api.exports.export import Export
from service.api.exports.tables import columns
from service.api.exports.writers import WRITERS
from service.domain.confidence import told_confidence
from service.domain.dataset import DatasetInfo
from service.domain.errors import Conflict, invalid
from service.domain.exports import EXPORT_FORMATS, ExportFormat
from service.domain.review import Review
from service.ingest.contents import image_paths
from service.platforms.exports import ExportContext
from service.services import Services
from service.store import rankings, reviews
from service.store.jobs import Job

# Rows that are read together: few at first, so that a file begins at once.
_CHUNKS = (10, 50, 200)
# A client that goes away costs one chunk more. Contents are read from all over the file, for many rows at once.
_CHUNK, _WITH_CONTENT = 1_000, 5_000


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
            confidence_told=told_confidence(job.result) == "probability",
        )


def export_ranking(
    services: Services,
    job: Job,
    by: str,
    found: Selection,
    form: ExportFormat,
    names: ToolNames,
    signals: Sequence[str] | None = None,
    *,
    raw: bool = False,
) -> Iterator[bytes]:
    """The file of what a query found, by its signal, in pieces; memory does not grow with it, and one connection is held until it ends or is closed.

    A table has columns of these `signals`, None: of all that the job computed; for `raw` see Export.
    Raises at once Invalid for data that the tool has no place for, and Conflict for errors that the job planted itself.
    """
    info = find_dataset_of_job(services, job)
    _check_fits(form, job, info)
    data, is_image = services.blobs.canonical(info.id), info.modality == "image"

    def chunks() -> Iterator[list[dict[str, Any]]]:
        # The connection is the stream's own, and given back with it, also when the client goes away.
        with services.database.read() as connection:
            most = _WITH_CONTENT if form.is_for_tool or is_image else _CHUNK
            for start, end in _chunks(len(found), most):
                part = found.part(start, end)
                rows = rankings.rows_of_version(connection, job.id, part.columns, part.index)
                ranks = part.ranks.tolist()
                ranked = [{**row, "rank": rank, "score": row[by]} for row, rank in zip(rows, ranks, strict=True)]
                yield (
                    ranked
                    if form.is_for_tool
                    else _with_reviews(connection, job.id, data if is_image else None, ranked)
                )

    shown = (job.result or {})["signals"] if signals is None else signals
    return WRITERS[form.name](chunks(), Export(columns(shown), names.context(job, info), data, raw))


def _chunks(count: int, most: int) -> Iterator[tuple[int, int]]:
    start = 0
    for size in chain(_CHUNKS, repeat(most)):
        if start >= count:
            return
        yield start, min(start + size, count)
        start += size


def _with_reviews(
    connection: sa.Connection, job_id: str, images: Path | None, rows: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The rows with the review that holds, in terms of the labels that the job ranked, and with the path of each image.

    `images` is their canonical file; None for other data.
    """
    ids = [row["sample_id"] for row in rows]
    held = reviews.latest(connection, job_id, ids)
    found = [None] * len(ids) if images is None else image_paths(images, ids, [row["position"] for row in rows])
    return [
        {**row, "path": path, **_decided(held.get(row["sample_id"]), row["given_label"])}
        for row, path in zip(rows, found, strict=True)
    ]


def _decided(review: Review | None, given: str) -> dict[str, Any]:
    if review is None:
        return dict.fromkeys(("decision", "decided_label", "reviewer", "reviewed_at"))
    return {
        "decision": review.about(given).decision,
        "decided_label": review.right_label(given),
        "reviewer": review.reviewer,
        "reviewed_at": review.created_at,
    }


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
