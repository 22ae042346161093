"""Commands for datasets: their list, what was left out of them, corrected versions, and jobs over these."""

import time
from typing import Annotated, Any

import typer

from service.terminal.arguments import AsJson, By, Dataset, Job, Limit, Quiet
from service.terminal.console import OutputColumn, Printer, at
from usual_suspects.client import ApiError, Client

app = typer.Typer()

_POLL_S = 1.0
_LISTS = ("appeared", "vanished", "relabelled", "entered", "left", "moved")


@app.command()
def datasets(context: typer.Context, limit: Limit = 20, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List the newest datasets."""
    answer = context.obj.get("datasets", limit=limit)
    columns = [
        OutputColumn("dataset", "id", kept=True),
        OutputColumn("name", "name"),
        OutputColumn("modality", "modality"),
        OutputColumn("rows", "rows", right=True),
        OutputColumn("created", "created_at"),
    ]
    Printer(as_json, quiet).rows(answer, answer["items"], columns)


@app.command()
def skipped(
    context: typer.Context,
    dataset: Dataset,
    limit: Limit = 50,
    cursor: Annotated[str | None, typer.Option(help="Go on where a page ended: `next` of its --json.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List rows and files of an upload that were left out of its dataset, and why."""
    answer = context.obj.get("datasets", dataset, "skipped", limit=limit, cursor=cursor)
    columns = [
        OutputColumn("where", "where", kept=True),
        OutputColumn("index", "index", right=True),
        OutputColumn("reason", "reason"),
    ]
    title = f"{answer['total']} left out"
    Printer(as_json, quiet).rows(answer, answer["items"], columns, name="where", title=title)


@app.command()
def version(
    context: typer.Context,
    job: Job,
    apply: Annotated[
        str,
        typer.Option(help="reviews: what people decided; suggestions: also the labels that the job suggests."),
    ] = "reviews",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make the corrected version of a job's dataset. The dataset itself stays as it is."""
    client: Client = context.obj
    dataset = client.get("jobs", job)["dataset"]["id"]
    made = client.post_json({"job": job, "apply": apply}, "datasets", dataset, "versions")
    Printer(as_json, quiet).line(made, made["id"], f"{made['id']} {made['rows']} rows, a version of {dataset}")


@app.command()
def rerun(
    context: typer.Context,
    job: Job,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the next job is there, and print its id.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run a job again over its dataset as the reviews correct it. It starts once nobody has reviewed for a minute."""
    client: Client = context.obj
    answer = client.post("jobs", job, "rerun")
    printer = Printer(as_json, quiet)
    if not wait:
        printer.line(answer, job, f"{job} runs again once nobody has reviewed for a minute")
        return
    following = _following(client, job)
    printer.line(following, following["id"], f"{following['id']} {following['state']}")


@app.command()
def rescore(
    context: typer.Context,
    job: Job,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the samples are scored again.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Score the samples of a job again by what was verified. Nothing is trained: it costs less than the job did."""
    client: Client = context.obj
    answer = client.post("jobs", job, "rescore")
    while wait and answer["state"] in ("queued", "running"):
        time.sleep(_POLL_S)
        answer = client.get("jobs", job)["rescoring"]
    if answer["state"] == "failed":
        raise ApiError("The samples cannot be scored again", answer["error"]["detail"])
    done = answer["state"] == "completed"
    said = f"its samples were scored by {answer['samples']} verified ones" if done else "its samples are scored again"
    Printer(as_json, quiet).line(answer, job, f"{job} version {answer['version']}: {said}")


def _following(client: Client, job: str) -> dict[str, Any]:
    """The job that follows another, once it is there. Raises ApiError where the service cannot begin it."""
    while True:
        answer = client.get("jobs", job)
        if following := answer["links"].get("next"):
            return client.get("jobs", following.rpartition("/")[2])
        if answer["loop_trouble"]:
            raise ApiError("The job cannot be run again", answer["loop_trouble"])
        time.sleep(_POLL_S)


@app.command()
def diff(
    context: typer.Context,
    job: Job,
    other: Annotated[
        str | None, typer.Option(help="The other job; default: the one whose reviews made this one's dataset.")
    ] = None,
    by: By = "mislabeled",
    limit: Limit = 50,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare a job with the one before it: accuracy, suspects that appeared and vanished, ranks that moved."""
    answer = context.obj.get("jobs", job, "diff", other=other, by=by, limit=limit)
    rows = [{"list": name, **item} for name in _LISTS for item in answer[name]["items"]]
    columns = [
        OutputColumn("list", "list"),
        OutputColumn("sample", "sample_id", "sample_id", kept=True),
        OutputColumn("why", "why"),
        *(
            OutputColumn(f"{what} {when}", f"{when}.{path}", right=what == "rank")
            for what, path in (("label", "given_label"), ("rank", "rank"), ("verdict", "verdict"))
            for when in ("before", "after")
        ),
    ]
    printer = Printer(as_json, quiet)
    for when in ("before", "after"):
        side = answer[when]
        printer.note(f"{when}: {side['job']}, {side['flagged']} of {side['samples']} flagged{_accuracy(side)}")
    printer.note(answer["accuracy"]["note"])
    printer.rows(answer, rows, columns, name="sample_id")


def _accuracy(side: dict[str, Any]) -> str:
    measured = at(side, "reference_accuracy")
    return "" if measured is None else f", accuracy {measured:.1%}"
