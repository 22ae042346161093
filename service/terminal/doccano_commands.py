"""`suspects doccano`: a project of doccano ranked, its suspects marked there, and what people decided taken back."""

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from service.terminal.client import ApiError, Client
from service.terminal.console import console
from service.terminal.doccano import Doccano

app = typer.Typer(
    name="doccano", help="Rank a project of doccano, and work on its suspects there.", no_args_is_help=True
)

Project = Annotated[int, typer.Option("--project", help="doccano's number of the project.")]
Address = Annotated[str, typer.Option("--doccano", envvar="DOCCANO_URL", help="Where doccano is.")]
User = Annotated[str, typer.Option("--user", envvar="DOCCANO_USER", help="A user who may change the project.")]
# Never among the arguments, where every user of the machine could read it.
_SECRET = typer.Option(envvar="DOCCANO_PASSWORD", prompt="doccano's password", hide_input=True, hidden=True)
Password = Annotated[str, _SECRET]
Job = Annotated[str, typer.Argument(help="Id of a job: job_…")]


@app.command()
def submit(context: typer.Context, doccano: Address, project: Project, user: User, password: Password) -> None:
    """Queue a job on the project's labelled texts; examples keep their numbers."""
    client: Client = context.obj
    with Doccano(doccano, user, password) as tool, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"doccano-{project}.zip"
        tool.export(project, file)
        job = client.submit(file, {"name": f"doccano project {project}"})
    console.print(f"{job['id']} {job['state']}")


@app.command()
def push(
    context: typer.Context,
    job: Job,
    doccano: Address,
    project: Project,
    user: User,
    password: Password,
    limit: Annotated[
        int | None, typer.Option(min=1, help="So many, the most suspicious; what is flagged when left out.")
    ] = None,
    reopen: Annotated[bool, typer.Option("--reopen", help="Take back that suspects were confirmed.")] = False,
    comment: Annotated[bool, typer.Option("--comment/--no-comment", help="Say what is suspected as a comment.")] = True,
) -> None:
    """Mark the suspects; "Lowest score first" on doccano's page then shows the suspects in their order."""
    ranked = _ranked(context.obj, job)
    suspects = list(islice(ranked, limit)) if limit else [one for one in ranked if one["verdict"] != "clean"]
    with Doccano(doccano, user, password) as tool:
        done = tool.push(project, job, suspects, datetime.now(UTC), reopen=reopen, comment=comment)
    said = f"{done.marked} marked, {done.before} of them before; {done.cleared} older marks cleared"
    console.print(
        Text(f"{said}; {done.reopened} reopened; {done.missing} are no longer in the project"), soft_wrap=True
    )


@app.command()
def reviews(
    context: typer.Context, job: Job, doccano: Address, project: Project, user: User, password: Password
) -> None:
    """Take what people decided about the marked examples as reviews of the job."""
    client: Client = context.obj
    given = {str(one["sample"]["id"]): str(one["given_label"]) for one in _ranked(client, job)}
    with Doccano(doccano, user, password) as tool:
        gone = _removed(client, job)
        found = [one for one in tool.decisions(project, job, given) if one["sample_id"] not in gone]
        if found:
            client.post_json(found, "jobs", job, "reviews")
            tool.taken(project, found)
    console.print(f"{len(found)} decisions")


def _removed(client: Client, job: str) -> set[str]:
    """Samples that were said to be removed before; an example that is gone bears no note."""
    said = _pages(client, "jobs", job, "reviews")
    return {str(one["sample_id"]) for one in said if one["decision"] == "remove"}


def _ranked(client: Client, job: str) -> Iterator[dict[str, Any]]:
    """The ranking of a job, most suspicious first. Raises ApiError for other jobs than on doccano's labels."""
    found = client.get("jobs", job)
    if found["spec"]["glitches"]:
        raise ApiError("Planted", f"{job} planted errors itself; what it suspects is not about your labels")
    read_as = found["dataset"]["inferred"]["format"]
    if not read_as.startswith("doccano"):
        raise ApiError("Not of doccano", f"the samples of {job} were read as {read_as}, not from an export of doccano")
    yield from _pages(client, "jobs", job, "suspects")


def _pages(client: Client, *path: str) -> Iterator[dict[str, Any]]:
    cursor = None
    while True:
        page = client.get(*path, limit=1000, cursor=cursor)
        yield from page["items"]
        cursor = page["next"]
        if cursor is None:
            return
