"""`suspects`: the service from a terminal. Everything but `up`, `demo` and `migrate` goes over the REST API."""

import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from service.client import ApiError, Client
from service.console import console, detection_table, errors, show_error, simple_table, suspects_table, watch

app = typer.Typer(
    name="suspects",
    help="Which samples of a training set are wrong.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Job = Annotated[str, typer.Argument(help="Id of a job: job_…")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]
By = Annotated[str, typer.Option(help="mislabeled, anomalous, or any signal of `suspects signals`.")]
Label = Annotated[str | None, typer.Option(help="Only samples with this given label.")]


def main() -> None:
    """Run a command; a problem that the service told is one red block and exit code 1."""
    try:
        app()
    except ApiError as error:
        show_error(error)
        raise SystemExit(1) from None


@app.callback()
def _connect(
    context: typer.Context,
    url: Annotated[str, typer.Option(envvar="SUSPECTS_URL", help="Where the service is.")] = "http://127.0.0.1:8000",
    key: Annotated[str | None, typer.Option(envvar="SUSPECTS_KEY", help="A key of the service.")] = None,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if show_version:
        console.print(version("usual-suspects"))
        raise typer.Exit
    context.obj = Client(url, key)


@app.command()
def up(
    host: Annotated[str, typer.Option(help="Address to serve; others than loopback need SUSPECTS_API_KEYS.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to serve.")] = 8000,
    home: Annotated[Path | None, typer.Option(help="Folder for everything; SUSPECTS_HOME when left out.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="How many jobs run at a time.")] = 1,
) -> None:
    """Start the embedded stack: API, worker, Valkey, SQLite. Ctrl-C stops it all."""
    from service.embedded import StackError, running
    from service.settings import Settings

    settings = Settings()
    where = home.expanduser().resolve() if home else settings.home
    try:
        with running(where, host, port, workers, settings) as stack:
            console.print(f"[green]Ready[/] on [bold]{stack.url}[/]; API documentation: {stack.url}/docs")
            console.print(f"Files and logs are in {where}. Ctrl-C stops everything.")
            stack.watch()
    except StackError as error:
        errors.print(f"[red]{error}[/]", highlight=False)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.print("Stopped.")


@app.command()
def demo() -> None:
    """Rank a real dataset with known errors planted, on a stack of its own, in under a minute."""
    from service.demo import run
    from service.embedded import StackError

    started = time.monotonic()
    try:
        completed = run()
    except StackError as error:
        errors.print(f"[red]{error}[/]", highlight=False)
        raise typer.Exit(1) from None
    if not completed:
        raise typer.Exit(1)
    console.print(f"[dim]{time.monotonic() - started:.0f} s[/]")


@app.command()
def submit(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV, JSON lines, Parquet, NPZ, or an archive of images.")],
    label: Annotated[str | None, typer.Option(help="The column that holds the class.")] = None,
    id_column: Annotated[str | None, typer.Option("--id", help="The column that names a sample.")] = None,
    split: Annotated[str | None, typer.Option(help="The column that says train or test.")] = None,
    model: Annotated[str, typer.Option(help="One of `suspects models`.")] = "auto",
    epochs: Annotated[int | None, typer.Option(help="The model's own default when left out.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same ranking.")] = 0,
    reference_split: Annotated[str | None, typer.Option(help="A split that people have verified.")] = None,
    holdout: Annotated[float | None, typer.Option(help="Share to hold out as reference.")] = None,
    glitch_rate: Annotated[float | None, typer.Option(help="Plant this share of wrong labels, to see what is found.")] = None,
    spec: Annotated[str, typer.Option(help="More of the job as JSON; see POST /jobs.")] = "{}",
    name: Annotated[str | None, typer.Option(help="Shown in lists.")] = None,
    follow: Annotated[bool, typer.Option("--watch/--no-watch", help="Show progress and the ranking.")] = True,
) -> None:
    """Upload a dataset, train on it, rank its samples."""
    try:
        body: dict[str, Any] = json.loads(spec)
    except ValueError as error:
        raise ApiError("Not JSON", f"--spec: {error}") from error
    columns = {"label": label, "id": id_column, "split": split}
    body["dataset"] = {**body.get("dataset", {}), **{k: v for k, v in columns.items() if v is not None}}
    body.setdefault("model", {"name": model})
    training = {"epochs": epochs, "seed": seed}
    body["training"] = {**{k: v for k, v in training.items() if v is not None}, **body.get("training", {})}
    if reference_split or holdout:
        body["reference"] = {"split": reference_split} if reference_split else {"holdout": holdout}
    if glitch_rate:
        body["glitches"] = [{"kind": "mislabeled_uniform", "rate": glitch_rate}]
    if name:
        body["name"] = name
    client: Client = context.obj
    job = client.submit(file, body)
    console.print(f"{job['id']} queued")
    if follow:
        _follow(client, job["id"])


@app.command("watch")
def watch_job(context: typer.Context, job: Job) -> None:
    """Follow a job until it ends, then show its ranking."""
    _follow(context.obj, job)


@app.command("list")
def list_jobs(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
) -> None:
    """The newest jobs."""
    answer = context.obj.get("/jobs", state=state, limit=limit)
    columns = {"job": "id", "name": "name", "state": "state", "model": "spec.model.name", "created": "created_at"}
    console.print(simple_table(answer["items"], columns))


@app.command()
def datasets(context: typer.Context, limit: Annotated[int, typer.Option(min=1, max=1000)] = 20) -> None:
    """The newest datasets."""
    answer = context.obj.get("/datasets", limit=limit)
    columns = {"dataset": "id", "name": "name", "modality": "modality", "rows": "rows", "created": "created_at"}
    console.print(simple_table(answer["items"], columns))


@app.command()
def suspects(
    context: typer.Context,
    job: Job,
    by: By = "mislabeled",
    label: Label = None,
    verdict: Annotated[str | None, typer.Option(help="mislabeled, anomalous or clean.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """The most suspicious samples of a completed job."""
    answer = context.obj.get(f"/jobs/{job}/suspects", by=by, label=label, verdict=verdict, limit=limit)
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
    """Everything that a job knows of one sample, and why it is suspicious."""
    answer = context.obj.get(f"/jobs/{job}/samples/{sample}")
    if as_json:
        console.print_json(data=answer)
        return
    console.print(f"[bold]{answer['id']}[/], labelled [bold]{answer['given_label']}[/]: {answer['reason']}")
    ranked = [{"signal": k, **v} for k, v in sorted(answer["signals"].items(), key=lambda item: item[1]["rank"])]
    if ranked:
        console.print(simple_table(ranked, {"signal": "signal", "rank": "rank", "value": "value"}))


@app.command()
def export(
    context: typer.Context,
    job: Job,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write.")],
    form: Annotated[str, typer.Option("--format", help="csv, jsonl or parquet.")] = "csv",
    by: By = "mislabeled",
    label: Label = None,
) -> None:
    """Write a whole ranking to a file."""
    context.obj.export(job, form, output, by=by, label=label)
    console.print(f"{output} written")


@app.command()
def cancel(context: typer.Context, job: Job) -> None:
    """Stop a job."""
    console.print(f"{job} {context.obj.post(f'/jobs/{job}/cancel').get('state', 'cancelled')}")


@app.command()
def retry(context: typer.Context, job: Job) -> None:
    """Queue a failed or cancelled job again; it goes on from its last checkpoint."""
    context.obj.post(f"/jobs/{job}/retry")
    console.print(f"{job} queued")


@app.command()
def delete(context: typer.Context, job: Job) -> None:
    """Delete a job, its ranking and its files."""
    context.obj.delete(f"/jobs/{job}")
    console.print(f"{job} deleted")


@app.command()
def models(context: typer.Context) -> None:
    """The models that may be asked for."""
    columns = {"model": "name", "title": "title", "modality": "modality", "cost": "cost", "auto": "default"}
    console.print(simple_table(context.obj.get("/models")["items"], columns))


@app.command()
def signals(context: typer.Context, job: Annotated[str | None, typer.Argument(help="Of this job.")] = None) -> None:
    """The signals; of a job with planted glitches, how well each found them."""
    items = context.obj.get(f"/jobs/{job}/signals" if job else "/signals")["items"]
    if any(item.get("detection") for item in items):
        console.print(detection_table(items))
        return
    console.print(simple_table(items, {"signal": "name", "title": "title", "high means": "high", "source": "source"}))


@app.command()
def migrate() -> None:
    """Bring the database of SUSPECTS_DATABASE_URL to the newest schema."""
    from service.settings import Settings
    from service.store.engine import migrate as bring_up

    settings = Settings()
    bring_up(settings.database)
    console.print("The database has the newest schema.")


def _follow(client: Client, job_id: str) -> None:
    job = watch(client, job_id)
    if job["state"] != "completed":
        error = job["error"] or {"code": job["state"], "detail": ""}
        raise ApiError(f"The job {job['state']}", error["detail"] or error["code"])
    for warning in job["result"]["warnings"]:
        console.print(f"[yellow]{warning['code']}[/]: {warning['detail']}")
    answer = client.get(f"/jobs/{job_id}/suspects", limit=20)
    console.print(suspects_table(answer, f"{answer['flagged']} of {answer['total']} look mislabeled"))


if __name__ == "__main__":
    main()
