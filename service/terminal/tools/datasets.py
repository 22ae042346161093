"""Tools for datasets: upload, list, corrected versions, the corrected file."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from service.terminal.submission import upload_source
from service.terminal.tools.answer import Json, PageAnswer, ToolAnswer, WarningAnswer, WrittenFile, warnings_of
from service.terminal.tools.arguments import Apply, Cursor, Dataset, Job, Limit, Output, Raw
from service.terminal.tools.files import new_file, save
from usual_suspects.client import Client


class DatasetRow(ToolAnswer):
    """A dataset in short."""

    id: str
    name: str
    modality: str
    rows: int
    classes: int = Field(description="Number of classes.")
    created_at: str


class DatasetAnswer(ToolAnswer):
    """A dataset: what was read, and what was inferred about it."""

    id: str
    name: str
    modality: str
    rows: int
    class_counts: dict[str, int] = Field(description="Samples of each class; at most 100 classes.")
    features: dict[str, str] = Field(description="Kind of each column; at most 100.")
    splits: dict[str, int]
    inferred: dict[str, Any]
    skipped_rows: int
    warnings: list[WarningAnswer]
    lineage: dict[str, Any] | None = Field(
        None, description="What a corrected version was made of; null for an upload."
    )
    created_at: str


class LeftOutRow(BaseModel):
    """A row or file of an upload that was left out."""

    where: str
    index: int | None = None
    reason: str


def _answer(dataset: Json) -> DatasetAnswer:
    return DatasetAnswer(
        **{
            name: dataset[name]
            for name in (
                "id",
                "name",
                "modality",
                "rows",
                "splits",
                "inferred",
                "skipped_rows",
                "lineage",
                "created_at",
            )
        },
        class_counts=dict(list(dataset["class_counts"].items())[:100]),
        features={one["name"]: one["kind"] for one in dataset["features"][:100]},
        warnings=warnings_of(dataset["warnings"]),
    )


def datasets(client: Client, limit: Limit = 20, cursor: Cursor = None) -> PageAnswer[DatasetRow]:
    """List the datasets, newest first."""
    answer = client.get("datasets", limit=limit, cursor=cursor)
    rows = [
        DatasetRow(
            classes=len(one["classes"]),
            **{name: one[name] for name in ("id", "name", "modality", "rows", "created_at")},
        )
        for one in answer["items"]
    ]
    return PageAnswer[DatasetRow](items=rows, total=answer["total"], next=answer["next"])


def dataset(client: Client, dataset: Dataset) -> DatasetAnswer:
    """Show one dataset: rows, classes, columns, what was inferred, and what it warns of."""
    return _answer(client.get("datasets", dataset))


def upload(
    client: Client,
    source: Annotated[
        str,
        Field(
            description="Path of a file on the machine of this tool, or an http or https URL that the service fetches."
        ),
    ],
    label: Annotated[str | None, Field(description="Column of the class; inferred when left out.")] = None,
    spec: Annotated[
        dict[str, Any] | None,
        Field(
            description='Other facts: {"id", "split", "group", "annotator", "header", "missing", "merge_labels", "kinds", "exclude", "modality"}.'
        ),
    ] = None,
) -> DatasetAnswer:
    """Upload a dataset without starting a job, to see first how it is read. `submit` with its id ranks it."""
    return _answer(upload_source(client, source, {**(spec or {}), **({"label": label} if label else {})}))


def skipped(client: Client, dataset: Dataset, limit: Limit = 50, cursor: Cursor = None) -> PageAnswer[LeftOutRow]:
    """List rows and files of an upload that were left out of its dataset, and why."""
    answer = client.get("datasets", dataset, "skipped", limit=limit, cursor=cursor)
    rows = [LeftOutRow.model_validate(one) for one in answer["items"]]
    return PageAnswer[LeftOutRow](items=rows, total=answer["total"], next=answer["next"])


def version(client: Client, job: Job, apply: Apply = "reviews") -> DatasetAnswer:
    """Make the corrected dataset of a job from its reviews. The dataset itself stays as it is. `submit` with its id ranks it."""
    return _answer(client.corrected_version(job, apply))


def corrected(
    client: Client,
    job: Job,
    output: Output,
    apply: Apply = "reviews",
    format: Annotated[  # noqa: A002 - the name that the API has
        Literal["original", "csv", "parquet", "jsonl", "manifest", "zip"],
        Field(
            description="original: in the form of the upload. csv, parquet, jsonl: the samples as the service has them. manifest: what "
            "became of each sample. zip: images in folders of their classes."
        ),
    ] = "original",
    columns: Annotated[
        list[Literal["previous_label", "reviewed_by"]] | None, Field(description="Columns to add to the file.")
    ] = None,
    raw: Raw = False,
) -> WrittenFile:
    """Write the dataset of a job with corrected labels to a file, in the form in which it was uploaded."""
    path = new_file(output)
    made = client.corrected_dataset(job, apply)
    lineage = made["lineage"] or {}
    detail = f"{made['id']}: nothing is to be corrected"
    if lineage.get("job") == job:
        detail = f"{made['id']}: {lineage['relabelled']} relabelled, {lineage['removed']} removed"
    added = ",".join(columns) if columns else None
    asked = {"format": format, "columns": added, "raw": raw or None}
    return save(client, path, "datasets", made["id"], "download", detail=detail, **asked)
