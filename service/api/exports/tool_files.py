"""A ranking as a labelling tool's own file, streamed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import Query

from service.domain.dataset import DatasetInfo
from service.domain.errors import Conflict, FieldError, invalid_fields
from service.ingest.contents import contents
from service.platforms.exports import FORMS, ExportContext, ExportedSample, ToolForm, ToolFormat
from service.store.jobs import Job

_PIECES = 1_000  # items that are sent at a time


@dataclass(frozen=True)
class Words:
    """What the tool calls things, where it is not what the dataset calls them."""

    field: str | None = None
    about: str | None = None
    root: str = ""


def words(
    field: Annotated[
        str | None,
        Query(
            description="Of a labelling tool's form: what the tool calls the class (the Choices tag, question or "
            "feature); the label's name in the dataset when left out.",
            min_length=1,
            max_length=200,
        ),
    ] = None,
    about: Annotated[
        str | None,
        Query(
            description="Of label_studio: the tag that is labelled; text, image or table when left out.",
            min_length=1,
            max_length=200,
        ),
    ] = None,
    root: Annotated[
        str, Query(description="Of a labelling tool's form: put before the path of each image.", max_length=2_000)
    ] = "",
) -> Words:
    """Read from the query."""
    return Words(field, about, root)


def tool_form(name: ToolForm, job: Job, info: DatasetInfo) -> ToolFormat:
    """The form of this name. Raises Invalid for data that the tool has no place for, and Conflict for planted errors."""
    form = FORMS[name]
    if info.modality not in form.modalities:
        fitting = ", ".join(other for other, one in FORMS.items() if info.modality in one.modalities)
        msg = f"{name} is for {' and '.join(form.modalities)}, and this dataset is {info.modality}"
        raise invalid_fields(
            [FieldError(loc=["query", "format"], msg=f"{msg}; there are csv, jsonl, parquet, {fitting}")]
        )
    if job.spec.glitches:
        raise Conflict(
            "this job planted errors itself; its suggestions are not about your labels", members={"state": "planted"}
        )
    return form


def to_tool(
    name: ToolForm, chunks: Iterable[Sequence[dict[str, Any]]], job: Job, info: DatasetInfo, data: Path, said: Words
) -> Iterator[bytes]:
    """The file; `chunks` are rows of the ranking with rank and score, `data` is the canonical file."""
    setting = ExportContext(
        job_id=job.id,
        modality=info.modality,
        classes=tuple(info.classes),
        origin=info.inferred.format,
        field=said.field or info.inferred.label or "label",
        about=said.about or _shown(info),
        root=said.root,
    )
    pieces = FORMS[name].pieces(_suspects(chunks, data, sizes=name == "cvat"), setting)
    held: list[str] = []
    for piece in pieces:
        held.append(piece)
        if len(held) == _PIECES:
            yield "".join(held).encode(errors="replace")
            held = []
    yield "".join(held).encode(errors="replace")


def _shown(info: DatasetInfo) -> str | None:
    """What Label Studio calls the text, where the dataset is an export of its own."""
    own = info.inferred.format.startswith("label studio") and info.modality == "text"
    return info.features[0].name if own and info.features else None


def _suspects(chunks: Iterable[Sequence[dict[str, Any]]], data: Path, *, sizes: bool) -> Iterator[ExportedSample]:
    for chunk in chunks:
        # An image's size is looked up for what is flagged: nothing else becomes an issue.
        rows = [row for row in chunk if row["verdict"] != "clean"] if sizes else chunk
        for row, content in zip(rows, contents(data, [row["position"] for row in rows], sizes=sizes), strict=True):
            yield ExportedSample(
                rank=row["rank"],
                id=row["sample_id"],
                index=row["index"],
                score=row["score"],
                given=row["given_label"],
                suggested=row["suggested_label"],
                confidence=row["suggested_confidence"],
                verdict=row["verdict"],
                text=content.text,
                path=content.path,
                size=content.size,
                features=content.features,
            )
