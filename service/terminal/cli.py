"""`suspects`: the service from a terminal. Everything but `up`, `demo` and `migrate` goes over the REST API."""

import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from service.terminal.client import ApiError, Client
from service.terminal.console import (
    console,
    detection_table,
    show_api_error,
    show_error,
    simple_table,
    suspects_table,
    watch,
)
from service.terminal.doccano_commands import app as doccano

if TYPE_CHECKING:
    from service.settings import Settings

app = typer.Typer(
    name="suspects",
    help="Which samples of a training set are wrong.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(doccano)

Job = Annotated[str, typer.Argument(help="Id of a job: job_…")]
_INFLUENTIAL = {"sample": "id", "label": "label", "influence": "influence"}
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]
By = Annotated[str, typer.Option(help="mislabeled, anomalous, or any signal of `suspects signals`.")]
Label = Annotated[str | None, typer.Option(help="Only samples with this given label.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many to show.")]


def main() -> None:
    """Run a command; a problem that the service told is one red block and exit code 1."""
    try:
        app()
    except ApiError as error:
        show_api_error(error)
        raise SystemExit(1) from None


def _show_version(asked: bool) -> None:
    if asked:
        console.print(version("usual-suspects"))
        raise typer.Exit


@app.callback()
def _connect(
    context: typer.Context,
    url: Annotated[str, typer.Option(envvar="SUSPECTS_URL", help="Where the service is.")] = "http://127.0.0.1:8000",
    key: Annotated[str | None, typer.Option(envvar="SUSPECTS_KEY", help="A key of the service.")] = None,
    show_version: Annotated[  # noqa: ARG001 - its callback does it
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    context.obj = context.with_resource(Client(url, key))


@app.command()
def up(
    host: Annotated[
        str, typer.Option(help="Address to serve; others than loopback need SUSPECTS_API_KEYS.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to serve.")] = 8000,
    home: Annotated[
        Path | None, typer.Option(help="Folder for everything; SUSPECTS_HOME or ~/.usual-suspects when left out.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="How many jobs run at a time.")] = 1,
) -> None:
    """Start the embedded stack: API, worker, Valkey, SQLite. Ctrl-C stops it all."""
    from service.terminal.stack import StackError, running

    settings = _settings(home)
    try:
        with running(settings, host, port, workers) as stack:
            console.print(
                f"[green]Ready[/] on [bold]{stack.url}[/]; API documentation: {stack.url}/docs", soft_wrap=True
            )
            console.print(Text(f"Files and logs are in {stack.home}. Ctrl-C stops everything."), soft_wrap=True)
            stack.watch(lambda message: console.print(Text(message, "yellow"), soft_wrap=True))
    except StackError as error:
        show_error("The stack does not run", str(error))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.print("Stopped.")


@app.command()
def demo() -> None:
    """Rank a real dataset with known errors planted, on a stack of its own, in under a minute."""
    from service.terminal.demo import run
    from service.terminal.stack import StackError

    started = time.monotonic()
    try:
        completed = run()
    except StackError as error:
        show_error("The demo's stack does not run", str(error))
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
    model: Annotated[
        str | None, typer.Option(help="One of `suspects models`; chosen by the data when left out.")
    ] = None,
    network: Annotated[
        Path | None,
        typer.Option(
            help="Begin with a network of yours: a .pt2 of torch.export, or .safetensors weights for --model."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="The model's own default when left out.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same ranking; 0 when left out.")] = None,
    reference_split: Annotated[str | None, typer.Option(help="A split that people have verified.")] = None,
    holdout: Annotated[float | None, typer.Option(help="Share to hold out as reference.")] = None,
    glitch_rate: Annotated[
        float | None, typer.Option(help="Plant this share of wrong labels, to see what is found.")
    ] = None,
    spec: Annotated[str, typer.Option(help="More of the job as JSON, see POST /jobs; the options above win.")] = "{}",
    name: Annotated[str | None, typer.Option(help="Shown in lists.")] = None,
    follow: Annotated[bool, typer.Option("--watch/--no-watch", help="Show progress and the ranking.")] = True,
) -> None:
    """Upload a dataset, train on it, rank its samples."""
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
        _begin_with(body, client.upload_network(network), model)
    job = client.submit(file, body)
    console.print(f"{job['id']} {job['state']}")
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
    limit: Limit = 20,
) -> None:
    """The newest jobs."""
    answer = context.obj.get("jobs", state=state, limit=limit)
    columns = {"job": "id", "name": "name", "state": "state", "model": "spec.model.name", "created": "created_at"}
    console.print(simple_table(answer["items"], columns))


@app.command()
def datasets(context: typer.Context, limit: Limit = 20) -> None:
    """The newest datasets."""
    answer = context.obj.get("datasets", limit=limit)
    columns = {"dataset": "id", "name": "name", "modality": "modality", "rows": "rows", "created": "created_at"}
    console.print(simple_table(answer["items"], columns))


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
    """The most suspicious samples of a completed job."""
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
    """Everything that a job knows of one sample, and why it is suspicious."""
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
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    form: Annotated[
        str,
        typer.Option("--format", help="csv, jsonl, parquet, cleanlab, or a labelling tool: label_studio, prodigy, …"),
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
        Path | None, typer.Option("--output", "-o", help="The file to write; called after the job when left out.")
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="html or md; by the file's ending, or html, when left out.")
    ] = None,
) -> None:
    """Write what a completed job found, for people: one page with plots, or Markdown."""
    if form is None:
        form = "md" if output is not None and output.suffix == ".md" else "html"
    written = output or Path(f"{job}-report.{form}")
    context.obj.save(written, "jobs", job, "report", format=form)
    console.print(Text(f"{written} written"), soft_wrap=True)


