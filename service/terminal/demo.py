"""The demo: a real dataset with planted label errors, from upload to ranking, on a temporary stack."""

import os
import sys
import tempfile
import time
import webbrowser
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.text import Text

from service.settings import Settings
from service.terminal.console import Printer, console, errors, show_error, show_warning
from service.terminal.processes import free_port
from service.terminal.progress import watch
from service.terminal.ranking_columns import DETECTION, detected, suspect_columns
from service.terminal.stack import Stack, running
from service.terminal.supervised import StackError
from usual_suspects.client import Client

_SAMPLES = 1_797
_RATE = 0.1
_SHOWN = 15


def run(printer: Printer, *, keep: bool = False, port: int | None = None) -> bool:
    """Run the demo; False when the job did not complete. Raises StackError and ApiError.

    With `keep` its stack runs until it is interrupted, and the page opens on the demo's job.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="suspects-demo-", ignore_cleanup_errors=True) as name:
        # The environment may describe an installation; the demo must not touch it.
        settings = Settings(home=Path(name) / "home", database_url="", api_keys=())
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SUSPECTS_")}
        _say(f"Usual Suspects: {_SAMPLES} handwritten digits, {_RATE:.0%} of their labels made wrong on purpose.")
        _say("Starting API, worker and Valkey …")
        with running(settings, "127.0.0.1", port or free_port(), 1, environment, temporary=True) as stack:
            job = _rank(stack, _digits(Path(name)), printer)
            if job is not None:
                _say(f"{time.monotonic() - started:.0f} s")
            if job is not None and keep:
                _keep(stack, job)
                return True
    if job is not None:
        program = sys.argv[0]  # as it was called: under make it is not on the path
        _say("The demo's stack has stopped and its files are gone.")
        _say(f"To see the result on the page: {program} demo --keep")
        _say(f"To start a service that stays: {program} up, then open http://127.0.0.1:8000")
    return job is not None


def _say(text: str) -> None:
    """Print a sentence beside the results, to stderr, so that a pipe gets the results alone."""
    errors.print(Text(text), soft_wrap=True)


def _keep(stack: Stack, job: str) -> None:
    """Show the page on the job until the stack is interrupted. Raises StackError."""
    console.file.flush()  # whoever reads a pipe waits for the results
    page = f"{stack.url}/#/jobs/{job}"
    opened = console.is_terminal and _has_display() and webbrowser.open(page)
    _say(f"{'The page is open in your browser' if opened else 'The page is at'}: {page}")
    _say("Ctrl-C stops the demo and deletes its files.")
    try:
        stack.watch(show_warning)
    except KeyboardInterrupt:
        _say("Stopped.")


def _has_display() -> bool:
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _rank(stack: Stack, upload: Path, printer: Printer) -> str | None:
    """Id of the completed job; None when it did not complete."""
    glitches = [{"kind": "mislabeled_uniform", "rate": _RATE, "seed": 0}]
    with Client(stack.url) as client:
        stack.wait_for_api()
        # The job waits in the queue until the worker has started.
        submitted = client.post_file(upload, {"name": "digits", "glitches": glitches}, "jobs")
        stack.wait_until_ready()
        job = watch(client, submitted["id"])
        if job["state"] != "completed":
            show_error(f"The job is {job['state']}", str((job["error"] or {}).get("detail", "")))
            return None
        _show(client, job, printer)
    return str(job["id"])


def _show(client: Client, job: dict[str, Any], printer: Printer) -> None:
    ranking = client.get("jobs", job["id"], "suspects", limit=_SHOWN)
    signals = client.get("jobs", job["id"], "signals")["items"]
    answer = {"job": job, "suspects": ranking, "signals": signals}
    columns = suspect_columns(ranking, person=console.is_terminal)
    title = f"the {_SHOWN} most suspicious of {ranking['total']} samples"
    printer.rows(answer, ranking["items"], columns, name="sample.id", title=title)
    if not (printer.as_json or printer.quiet):
        title = "how well each signal finds what was planted"
        printer.rows(signals, detected(signals), DETECTION, name="name", title=title)
    estimate = job["result"]["estimates"]["mislabeled"]
    between = "" if estimate["low"] is None else f" (between {estimate['low']:.0f} and {estimate['high']:.0f})"
    planted = round(_RATE * ranking["total"])
    told = "cannot tell" if estimate["status"] == "unknown" else f"{estimate['count']}{between}"
    _say(f"Planted: {planted} wrong labels. Estimated without knowing that: {told}.")


def _digits(folder: Path) -> Path:
    """A file of 1,797 handwritten digits of 43 people (UCI, CC BY 4.0), which scikit-learn carries."""
    import numpy as np

    # Read without scikit-learn, which takes a second to import.
    package = find_spec("sklearn")
    places = package.submodule_search_locations if package is not None else None
    if not places:
        raise StackError("scikit-learn, which has the digits, is not installed: pip install 'usual-suspects[embedded]'")
    rows = np.loadtxt(Path(places[0], "datasets/data/digits.csv.gz"), delimiter=",")
    pixels = np.clip(rows[:, :-1].reshape(-1, 8, 8) * 255 / 16, 0, 255).astype(np.uint8)
    path = folder / "digits.npz"
    np.savez(path, x=pixels, y=rows[:, -1].astype(np.int64))
    return path
