"""Commands for a doccano project: `suspects doccano submit`, `push` and `reviews`."""

import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from service.domain.verdict import FLAGGED
from service.terminal.arguments import AsJson, Job, Quiet, secret
from service.terminal.console import Printer
from service.terminal.doccano import Doccano
from usual_suspects.client import ApiError, Client

app = typer.Typer(
    name="doccano", help="Rank a doccano project, and review its suspects in doccano.", no_args_is_help=True
)

Project = Annotated[int, typer.Option("--project", help="Number of the project in doccano.")]
Address = Annotated[str, typer.Option("--doccano", envvar="DOCCANO_URL", help="URL of doccano.")]
User = Annotated[
    str, typer.Option("--user", envvar="DOCCANO_USER", help="Name of a doccano user who may change the project.")
]
# Never among the arguments, where every user of the machine could read it.
Password = Annotated[str | None, typer.Option(envvar="DOCCANO_PASSWORD", hidden=True, help="Its password.")]


@app.command()
def submit(
    context: typer.Context,
    doccano: Address,
    project: Project,
    user: User,
    password: Password = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Submit a job on the project's labelled texts. Sample ids are the numbers of the examples."""
    client: Client = context.obj
    with _open(doccano, user, password) as tool, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"doccano-{project}.zip"
        tool.export(project, file)
        job = client.post_file(file, {"name": f"doccano project {project}"}, "jobs")
    Printer(as_json, quiet).line(job, job["id"], f"{job['id']} {job['state']}")


@app.command()
def push(
    context: typer.Context,
    job: Job,
    doccano: Address,
    project: Project,
    user: User,
    password: Password = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Mark this many of the most suspicious; default: all flagged ones.")
    ] = None,
    reopen: Annotated[
        bool, typer.Option("--reopen", help="Set suspects that were confirmed back to unconfirmed.")
    ] = False,
    comment: Annotated[bool, typer.Option("--comment/--no-comment", help="Write the reason as a comment.")] = True,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Mark the suspects in doccano. Its order "Lowest score first" then shows the most suspicious first."""
    ranked = _ranked(context.obj, job)
    suspects = list(islice(ranked, limit)) if limit else [one for one in ranked if one["verdict"] in FLAGGED]
    with _open(doccano, user, password) as tool:
        done = tool.push(project, job, suspects, datetime.now(UTC), reopen=reopen, comment=comment)
    text = f"{done.marked} marked, {done.before} of them before; {done.cleared} older marks cleared"
    text = f"{text}; {done.reopened} reopened; {done.missing} are no longer in the project"
    Printer(as_json, quiet).line(asdict(done), job, text)


@app.command()
def reviews(
    context: typer.Context,
    job: Job,
    doccano: Address,
    project: Project,
    user: User,
    password: Password = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Save the decisions on marked examples as reviews of the job."""
    client: Client = context.obj
    given = {str(one["sample"]["id"]): str(one["given_label"]) for one in _ranked(client, job)}
    with _open(doccano, user, password) as tool:
        gone = _removed(client, job)
        found = [one for one in tool.decisions(project, job, given) if one["sample_id"] not in gone]
        if found:
            client.post_json(found, "jobs", job, "reviews")
            tool.mark_recorded(project, found)
    Printer(as_json, quiet).line({"recorded": len(found)}, job, f"{len(found)} decisions")


def _open(url: str, user: str, password: str | None) -> Doccano:
    return Doccano(url, user, secret(password, "doccano's password", "DOCCANO_PASSWORD"))


def _removed(client: Client, job: str) -> set[str]:
    """Samples with an earlier decision to remove; a deleted example cannot hold a mark."""
    reviews_of_job = _pages(client, "jobs", job, "reviews")
    return {str(one["sample_id"]) for one in reviews_of_job if one["decision"] == "remove"}


def _ranked(client: Client, job: str) -> Iterator[dict[str, Any]]:
    """Ranking of a job, most suspicious first. Raises ApiError for a job whose labels are not those of doccano."""
    found = client.get("jobs", job)
    if found["spec"]["glitches"]:
        raise ApiError("Planted errors", f"{job} has planted label errors, so its ranking is not of your labels")
    read_as = found["dataset"]["inferred"]["format"]
    if not read_as.startswith("doccano"):
        raise ApiError("Not from doccano", f"the dataset of {job} was read as {read_as}, not as an export of doccano")
    yield from _pages(client, "jobs", job, "suspects")


def _pages(client: Client, *path: str) -> Iterator[dict[str, Any]]:
    cursor = None
    while True:
        page = client.get(*path, limit=1000, cursor=cursor)
        yield from page["items"]
        cursor = page["next"]
        if cursor is None:
            return
