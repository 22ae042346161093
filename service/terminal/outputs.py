"""Answers of the API as files; `-` is the standard output."""

import sys
from pathlib import Path
from typing import Any

from service.terminal.console import Printer
from usual_suspects.client import Client


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
