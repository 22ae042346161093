"""Commands that start processes of the service: `up`, `demo`, `migrate`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError
from rich.text import Text

from service.terminal.console import console, show_error

if TYPE_CHECKING:
    from service.settings import Settings

app = typer.Typer()


@app.command()
def up(
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but loopback needs SUSPECTS_API_KEYS.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    home: Annotated[
        Path | None, typer.Option(help="Folder of all files; default: SUSPECTS_HOME or ~/.usual-suspects.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Number of jobs that run at the same time.")] = 1,
) -> None:
    """Start the API, a worker, Valkey and SQLite on this machine. Ctrl-C stops all of them."""
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
        show_error("The stack cannot run", str(error))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.print("Stopped.")


@app.command()
def demo() -> None:
    """Rank a real dataset with planted label errors, on a stack of its own; takes about a minute."""
    from service.terminal.demo import run
    from service.terminal.stack import StackError

    started = time.monotonic()
    try:
        completed = run()
    except StackError as error:
        show_error("The demo's stack cannot run", str(error))
        raise typer.Exit(1) from None
    if not completed:
        raise typer.Exit(1)
    console.print(f"[dim]{time.monotonic() - started:.0f} s[/]")


@app.command()
def migrate() -> None:
    """Migrate the database of SUSPECTS_DATABASE_URL to the newest schema."""
    from service.terminal.stack import StackError, migrate_database

    _settings()
    try:
        migrate_database()
    except StackError as error:
        show_error("The database cannot be migrated", str(error))
        raise typer.Exit(1) from None
    console.print("The database has the newest schema.")


def _settings(home: Path | None = None) -> "Settings":
    """Settings of the environment, with this home. Exits when one is not valid."""
    from service.settings import Settings

    try:
        return Settings() if home is None else Settings(home=home)
    except ValidationError as error:
        faults = [f"SUSPECTS_{'.'.join(map(str, fault['loc'])).upper()}: {fault['msg']}" for fault in error.errors()]
        show_error("The environment has settings that are not valid", "\n".join(faults))
        raise typer.Exit(1) from None
