"""Answers of the API as files; `-` is the standard output."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from service.terminal.console import Printer
from usual_suspects.client import ApiError, Client


@contextmanager
def whole_output() -> Iterator[None]:
    """Raise ApiError where what a command prints cannot be written, as on a full disk; also what waits to be written at its end."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has seen enough
        _silence()
        raise SystemExit(1) from None
    except OSError as error:
        _silence()
        reason = error.strerror or str(error)
        if error.filename is not None:
            raise ApiError("Cannot open the file", f"{error.filename}: {reason}") from error
        raise ApiError("Cannot write the output", reason) from error


def _silence() -> None:
    """Let nothing that is left be written at the end of the process, which would be told once more."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)


def is_stdout(output: Path) -> bool:
    """Whether the standard output is meant."""
    return str(output) == "-"


def save(client: Client, output: Path, printer: Printer, *path: str, **query: Any) -> None:
    """Write an answer of the API into a file, and say so; to the standard output nothing is added. Raises ApiError and OSError."""
    if not is_stdout(output):
        client.save(output, *path, **query)
        printer.line({"written": str(output)}, str(output), f"{output} written")
        return
    sys.stdout.flush()
    sys.stdout.buffer.writelines(client.stream(*path, **query))
    sys.stdout.buffer.flush()
