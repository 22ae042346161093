"""The `suspects` command: the service from a terminal.

Commands speak with the API over HTTP. `up`, `demo` and `migrate` start processes of the service.
"""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from itertools import islice
from typing import Annotated

import typer

from service.terminal import (
    audit_commands,
    dataset_commands,
    doccano_commands,
    doctor_commands,
    integration_commands,
    issue_commands,
    job_commands,
    key_commands,
    mcp_commands,
    result_commands,
    review_commands,
    stack_commands,
    version_commands,
)
from service.terminal.console import console, errors, show_api_error, write
from service.terminal.outputs import whole_output
from usual_suspects.client import ApiError, Client

_SETTINGS = {"help_option_names": ["-h", "--help"]}
_WIDE = 400  # of help that no terminal shows: nothing is cut

app = typer.Typer(
    name="suspects",
    help="Find the wrong samples of a labelled training set.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=_SETTINGS,
)
# In the order of `suspects --help`.
for commands in (
    stack_commands,
    doctor_commands,
    job_commands,
    result_commands,
    issue_commands,
    review_commands,
    audit_commands,
    version_commands,
    dataset_commands,
    integration_commands,
    doccano_commands,
    key_commands,
    mcp_commands,
):
    app.add_typer(commands.app)


def main() -> None:
    """Run a command.

    Exit codes: 0 done; 1 the service refused or failed, and stderr says why; 2 the command line is not valid;
    130 interrupted.
    """
    # Help and usage errors of typer have boxes as well.
    person = console.is_terminal and errors.is_terminal
    app.rich_markup_mode = "rich" if person else None
    app.info.context_settings = {**_SETTINGS, **({} if person else {"terminal_width": _WIDE})}
    try:
        with whole_output():
            app(url_first(sys.argv[1:]))
    except ApiError as error:
        show_api_error(error)
        raise SystemExit(1) from None


def url_first(arguments: Sequence[str]) -> list[str]:
    """The arguments with the address of the service, and the key for it, before the verb: they may stand after it, too."""
    first: list[str] = []
    others: list[str] = []
    left = iter(arguments)
    for one in left:
        if one == "--":
            others += [one, *left]
        elif _is_of_the_service(one, others):
            first += [one] if "=" in one else [one, *islice(left, 1)]
        else:
            others.append(one)
    return [*first, *others]


def _is_of_the_service(argument: str, before: Sequence[str]) -> bool:
    name = argument.partition("=")[0]
    # `suspects keys log --key` names a key whose log is asked for.
    return name == "--url" or (name == "--key" and before[:1] != ["keys"])


def _show_version(asked: bool) -> None:
    if asked:
        write(version("usual-suspects"))
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