@app.command()
def cancel(context: typer.Context, job: Job) -> None:
    """Stop a job."""
    console.print(f"{job} {context.obj.post('jobs', job, 'cancel')['state']}")


@app.command()
def retry(context: typer.Context, job: Job) -> None:
    """Queue a failed or cancelled job again; it goes on from its last checkpoint."""
    console.print(f"{job} {context.obj.post('jobs', job, 'retry')['state']}")


@app.command()
def delete(context: typer.Context, job: Job) -> None:
    """Delete a job, its ranking and its files."""
    context.obj.delete("jobs", job)
    console.print(f"{job} deleted")


@app.command()
def models(context: typer.Context) -> None:
    """The models that may be asked for."""
    columns = {"model": "name", "title": "title", "modality": "modality", "cost": "cost", "auto": "default"}
    console.print(simple_table(context.obj.get("models")["items"], columns))


@app.command()
def signals(context: typer.Context, job: Annotated[str | None, typer.Argument(help="Of this job.")] = None) -> None:
    """The signals; of a job with planted glitches, how well each found them."""
    items = (context.obj.get("jobs", job, "signals") if job else context.obj.get("signals"))["items"]
    if any(item.get("detection") for item in items):
        console.print(detection_table(items))
        return
    console.print(simple_table(items, {"signal": "name", "title": "title", "high means": "high", "source": "source"}))


@app.command()
def migrate() -> None:
    """Bring the database of SUSPECTS_DATABASE_URL to the newest schema."""
    from service.store.engine import migrate as bring_up

    settings = _settings()
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        bring_up(settings.database)
    except (OSError, SQLAlchemyError) as error:
        show_error("The database cannot be brought up to date", str(getattr(error, "orig", None) or error))
        raise typer.Exit(1) from None
    console.print("The database has the newest schema.")


def _follow(client: Client, job_id: str) -> None:
    job = watch(client, job_id)
    if job["state"] != "completed":
        error = job["error"] or {"code": job["state"], "detail": f"{job_id} was {job['state']}"}
        raise ApiError(f"The job is {job['state']}", error["detail"] or error["code"])
    for warning in job["result"]["warnings"]:
        console.print(Text(f"{warning['code']}: {warning['detail']}", "yellow"))
    answer = client.get("jobs", job_id, "suspects", limit=20)
    console.print(suspects_table(answer, f"{answer['flagged']} of {answer['total']} look mislabeled"))


def _settings(home: Path | None = None) -> "Settings":
    """What the environment says, and this home. Exits when it says what cannot be."""
    from service.settings import Settings

    try:
        return Settings() if home is None else Settings(home=home)
    except ValidationError as error:
        faults = [f"SUSPECTS_{'.'.join(map(str, fault['loc'])).upper()}: {fault['msg']}" for fault in error.errors()]
        show_error("The environment sets what cannot be", "\n".join(faults))
        raise typer.Exit(1) from None


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


def _begin_with(body: dict[str, Any], network: dict[str, Any], model: str | None) -> None:
    """Name an uploaded network in the body: a program is a model by itself, weights are for the model that was named."""
    if network["kind"] == "program":
        _put(body, "model", name=model or "exported", params={"network": network["id"]})
    else:
        params = {"network": network["id"], "architecture": model}
        _put(body, "model", name="safetensors", params={name: value for name, value in params.items() if value})


def _put(body: dict[str, Any], part: str, **given: Any) -> None:
    """Set what was given in one part of the body; a part that is not an object is the service's to refuse."""
    chosen = {name: value for name, value in given.items() if value is not None}
    if chosen:
        before = body.get(part)
        body[part] = {**(before if isinstance(before, dict) else {}), **chosen}


if __name__ == "__main__":
    main()
