"""The `suspects` command: the service from a terminal.

Commands speak with the API over HTTP. `up`, `demo` and `migrate` start processes of the service.
"""

from importlib.metadata import version
from typing import Annotated

import typer

from service.terminal import doccano_commands, job_commands, result_commands, stack_commands
from service.terminal.console import console, show_api_error
from usual_suspects.client import ApiError, Client

app = typer.Typer(
    name="suspects",
    help="Find the wrong samples of a labelled training set.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (stack_commands, job_commands, result_commands, doccano_commands):
    app.add_typer(commands.app)


def main() -> None:
    """Run a command. A problem that the API reports is printed, and the exit code is 1."""
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
    url: Annotated[str, typer.Option(envvar="SUSPECTS_URL", help="URL of the service.")] = "http://127.0.0.1:8000",
    key: Annotated[str | None, typer.Option(envvar="SUSPECTS_KEY", help="API key of the service.")] = None,
    show_version: Annotated[  # noqa: ARG001 - its callback does it
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    context.obj = context.with_resource(Client(url, key))


if __name__ == "__main__":
    main()
