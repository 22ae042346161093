"""Commands that start processes of the service: `up`, `demo`, `migrate`."""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from service.terminal.arguments import AsJson, Port, Quiet
from service.terminal.console import Printer, console, show_error, show_warning

if TYPE_CHECKING:
    from service.settings import Settings

app = typer.Typer()


class MigrateAction(StrEnum):
    """What is done to the schema of the database."""

    UP = "up"
    DOWN = "down"
    STATUS = "status"


@app.command()
def up(
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but loopback needs SUSPECTS_API_KEYS.")
    ] = "127.0.0.1",
    port: Port = 8000,
    home: Annotated[
        Path | None, typer.Option(help="Folder of all files; default: SUSPECTS_HOME or ~/.usual-suspects.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Number of jobs that run at the same time.")] = 1,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Start the API, a worker, Valkey and SQLite on this machine. Ctrl-C stops all of them."""
    from service.terminal.stack import running
    from service.terminal.supervised import StackError

    settings = settings_of_environment(home)
    try:
        with running(settings, host, port, workers) as stack:
            stack.wait_until_ready()
            ready = f"Ready on {stack.url}; API documentation: {stack.url}/docs"
            Printer(as_json, quiet).line({"url": stack.url, "home": str(stack.home)}, stack.url, ready)
            if not (as_json or quiet):
                console.print(Text(f"Files and logs are in {stack.home}. Ctrl-C stops everything."), soft_wrap=True)
            console.file.flush()  # whoever waits for it, in a pipe too
            stack.watch(show_warning)
    except StackError as error:
        show_error("The stack cannot run", str(error))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        if not (as_json or quiet):
            console.print("Stopped.")


@app.command()
def demo(
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Leave the stack running, and open the page on the demo's job; Ctrl-C stops it."),
    ] = False,
    port: Annotated[int | None, typer.Option(min=1, max=65_535, help="Port to listen on; default: a free one.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Rank a real dataset with planted label errors, on a stack of its own; takes ten seconds to a minute."""
    from service.terminal.demo import run
    from service.terminal.supervised import StackError

    try:
        completed = run(Printer(as_json, quiet), keep=keep, port=port)
    except StackError as error:
        show_error("The demo's stack cannot run", str(error))
        raise typer.Exit(1) from None
    if not completed:
        raise typer.Exit(1)


@app.command()
def migrate(
    action: Annotated[
        MigrateAction, typer.Argument(help="up: to the newest schema; down: back; status: 1 if it does not fit.")
    ] = MigrateAction.UP,
    to: Annotated[str | None, typer.Option(help="Schema to go back to, such as 0014; down needs it.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Migrate the database of SUSPECTS_DATABASE_URL to the newest schema, back to an older one, or tell which it has."""
    from service.terminal.stack import migrate_database
    from service.terminal.supervised import StackError

    settings_of_environment()
    if (action is MigrateAction.DOWN) == (to is None):
        show_error("--to goes with down", "name the schema to go back to: suspects migrate down --to 0014")
        raise typer.Exit(1)
    try:
        found = migrate_database(os.environ, action.value, *([] if to is None else [to]))
    except StackError as error:
        show_error("The database cannot be migrated", str(error))
        raise typer.Exit(1) from None
    revision = found["revision"] or "none"
    newest = revision == found["newest"]
    shown = {"schema": "newest" if newest else revision, **found}
    cure = "" if action is MigrateAction.DOWN else ": suspects migrate up"
    fits = "this version can run with it" if found["fits"] else f"this version cannot run with it{cure}"
    text = (
        "The database has the newest schema."
        if newest
        else f"The database has schema {revision}, and this version knows {found['newest']}; {fits}."
    )
    Printer(as_json, quiet).line(shown, str(shown["schema"]), text)
    if action is MigrateAction.STATUS and not found["fits"]:
        raise typer.Exit(1)


def settings_of_environment(home: Path | None = None) -> "Settings":
    """Settings of the environment, with this home. Exits when one is not valid."""
    from service.environment import SettingsError, read_settings

    try:
        return read_settings() if home is None else read_settings(home=home)
    except SettingsError as error:
        show_error("The environment has settings that are not valid", str(error))
        raise typer.Exit(1) from None
