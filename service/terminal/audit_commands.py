"""Commands for audits: samples to review next, how many labels are wrong, and whether a delivery of labels is accepted."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from service.domain.audit import GOAL_HELP
from service.terminal.arguments import AsJson, Job, Quiet
from service.terminal.console import OutputColumn, Printer, console
from service.terminal.outputs import is_stdout, save
from service.terminal.ranking_columns import proposal_columns
from usual_suspects.client import Client

app = typer.Typer()

Goal = Annotated[str | None, typer.Option(help=GOAL_HELP)]
Version = Annotated[
    bool,
    typer.Option(
        "--version-of-job", help="Audit the labels that this job ranked, not those that its chain began with."
    ),
]


def _interval(row: Mapping[str, Any]) -> str:
    wrong = row["wrong"]
    return f"{wrong['low']}-{wrong['high']}"


def _estimate(row: Mapping[str, Any]) -> Any:
    estimate = row["wrong"]["estimate"]
    return None if estimate is None else round(estimate, 1)


def _recall(row: Mapping[str, Any]) -> Any:
    share = row["recall_at_least"]
    return None if share is None else round(share, 3)


_COLUMNS = [
    OutputColumn("of", "of"),
    OutputColumn("samples", "samples", right=True),
    OutputColumn("reviewed", lambda row: row["reviewed"]["drawn"] + row["reviewed"]["other"], right=True),
    OutputColumn("drawn", "reviewed.drawn", right=True),
    OutputColumn("found wrong", "found", right=True),
    OutputColumn("wrong in all", _interval, right=True),
    OutputColumn("estimate", _estimate, right=True),
    OutputColumn("at most", "wrong.at_most", right=True),
    OutputColumn("share found at least", _recall, right=True),
]


@app.command()
def audit(
    context: typer.Context,
    job: Job,
    goal: Goal = None,
    level: Annotated[float, typer.Option(min=0.5, max=0.9999, help="Confidence of the interval.")] = 0.95,
    by: Annotated[str | None, typer.Option(help="label or split: also of each of them.")] = None,
    top: Annotated[str | None, typer.Option(help="Also among the first ranks, as many as this: 50,200.")] = None,
    of_version: Version = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say how many labels are wrong, measured by the reviews of drawn samples, and whether reviewing may stop."""
    of = "version" if of_version else "original"
    answer = context.obj.get("jobs", job, "audit", goal=goal, level=level, by=by, top=top, of=of)
    rows = [{**answer, "of": "all"}]
    rows += [{**one, "of": f"first {one['top']}"} for one in answer["precision_at"]]
    rows += [{**one, "of": one["label"]} for one in answer["labels"]]
    rows += [{**one, "of": one["split"]} for one in answer["splits"]]
    printer = Printer(as_json, quiet)
    printer.rows(answer, rows, _COLUMNS, name="of", title=f"wrong labels of {answer['job']}")
    printer.note(answer["means"])
    printer.note(_advice(answer["stop"], job))


def _advice(stop: Mapping[str, Any], job: str) -> str:
    if stop["reached"]:
        return f"The goal {stop['goal']} is reached: reviewing may stop."
    if stop["refused"]:
        return f"The goal {stop['goal']} cannot be reached: more labels are wrong."
    more = stop["expected_more_reviews"]
    about = "" if more is None else f" About {more} more reviews are expected."
    return f"The goal {stop['goal']} is not reached.{about} `suspects draw {job}` lists what to review next."


