"""The command that examines an installation: `suspects doctor`."""

from collections.abc import Mapping
from typing import Any

import typer
from rich.text import Text

from service.terminal.arguments import AsJson, Quiet
from service.terminal.console import OutputColumn, Printer
from service.terminal.stack_commands import settings_of_environment
from usual_suspects.client import Client

app = typer.Typer()

_COLOURS = {"ok": "green", "note": "yellow", "fault": "bold red"}


def _status(row: Mapping[str, Any]) -> Text:
    return Text(row["status"], _COLOURS[row["status"]])


@app.command()
def doctor(context: typer.Context, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Check what is installed, reachable, writable and at hand. -q prints the names of faults; with one the exit code is 1."""
    # Its packages would slow every other command down.
    from service.terminal.doctor import examine

    root = context.find_root()
    source = root.get_parameter_source("url")
    expected = source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")
    # Without retries: what fails for a passing reason is what a person looks for here.
    with Client(root.params["url"], root.params["key"], retries=0) as client:
        found = [one.as_json for one in examine(settings_of_environment(), client, expected=expected)]
    faults = [one for one in found if one["status"] == "fault"]
    columns = [
        OutputColumn("check", "check"),
        OutputColumn("status", "status", shown=_status),
        OutputColumn("detail", "detail"),
        OutputColumn("cure", "cure"),
    ]
    answer = {"items": found, "total": len(found), "faults": len(faults)}
    Printer(as_json, quiet).rows(answer, faults if quiet else found, columns, name="check")
    if faults:
        raise typer.Exit(1)
