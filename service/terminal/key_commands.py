"""Commands for keys and the audit log: `suspects keys list`, `create`, `rotate`, `revoke` and `log`."""

from typing import Annotated

import typer

from service.terminal.arguments import AsJson, Limit, Quiet
from service.terminal.console import OutputColumn, Printer
from usual_suspects.client import Client

app = typer.Typer(
    name="keys",
    help="Create, list, replace and revoke keys. They need a key with the scope admin.",
    no_args_is_help=True,
)

Key = Annotated[str, typer.Argument(help="Id of a key: key_…")]


@app.command("list")
def list_keys(context: typer.Context, limit: Limit = 20, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """List the keys, newest first, without their secrets."""
    answer = context.obj.get("keys", limit=limit)
    columns = [
        OutputColumn("key", "id", kept=True),
        OutputColumn("name", "name"),
        OutputColumn("project", "project"),
        OutputColumn("scopes", "scopes", shown=lambda row: ", ".join(row["scopes"])),
        OutputColumn("expires", "expires_at"),
        OutputColumn("last used", "last_used_at"),
    ]
    Printer(as_json, quiet).rows(answer, answer["items"], columns)


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Who or what uses it. Reviews with this key have it as reviewer.")],
    scope: Annotated[list[str], typer.Option(help="read, review, submit or admin; may be repeated.")] = ["read"],  # noqa: B006 - typer copies it
    project: Annotated[str, typer.Option(help="Project whose resources it sees.")] = "default",
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="When it expires, as 2027-01-31T00:00:00Z; default: never.")
    ] = None,
    requests_per_minute: Annotated[int | None, typer.Option(min=1, help="Quota of requests.")] = None,
    jobs_per_day: Annotated[int | None, typer.Option(min=1, help="Quota of jobs.")] = None,
    bytes_per_day: Annotated[int | None, typer.Option(min=1, help="Quota of uploaded bytes.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Create a key and print it. It is shown this once."""
    quota = {
        "requests_per_minute": requests_per_minute,
        "jobs_per_day": jobs_per_day,
        "bytes_per_day": bytes_per_day,
    }
    body = {"name": name, "scopes": scope, "project": project, "expires_at": expires, "quota": quota}
    answer = context.obj.post_json(body, "keys")
    Printer(as_json, quiet).line(answer, answer["key"], answer["key"])


@app.command()
def rotate(
    context: typer.Context,
    key: Key,
    grace_seconds: Annotated[int, typer.Option(min=0, help="Time for which the old key still works.")] = 3600,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Replace a key: print a new one like it, and let the old one expire."""
    answer = context.obj.post_json({"grace_seconds": grace_seconds}, "keys", key, "rotate")
    Printer(as_json, quiet).line(answer, answer["key"], answer["key"])


@app.command()
def revoke(context: typer.Context, key: Key, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Revoke a key at once."""
    client: Client = context.obj
    client.delete("keys", key)
    Printer(as_json, quiet).line({"id": key}, key, f"{key} revoked")


@app.command()
def log(
    context: typer.Context,
    key: Annotated[str | None, typer.Option(help="Only what was done with this key: its id.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show the audit log: who did what, when and from where, newest first."""
    answer = context.obj.get("audit-log", limit=limit, key=key)
    columns = [
        OutputColumn("at", "at", kept=True),
        OutputColumn("name", "name"),
        OutputColumn("project", "project"),
        OutputColumn("address", "address"),
        OutputColumn("method", "method"),
        OutputColumn("path", "path"),
        OutputColumn("status", "status", right=True),
    ]
    Printer(as_json, quiet).rows(answer, answer["items"], columns, name="seq")
