"""Sources that scripts write, in the format of the others."""

import subprocess
import sys
from pathlib import Path


def formatted(source: str, target: Path) -> str:
    """A source as `make format` would leave it in the file `target`."""
    ruff = Path(sys.executable).with_name("ruff")
    for command in (["check", "--fix-only", "--quiet"], ["format"]):
        done = subprocess.run(  # noqa: S603 - fixed commands
            [ruff, *command, "--stdin-filename", target, "-"],
            input=source,
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        )
        source = done.stdout
    return source