@app.command()
def draw(
    context: typer.Context,
    job: Job,
    count: Annotated[int, typer.Option(min=1, max=1000, help="Number of samples.")] = 20,
    goal: Goal = None,
    reviewer: Annotated[
        str | None, typer.Option(help="Who will review them; what this person left comes first.")
    ] = None,
    confirm: Annotated[
        int | None,
        typer.Option(min=1, max=2, help="2: a label counts as wrong once a second person calls it so; from now on."),
    ] = None,
    of_version: Version = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw samples to review next, so that their reviews measure how many labels are wrong. `suspects review` takes the decisions."""
    of = "version" if of_version else None
    asked = {"count": count, "goal": goal, "reviewer": reviewer, "confirm": confirm, "of": of}
    body = {name: value for name, value in asked.items() if value is not None}
    answer = context.obj.post_json(body, "jobs", job, "audit", "draws")
    columns = proposal_columns(person=console.is_terminal)
    printer = Printer(as_json, quiet)
    printer.rows(answer, answer["items"], columns, name="sample_id", title=f"to review next, for {answer['goal']}")
    if not answer["items"]:
        printer.note("Every sample was reviewed, or is with other reviewers.")


@app.command()
def proxy(
    context: typer.Context,
    job: Job,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV file with a row for each sample.")],
    name: Annotated[str, typer.Option(help="Who judges: a second annotator, a model.")],
    column: Annotated[str, typer.Option(help="Column of the labels that the judge would give.")] = "label",
    wrong: Annotated[
        str | None, typer.Option(help="Instead: column of the probabilities that the given label is wrong.")
    ] = None,
    id_column: Annotated[str, typer.Option("--id", help="Column of the sample ids.")] = "sample_id",
    of_version: Version = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Let another judge share in the draws of an audit: a second annotator, another model. A good one saves reviews."""
    said = _column(file, id_column, wrong or column)
    values = {key: _share(file, key, value) for key, value in said.items()} if wrong else said
    body = {"name": name, "wrong" if wrong else "labels": values, "of": "version" if of_version else "original"}
    answer = context.obj.post_json(body, "jobs", job, "proxies")
    text = f"{name}: {answer['calls_wrong']} labels called wrong, {answer['calls_right']} right"
    Printer(as_json, quiet).line(answer, str(answer["number"]), text)


def _column(file: Path, id_column: str, column: str) -> dict[str, str]:
    """A column of a CSV file by sample id; empty values are left out. Raises typer.BadParameter naming the column."""
    with file.open(newline="", encoding="utf-8-sig") as text:
        rows = csv.DictReader(text)
        missing = [name for name in (id_column, column) if name not in (rows.fieldnames or ())]
        if missing:
            there = ", ".join(rows.fieldnames or ())
            raise typer.BadParameter(f"{file} has no column {' and '.join(missing)}; it has {there}")
        return {row[id_column]: row[column] for row in rows if row[column]}


def _share(file: Path, sample: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise typer.BadParameter(f"{file}: {text!r} of sample {sample} is no number from 0 to 1") from error


@app.command()
def certificate(
    context: typer.Context,
    job: Job,
    share: Annotated[float, typer.Option(min=0.0, max=1.0, help="The share of wrong labels that is accepted.")] = 0.01,
    level: Annotated[float, typer.Option(min=0.5, max=0.9999, help="Confidence of the verdict.")] = 0.95,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Also write it as a page: certificate.html; - for the page alone on the standard output.",
        ),
    ] = None,
    of_version: Version = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Accept or refuse a delivery of labels: at most this share is wrong, more is wrong, or it is not yet known."""
    client: Client = context.obj
    asked = {"share": share, "level": level, "of": "version" if of_version else "original"}
    answer = client.get("jobs", job, "audit", "certificate", **asked)
    if output is not None and is_stdout(output):
        save(client, output, Printer(), "jobs", job, "audit", "certificate", **asked, format="html")
        return
    if output is not None:
        client.save(output, "jobs", job, "audit", "certificate", **asked, format="html")
    wrong = answer["wrong"]
    text = (
        f"{answer['verdict']}: {wrong['low']} to {wrong['high']} of {answer['samples']} labels are wrong, accepted are {100 * share:g} %; "
        f"{answer['reviewed']['drawn']} drawn samples were judged"
    )
    Printer(as_json, quiet).line(answer, answer["verdict"], text)
