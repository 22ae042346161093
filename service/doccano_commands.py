"""`suspects doccano`: a project of doccano ranked, its suspects marked there, and what people decided taken back."""

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from service.client import ApiError, Client
from service.console import console
from service.doccano import Doccano

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
        found = tool.decisions(project, job, given)
    if found:
        client.post_json(found, "jobs", job, "reviews")
    console.print(f"{len(found)} decisions")


def _ranked(client: Client, job: str) -> Iterator[dict[str, Any]]:
    """The ranking of a job, most suspicious first. Raises ApiError for a job whose samples are no examples of doccano."""
    read_as = client.get("jobs", job)["dataset"]["inferred"]["format"]
    if not read_as.startswith("doccano"):
        raise ApiError("Not of doccano", f"the samples of {job} were read as {read_as}, not from an export of doccano")
    cursor = None
    while True:
        page = client.get("jobs", job, "suspects", limit=1000, cursor=cursor)
        yield from page["items"]
        cursor = page["next"]
        if cursor is None:
            return
