"""Commands for jobs and models."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from service.terminal.arguments import AsJson, Job, Limit, Quiet
from service.terminal.console import OutputColumn, Printer, console, show_warning
from service.terminal.progress import watch
from service.terminal.ranking_columns import suspect_columns
from service.terminal.submission import put, standard_input, submit_project, submit_source
from usual_suspects.client import ApiError, Client

app = typer.Typer()


@app.command()
def submit(
    context: typer.Context,
    source: Annotated[
        str | None,
        typer.Argument(
            help="A file: CSV, Excel, JSON, Parquet, ARFF, NPZ, or an archive of images; a folder; - for the standard input; an http or https URL of a file; or "
            "the id of a dataset: ds_…",
        ),
    ] = None,
    connection: Annotated[
        str | None, typer.Option(help="Rank labelled tasks of a connected tool instead: con_…, with --project.")
    ] = None,
    project: Annotated[int | None, typer.Option(min=1, help="The tool's number of the project.")] = None,
    label: Annotated[str | None, typer.Option(help="Column of the class.")] = None,
    id_column: Annotated[str | None, typer.Option("--id", help="Column of the sample's id.")] = None,
    split: Annotated[str | None, typer.Option(help="Column that says train or test.")] = None,
    header: Annotated[
        bool | None,
        typer.Option(help="Whether a CSV begins with names of columns; without them they are column_1, column_2, …"),
    ] = None,
    model: Annotated[str | None, typer.Option(help="One of `suspects models`; default: chosen by the data.")] = None,
    network: Annotated[
        Path | None,
        typer.Option(help="Start from your own network: a .pt2 of torch.export, or .safetensors weights for --model."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Number of epochs; default: the model's own.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Random seed, 0 by default; the same seed gives the same ranking.")
    ] = None,
    reference_split: Annotated[str | None, typer.Option(help="Split with verified labels, used as reference.")] = None,
    holdout: Annotated[
        float | None, typer.Option(help="Share of the samples to hold out as reference, between 0 and 1.")
    ] = None,
    glitch_rate: Annotated[
        float | None, typer.Option(help="Share of labels to make wrong on purpose, to measure how many are found.")
    ] = None,
    spec: Annotated[
        str, typer.Option(help="Other fields of POST /jobs as JSON; the options above override it.")
    ] = "{}",
    name: Annotated[str | None, typer.Option(help="Name of the job in lists.")] = None,
    follow: Annotated[bool, typer.Option("--watch/--no-watch", help="Show the progress, then the ranking.")] = True,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Upload a dataset and submit a job that ranks its samples."""
    if (source is None) == (connection is None) or (connection is None) != (project is None):
        raise typer.BadParameter("name a file, a folder, a URL or a dataset; or give --connection and --project")
    body = _spec(spec)
    put(body, "dataset", label=label, id=id_column, split=split, header=header)
    put(body, "model", name=model)
    put(body, "training", epochs=epochs, seed=seed)
    put(body, "reference", split=reference_split, holdout=holdout)
    if glitch_rate is not None:
        body["glitches"] = [{"kind": "mislabeled_uniform", "rate": glitch_rate}]
    if name is not None:
        body["name"] = name
    client: Client = context.obj
    if network is not None:
        _use_network(body, client.post_file(network, None, "networks"), model)
    if source == "-":
        with standard_input() as file:
            job = submit_source(client, str(file), body)
    elif source is not None:
        job = submit_source(client, source, body)
    else:
        job = submit_project(client, str(connection), int(project or 0), body)
    printer = Printer(as_json, quiet)
    if not (follow and as_json):
        printer.line(job, job["id"], f"{job['id']} {job['state']}")
    if follow:
        _follow(client, job["id"], printer, named=True)


@app.command("watch")
def watch_job(context: typer.Context, job: Job, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Show a job's progress until it ends, then its ranking."""
    _follow(context.obj, job, Printer(as_json, quiet))


@app.command("list")
def list_jobs(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    name: Annotated[str | None, typer.Option(help="Only jobs with this name.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only jobs over this dataset: ds_…")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the newest jobs."""
    answer = context.obj.get("jobs", state=state, name=name, dataset=dataset, limit=limit)
    columns = [
        OutputColumn("job", "id", kept=True),
        OutputColumn("name", "name"),
        OutputColumn("state", "state"),
        OutputColumn("model", "spec.model.name"),
        OutputColumn("created", "created_at"),
    ]
    Printer(as_json, quiet).rows(answer, answer["items"], columns)


@app.command()
def cancel(context: typer.Context, job: Job, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Cancel a job."""
    answer = context.obj.post("jobs", job, "cancel")
    Printer(as_json, quiet).line(answer, job, f"{job} {answer['state']}")


@app.command()
def retry(context: typer.Context, job: Job, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Queue a failed or cancelled job again; it continues from its last checkpoint."""
    answer = context.obj.post("jobs", job, "retry")
    Printer(as_json, quiet).line(answer, job, f"{job} {answer['state']}")


@app.command()
def delete(context: typer.Context, job: Job, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Delete a job, its ranking and its files."""
    context.obj.delete("jobs", job)
    Printer(as_json, quiet).line({"id": job, "deleted": True}, job, f"{job} deleted")


@app.command()
def models(context: typer.Context, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List the models that a job can train."""
    answer = context.obj.get("models")
    columns = [
        OutputColumn("model", "name", kept=True),
        OutputColumn("title", "title"),
        OutputColumn("modality", "modality"),
        OutputColumn("cost", "cost"),
        OutputColumn("auto", "default"),
    ]
    Printer(as_json, quiet).rows(answer, answer["items"], columns, name="name")


def _follow(client: Client, job_id: str, printer: Printer, *, named: bool = False) -> None:
    """Watch a job, then print its ranking. With `named` its id has been printed already."""
    job = watch(client, job_id, silent=printer.quiet)
    if job["state"] != "completed":
        error = job["error"] or {"code": job["state"], "detail": f"{job_id} was {job['state']}"}
        raise ApiError(f"The job is {job['state']}", error["detail"] or error["code"])
    if printer.as_json or printer.quiet:
        if printer.as_json or not named:
            printer.line(job, job_id, "")
        return
    for warning in job["result"]["warnings"]:
        show_warning(f"{warning['code']}: {warning['detail']}")
    wrong = job["result"]["estimates"]["mislabeled"]
    unknown = wrong["status"] == "unknown"
    answer = client.get("jobs", job_id, "suspects", limit=20)
    columns = suspect_columns(answer, person=console.is_terminal)
    title = f"{answer['flagged']} of {answer['total']} look mislabeled"
    if unknown:
        title = f"how many of {answer['total']} are mislabeled cannot be told; {answer['flagged']} are flagged"
    printer.rows(answer, answer["items"], columns, name="sample.id", title=title)


def _spec(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ApiError("Not JSON", f"--spec: {error}") from error
    if not isinstance(value, dict):
        raise ApiError(
            "Not a JSON object", f'--spec: expected something like {{"training": {{"epochs": 5}}}}, got {text}'
        )
    return value


def _use_network(body: dict[str, Any], network: dict[str, Any], model: str | None) -> None:
    """Put an uploaded network into the body: a program is a model by itself, weights need the name of a model."""
    if network["kind"] == "program":
        put(body, "model", name=model or "exported", params={"network": network["id"]})
    else:
        params = {"network": network["id"], "architecture": model}
        put(body, "model", name="safetensors", params={name: value for name, value in params.items() if value})
