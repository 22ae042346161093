"""Commands for labelling tools, networks and webhooks."""

from typing import Annotated

import typer

from service.terminal.arguments import AsJson, Job, Limit, Quiet, secret
from service.terminal.console import OutputColumn, Printer
from usual_suspects.client import Client

app = typer.Typer()


@app.command()
def connect(
    context: typer.Context,
    tool: Annotated[str, typer.Argument(metavar="URL", help="URL of the tool's front page.")],
    kind: Annotated[str, typer.Option(help="The labelling tool: label_studio.")] = "label_studio",
    name: Annotated[str | None, typer.Option(help="Name of the connection; default: the host.")] = None,
    # Never among the arguments, where every user of the machine could read it.
    token: Annotated[str | None, typer.Option(envvar="LABEL_STUDIO_TOKEN", hidden=True, help="Its token.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Connect a labelling tool. Its token comes from LABEL_STUDIO_TOKEN, or is asked for; the service keeps it encrypted."""
    body = {"kind": kind, "url": tool, "token": secret(token, "its access token", "LABEL_STUDIO_TOKEN")}
    answer = context.obj.post_json({**body, **({"name": name} if name else {})}, "connections")
    seen = answer["seen"]
    Printer(as_json, quiet).line(
        answer, answer["id"], f"{answer['id']} {answer['name']}: {seen['user']} sees {seen['projects']} projects"
    )


@app.command()
def connections(context: typer.Context, limit: Limit = 20, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List the connected labelling tools."""
    answer = context.obj.get("connections", limit=limit)
    columns = [
        OutputColumn("connection", "id", kept=True),
        OutputColumn("name", "name"),
        OutputColumn("url", "url"),
        OutputColumn("user", "seen.user"),
        OutputColumn("projects", "seen.projects", right=True),
        OutputColumn("created", "created_at"),
    ]
    Printer(as_json, quiet).rows(answer, answer["items"], columns)


@app.command()
def push(
    context: typer.Context,
    job: Job,
    mode: Annotated[str, typer.Option(help="predictions, tab, review_project or requeue.")] = "tab",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Largest number of tasks, the most suspicious first.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take the tasks of a requeue out of the queue again.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write the suspects of a job into the labelling tool that its tasks came from."""
    client: Client = context.obj
    printer = Printer(as_json, quiet)
    if undo:
        done = client.post("jobs", job, "push", "undo")
        printer.line(done, job, f"{done['restored']} restored, {done['kept']} left as they are")
        return
    body = {"mode": mode, "dry_run": dry_run, **({} if limit is None else {"limit": limit})}
    answer = client.post_json(body, "jobs", job, "push")
    would = "would be " if dry_run else ""
    text = f"{answer['predictions']} tasks with predictions, {answer['written']} {would}written; {answer['suspects']} suspects"
    printer.line(answer, job, f"{text}; see {answer['url']}")


@app.command()
def reconcile(context: typer.Context, job: Job, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Read what people have decided in the labelling tool, as reviews of the job."""
    answer = context.obj.post("jobs", job, "reconcile")
    Printer(as_json, quiet).line(answer, job, f"{answer['recorded']} new decisions, {answer['tasks']} tasks")


@app.command()
def networks(context: typer.Context, limit: Limit = 20, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List the uploaded networks."""
    answer = context.obj.get("networks", limit=limit)
    columns = [
        OutputColumn("network", "id", kept=True),
        OutputColumn("name", "name"),
        OutputColumn("kind", "kind"),
        OutputColumn("tensors", "tensors", right=True),
        OutputColumn("numbers", "numbers", right=True),
        OutputColumn("created", "created_at"),
    ]
    Printer(as_json, quiet).rows(answer, answer["items"], columns)


@app.command()
def deliveries(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="Only those in this state: pending, delivered or dead.")] = None,
    job: Annotated[str | None, typer.Option(help="Only those about this job.")] = None,
    again: Annotated[str | None, typer.Option("--retry", help="Send this message again, which was given up.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the messages to webhooks, newest first; --retry sends one again."""
    client: Client = context.obj
    printer = Printer(as_json, quiet)
    if again is not None:
        sent = client.post("deliveries", again, "retry")
        printer.line(sent, sent["id"], f"{sent['id']} {sent['state']}")
        return
    answer = client.get("deliveries", state=state, job=job, limit=limit)
    columns = [
        OutputColumn("delivery", "id", kept=True),
        OutputColumn("job", "job", kept=True),
        OutputColumn("event", "event"),
        OutputColumn("state", "state"),
        OutputColumn("attempts", "attempts", right=True),
        OutputColumn("status", "status", right=True),
        OutputColumn("error", "error"),
        OutputColumn("url", "url"),
    ]
    printer.rows(answer, answer["items"], columns)
