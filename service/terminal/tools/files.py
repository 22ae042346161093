"""Files that tools write for an agent, on the machine that they run on."""

from pathlib import Path
from typing import Any

from service.terminal.tools.answer import WrittenFile
from usual_suspects.client import ApiError, Client


def new_file(path: str) -> Path:
    """An absolute path at which nothing is. Raises ApiError: a tool overwrites no file."""
    found = Path(path).expanduser().absolute()
    if found.exists():
        raise ApiError("The file exists", f"{found} is there already, and no file is overwritten; choose another name")
    return found


def save(client: Client, output: Path, *path: str, detail: str = "", **query: Any) -> WrittenFile:
    """Write an answer of the API to a file. Raises ApiError."""
    client.save(output, *path, **query)
    return WrittenFile(path=str(output), bytes=output.stat().st_size, detail=detail)
