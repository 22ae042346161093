"""The command that serves tools to agents: `suspects mcp`."""

import secrets
import socket
import sys
from typing import Annotated

import typer
from rich.text import Text

from service.terminal.console import errors, show_error

app = typer.Typer()


@app.command()
def mcp(
    context: typer.Context,
    port: Annotated[
        int | None,
        typer.Option(
            "--http", metavar="PORT", min=1, max=65_535, help="Serve streamable HTTP on 127.0.0.1 instead of stdio."
        ),
    ] = None,
    # Never among the arguments, where every user of the machine could read it.
    token: Annotated[
        str | None, typer.Option(envvar="SUSPECTS_MCP_TOKEN", hidden=True, help="Token that clients over HTTP send.")
    ] = None,
) -> None:
    """Serve the verbs of this command line as tools for agents, over the Model Context Protocol."""
    try:
        # Its packages would slow every other command down.
        from service.terminal.tools.server import HOST, PATH, serve_http, serve_stdio
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "mcp":
            raise
        show_error("A package is missing", "install it with: pip install 'usual-suspects[mcp]'")
        raise typer.Exit(1) from None
    if port is None:
        if sys.stdin.isatty():
            errors.print(
                Text("Waiting for a client of the Model Context Protocol on stdin. Ctrl-C ends."), soft_wrap=True
            )
        serve_stdio(context.obj)
        return
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        show_error("The port cannot be used", f"{HOST}:{port}: {error.strerror}; choose another with --http")
        raise typer.Exit(1) from None
    chosen = token or secrets.token_urlsafe(24)
    shown = "Bearer and the token of SUSPECTS_MCP_TOKEN" if token else f"Bearer {chosen}"
    errors.print(Text(f"Tools on http://{HOST}:{port}{PATH}; Authorization: {shown}. Ctrl-C ends."), soft_wrap=True)
    with listening:
        serve_http(context.obj, listening, chosen)
