"""Commands for the results of a job: ranking, samples, groups, signals, report."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from service.domain.exports import EXPORT_FORMATS
from service.terminal.arguments import (
    AsJson,
    By,
    Decided,
    Disagrees,
    Job,
    Label,
    Limit,
    MinConfidence,
    MinScore,
    Part,
    Quiet,
    Raw,
    Region,
    Reviewed,
    Search,
    Stage,
    Suggested,
    Verdict,
)
from service.terminal.console import OutputColumn, Printer, console, escaped
from service.terminal.outputs import save
from service.terminal.ranking_columns import (
    DETECTION,
    annotator_columns,
    detected,
    part_columns,
    proposal_columns,
    suspect_columns,
)

app = typer.Typer()

Signals = Annotated[
    str | None, typer.Option(help="Signals to show, between commas: si,aai; default: all that were computed.")
]


@app.command()
def suspects(
    context: typer.Context,
    job: Job,
    by: By = "mislabeled",
    label: Label = None,
    suggested: Suggested = None,
    verdict: Verdict = None,
    min_score: MinScore = None,
    part: Part = None,
    min_confidence: MinConfidence = None,
    disagrees: Disagrees = None,
    reviewed: Reviewed = None,
    decision: Decided = None,
    search: Search = None,
    region: Region = None,
    stage: Stage = None,
    limit: Limit = 20,
    cursor: Annotated[str | None, typer.Option(help="Go on where a page ended: `next` of its --json.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the most suspicious samples of a completed job."""
    wanted = {
        "label": label, "suggested": suggested, "verdict": verdict, "min_score": min_score, "part": part,
        "min_confidence": min_confidence, "disagrees": disagrees, "reviewed": reviewed, "decision": decision, "q": search, "region": region, "stage": stage,
    }  # fmt: skip
    answer = context.obj.get("jobs", job, "suspects", by=by, limit=limit, cursor=cursor, **wanted)
    columns = suspect_columns(answer, person=console.is_terminal)
    title = f"by {by}: {answer['flagged']} flagged, {answer['total']} ranked"
    Printer(as_json, quiet).rows(answer, answer["items"], columns, name="sample.id", title=title)


