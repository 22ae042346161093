"""Commands for the results of a job: ranking, samples, signals, report."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from service.domain.exports import EXPORT_FORMATS
from service.terminal.arguments import AsJson, By, Job, Label, Limit
from service.terminal.console import console, detection_table, simple_table, suspects_table

app = typer.Typer()

_INFLUENTIAL = {"sample": "id", "label": "label", "influence": "influence"}


@app.command()
def suspects(
    context: typer.Context,
    job: Job,
    by: By = "mislabeled",
    label: Label = None,
    verdict: Annotated[str | None, typer.Option(help="mislabeled, anomalous or clean.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List the most suspicious samples of a completed job."""
    answer = context.obj.get("jobs", job, "suspects", by=by, label=label, verdict=verdict, limit=limit)
    if as_json:
        console.print_json(data=answer)
        return
    title = f"by {by}: {answer['flagged']} flagged, {answer['total']} ranked"
    console.print(suspects_table(answer, title))


@app.command()
def show(
    context: typer.Context,
    job: Job,
    sample: Annotated[str, typer.Argument(help="Id of a sample.")],
    as_json: AsJson = False,
) -> None:
    """Show all signals of one sample, and the reason why it is suspicious."""
    answer = context.obj.get("jobs", job, "samples", sample)
    if as_json:
        console.print_json(data=answer)
        return
    console.print(Text.assemble((answer["id"], "bold"), ", labelled ", (answer["given_label"], "bold")))
    console.print(Text(answer["reason"]))
    ranked = [{"signal": k, **v} for k, v in sorted(answer["signals"].items(), key=lambda item: item[1]["rank"])]
    tables = {
        "signals": (ranked, {"signal": "signal", "rank": "rank", "value": "value"}),
        "samples that support its label": (answer["supporting"], _INFLUENTIAL),
        "samples that oppose its label": (answer["opposing"], _INFLUENTIAL),
    }
    for title, (rows, columns) in tables.items():
        if rows:
            console.print(f"\n{title}")
            console.print(simple_table(rows, columns))


@app.command()
def export(
    context: typer.Context,
    job: Job,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    form: Annotated[
        str,
        typer.Option(
            "--format", help=f"{', '.join(EXPORT_FORMATS)}; those called after a labelling tool are for its import."
        ),
    ] = "csv",
    by: By = "mislabeled",
    label: Label = None,
) -> None:
    """Write a whole ranking to a file."""
    context.obj.save(output, "jobs", job, "suspects", format=form, by=by, label=label)
    console.print(Text(f"{output} written"), soft_wrap=True)


@app.command()
def report(
    context: typer.Context,
    job: Job,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; default: named after the job.")
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="html or md; default: by the file's ending, else html.")
    ] = None,
) -> None:
    """Write the report of a completed job: an HTML page with charts, or Markdown."""
    if form is None:
        form = "md" if output is not None and output.suffix == ".md" else "html"
    written = output or Path(f"{job}-report.{form}")
    context.obj.save(written, "jobs", job, "report", format=form)
    console.print(Text(f"{written} written"), soft_wrap=True)


@app.command()
def signals(
    context: typer.Context, job: Annotated[str | None, typer.Argument(help="Id of a job: job_…")] = None
) -> None:
    """List the signals; for a job with planted glitches, how well each one finds them."""
    items = (context.obj.get("jobs", job, "signals") if job else context.obj.get("signals"))["items"]
    if any(item.get("detection") for item in items):
        console.print(detection_table(items))
        return
    console.print(simple_table(items, {"signal": "name", "title": "title", "high means": "high", "source": "source"}))
