"""Commands for datasets: the corrected file of a job."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from service.terminal.arguments import Job, Raw
from service.terminal.console import errors
from service.terminal.outputs import is_stdout
from usual_suspects.client import ApiError, Client, UnsuitableData
from usual_suspects.client.conversion import to_model
from usual_suspects.client.corrected_files import format_of
from usual_suspects.client.models import DatasetInfo

app = typer.Typer()


@app.command()
def corrected(
    context: typer.Context,
    job: Job,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; the standard output when left out.")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="original: in the form of the upload. csv, parquet, jsonl: the samples as the service has them. manifest: what became "
            "of each sample. zip: images in folders of their classes. Default: by the ending of -o FILE, else original.",
        ),
    ] = None,
    apply: Annotated[
        str, typer.Option(help="reviews: what people decided. suggestions: also the labels that the job suggests.")
    ] = "reviews",
    columns: Annotated[
        str | None, typer.Option(help="Columns to add, with commas between: previous_label, reviewed_by.")
    ] = None,
    raw: Raw = False,
) -> None:
    """Write the dataset of a completed job with corrected labels: `suspects corrected JOB > fixed.csv`.

    Where nothing is to be corrected, it is written as it is.
    """
    client: Client = context.obj
    version = client.corrected_dataset(job, apply)
    lineage = version["lineage"] or {}
    said = f"{version['id']}: nothing is to be corrected"
    if lineage.get("job") == job:
        said = f"{version['id']}: {lineage['relabelled']} relabelled, {lineage['removed']} removed"
    if output is not None and not is_stdout(output):
        form = form or _format_of(output, version)
        client.save(output, "datasets", version["id"], "download", format=form, columns=columns, raw=raw or None)
        errors.print(Text(f"{output} written, {said}"), soft_wrap=True)
        return
    blocks = client.stream(
        "datasets", version["id"], "download", format=form or "original", columns=columns, raw=raw or None
    )
    first = next(blocks, b"")
    if _is_terminal() and (b"\0" in first or not _is_text(first)):
        blocks.close()
        raise ApiError("Not for a terminal", "the file is no text; write it with -o FILE, or send the output to a file")
    sys.stdout.buffer.write(first)
    sys.stdout.buffer.writelines(blocks)
    sys.stdout.buffer.flush()
    errors.print(Text(said), soft_wrap=True)


def _format_of(output: Path, dataset: dict[str, Any]) -> str:
    try:
        return format_of(output, to_model(DatasetInfo, dataset))
    except UnsuitableData as error:
        raise ApiError("Which format?", str(error)) from error


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _is_text(first: bytes) -> bool:
    """Whether bytes, of which the last character may be cut, are UTF-8."""
    try:
        first.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data" and error.start > 0
    return True
