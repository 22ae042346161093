"""Commands for jobs, datasets and models."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from service.terminal.arguments import Job, Limit
from service.terminal.console import console, simple_table, suspects_table, watch
from usual_suspects.client import ApiError, Client

app = typer.Typer()


@app.command()
def submit(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV, Excel, JSON, Parquet, ARFF, NPZ, or an archive of images.")],
    label: Annotated[str | None, typer.Option(help="Column of the class.")] = None,
    id_column: Annotated[str | None, typer.Option("--id", help="Column of the sample's id.")] = None,
    split: Annotated[str | None, typer.Option(help="Column that says train or test.")] = None,
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
) -> None:
    """Upload a dataset and submit a job that ranks its samples."""
    body = _spec(spec)
    _put(body, "dataset", label=label, id=id_column, split=split)
    _put(body, "model", name=model)
    _put(body, "training", epochs=epochs, seed=seed)
    _put(body, "reference", split=reference_split, holdout=holdout)
    if glitch_rate is not None:
        body["glitches"] = [{"kind": "mislabeled_uniform", "rate": glitch_rate}]
    if name is not None:
        body["name"] = name
    client: Client = context.obj
    if network is not None:
        _use_network(body, client.upload_network(network), model)
    job = client.submit(file, body)
    console.print(f"{job['id']} {job['state']}")
    if follow:
        _follow(client, job["id"])


@app.command("watch")
def watch_job(context: typer.Context, job: Job) -> None:
    """Show a job's progress until it ends, then its ranking."""
    _follow(context.obj, job)


@app.command("list")
def list_jobs(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Limit = 20,
) -> None:
    """List the newest jobs."""
    answer = context.obj.get("jobs", state=state, limit=limit)
    columns = {"job": "id", "name": "name", "state": "state", "model": "spec.model.name", "created": "created_at"}
    console.print(simple_table(answer["items"], columns))


@app.command()
def datasets(context: typer.Context, limit: Limit = 20) -> None:
    """List the newest datasets."""
    answer = context.obj.get("datasets", limit=limit)
    columns = {"dataset": "id", "name": "name", "modality": "modality", "rows": "rows", "created": "created_at"}
    console.print(simple_table(answer["items"], columns))


@app.command()
def cancel(context: typer.Context, job: Job) -> None:
    """Cancel a job."""
    console.print(f"{job} {context.obj.post('jobs', job, 'cancel')['state']}")


@app.command()
def retry(context: typer.Context, job: Job) -> None:
    """Queue a failed or cancelled job again; it continues from its last checkpoint."""
    console.print(f"{job} {context.obj.post('jobs', job, 'retry')['state']}")


@app.command()
def delete(context: typer.Context, job: Job) -> None:
    """Delete a job, its ranking and its files."""
    context.obj.delete("jobs", job)
    console.print(f"{job} deleted")


@app.command()
def models(context: typer.Context) -> None:
    """List the models that a job can train."""
    columns = {"model": "name", "title": "title", "modality": "modality", "cost": "cost", "auto": "default"}
    console.print(simple_table(context.obj.get("models")["items"], columns))


def _follow(client: Client, job_id: str) -> None:
    job = watch(client, job_id)
    if job["state"] != "completed":
        error = job["error"] or {"code": job["state"], "detail": f"{job_id} was {job['state']}"}
        raise ApiError(f"The job is {job['state']}", error["detail"] or error["code"])
    for warning in job["result"]["warnings"]:
        console.print(Text(f"{warning['code']}: {warning['detail']}", "yellow"))
    answer = client.get("jobs", job_id, "suspects", limit=20)
    console.print(suspects_table(answer, f"{answer['flagged']} of {answer['total']} look mislabeled"))


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
        _put(body, "model", name=model or "exported", params={"network": network["id"]})
    else:
        params = {"network": network["id"], "architecture": model}
        _put(body, "model", name="safetensors", params={name: value for name, value in params.items() if value})


def _put(body: dict[str, Any], part: str, **given: Any) -> None:
    """Set the given values in one part of the body. The API refuses a part that is not an object."""
    chosen = {name: value for name, value in given.items() if value is not None}
    if chosen:
        before = body.get(part)
        body[part] = {**(before if isinstance(before, dict) else {}), **chosen}