@app.command()
def show(
    context: typer.Context,
    job: Job,
    sample: Annotated[str, typer.Argument(help="Id of a sample.")],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show all signals of one sample, the reason why it is suspicious, and the samples that it influenced most."""
    answer = context.obj.get("jobs", job, "samples", sample)
    printer = Printer(as_json, quiet)
    printer.note(
        Text.assemble((escaped(answer["id"]), "bold"), ", labelled ", (escaped(answer["given_label"]), "bold"))
    )
    printer.note(answer["reason"])
    signals = sorted(answer["signals"].items(), key=lambda item: item[1]["rank"])
    rows = [
        {"about": "label", "name": answer["given_label"], "text": answer["reason"]},
        *({"about": "signal", "name": name, **found} for name, found in signals),
        *(
            {"about": kind, "name": one["id"], "label": one["label"], "value": one["influence"]}
            for kind in ("supporting", "opposing")
            for one in answer[kind]
        ),
    ]
    columns = [
        OutputColumn("about", "about"),
        OutputColumn("name", "name", kept=True),
        OutputColumn("label", "label"),
        OutputColumn("rank", "rank", right=True),
        OutputColumn("value", "value", right=True),
    ]
    if not console.is_terminal:
        columns.append(OutputColumn("text", "text"))
    shown = rows[1:] if console.is_terminal else rows
    # Its own id alone: those of the others are of what it influenced.
    printer.rows(answer, [answer] if quiet else shown, columns)


@app.command()
def export(
    context: typer.Context,
    job: Job,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write; - for the standard output.")],
    form: Annotated[
        str,
        typer.Option(
            "--format", help=f"{', '.join(EXPORT_FORMATS)}; those called after a labelling tool are for its import."
        ),
    ] = "csv",
    by: By = "mislabeled",
    label: Label = None,
    suggested: Suggested = None,
    verdict: Verdict = None,
    min_score: MinScore = None,
    part: Part = None,
    min_confidence: MinConfidence = None,
    disagrees: Disagrees = None,
    reviewed: Reviewed = None,
    decision: Decided = None,
    search: Search = None,
    region: Region = None,
    stage: Stage = None,
    signals: Signals = None,
    raw: Raw = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write a whole ranking, or what the filters leave of it, to a file."""
    wanted = {
        "label": label, "suggested": suggested, "verdict": verdict, "min_score": min_score, "part": part,
        "min_confidence": min_confidence, "disagrees": disagrees, "reviewed": reviewed, "decision": decision, "q": search, "region": region, "stage": stage,
    }  # fmt: skip
    asked = {"format": form, "by": by, "signals": signals, "raw": raw or None, **wanted}
    save(context.obj, output, Printer(as_json, quiet), "jobs", job, "suspects", **asked)


@app.command()
def report(
    context: typer.Context,
    job: Job,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write; - for the standard output; default: named after the job."),
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="html or md; default: by the file's ending, else html.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write the report of a completed job: an HTML page with charts, or Markdown."""
    if form is None:
        form = "md" if output is not None and output.suffix == ".md" else "html"
    written = output or Path(f"{job}-report.{form}")
    save(context.obj, written, Printer(as_json, quiet), "jobs", job, "report", format=form)


@app.command()
def signals(
    context: typer.Context,
    job: Annotated[str | None, typer.Argument(help="Id of a job: job_…")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the signals; for a job with planted errors, how well each one finds them."""
    answer = context.obj.get("jobs", job, "signals") if job else context.obj.get("signals")
    printer = Printer(as_json, quiet)
    if found := detected(answer["items"]):
        printer.rows(answer, found, DETECTION, name="name", title="how well each signal finds what was planted")
        return
    columns = [
        OutputColumn("signal", "name", kept=True),
        OutputColumn("title", "title"),
        OutputColumn("high means", "high"),
        OutputColumn("source", "source"),
    ]
    printer.rows(answer, answer["items"], columns, name="name")


@app.command()
def groups(context: typer.Context, job: Job, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List both parts of each label and the label that each leans to; -q prints the ids of the samples of the tighter parts."""
    answer = context.obj.get("jobs", job, "groups")
    printer = Printer(as_json, quiet)
    if quiet:
        ids = [{"id": name} for group in answer["items"] for name in group["sample_ids"]]
        printer.rows(answer, ids, [])
        return
    rows = []
    for group in answer["items"]:
        # What is said of a group is said of its tighter part, all that a job of an earlier version knows.
        tighter, *looser = group["parts"] or [{"part": "tighter"}]
        rows += [{**tighter, **group}, *({**group, **part} for part in looser)]
    title = f"both parts of {answer['total']} labels"
    printer.rows(answer, rows, part_columns(person=console.is_terminal), title=title)
    if answer["note"]:
        printer.note(answer["note"])


@app.command()
def annotators(
    context: typer.Context,
    job: Job,
    limit: Limit = 20,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the people who gave the labels: how many of their labels are doubted, and who stands out by more than chance."""
    answer = context.obj.get("jobs", job, "annotators", limit=limit)
    title = (
        f"{answer['total']} people, {answer['overall']['doubted']} of {answer['overall']['labelled']} labels doubted"
    )
    printer = Printer(as_json, quiet)
    printer.rows(answer, answer["items"], annotator_columns(person=console.is_terminal), name="annotator", title=title)
    printer.note(answer["detail"])


@app.command("verify-next")
def verify_next(
    context: typer.Context,
    job: Job,
    count: Annotated[int, typer.Option(min=1, max=1000, help="Number of samples.")] = 50,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the samples whose verification helps most; those with a right label make `reference.samples` of the next job."""
    answer = context.obj.get("jobs", job, "verify-next", count=count)
    columns = [*proposal_columns(person=console.is_terminal), OutputColumn("why", "why")]
    printer = Printer(as_json, quiet)
    printer.rows(answer, answer["items"], columns, name="sample.id")
    if answer["note"]:
        printer.note(answer["note"])
