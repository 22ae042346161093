"""The command for what is wrong in the data of a job beside its labels."""

from typing import Annotated

import typer

from service.domain.issue import ISSUE_TYPES, MOST_SAMPLES
from service.terminal.arguments import AsJson, Job, Quiet
from service.terminal.console import OutputColumn, Printer

app = typer.Typer()

_TYPES = [
    OutputColumn("type", "type", kept=True),
    OutputColumn("score", "score", right=True, shown=lambda row: f"{row['score']:.3f}"),
    OutputColumn("samples", "flagged", "flagged", right=True),
    OutputColumn("what was found", "detail", "detail"),
]
_SAMPLES = [
    OutputColumn("sample", "id", "sample_id", kept=True),
    OutputColumn("label", "label"),
    OutputColumn("part", "part"),
    OutputColumn("set", "group", "group", right=True),
    OutputColumn("detail", "detail"),
]


@app.command()
def issues(
    context: typer.Context,
    job: Job,
    kind: Annotated[
        str | None,
        typer.Option(
            "--type", help=f"Samples of this type: {', '.join(ISSUE_TYPES)}; default: all types, without samples."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST_SAMPLES, help="Number of samples of a type.")] = 20,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List what is wrong in the data beside labels, or the samples of one type; -q prints their ids."""
    answer = context.obj.get("jobs", job, "issues", type=kind, limit=limit)
    printer = Printer(as_json, quiet)
    samples = [sample for item in answer["items"] for sample in item["samples"]]
    if kind is None and not quiet:
        printer.rows(answer, answer["items"], _TYPES)
    else:
        printer.rows(answer, samples, _SAMPLES, title="" if kind is None else kind)
        for item in answer["items"]:
            printer.note(item["detail"])
    for one in answer["not_checked"]:
        printer.note(f"{one['type']} was not looked for: {one['reason']}")
