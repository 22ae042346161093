"""The demo: a real dataset with planted label errors, from upload to ranking, on a temporary stack."""

import os
import tempfile
from pathlib import Path

import numpy as np

from service.settings import Settings
from service.terminal.console import console, detection_table, show_error, suspects_table, watch
from service.terminal.processes import free_port
from service.terminal.stack import running
from usual_suspects.client import Client

_RATE = 0.1
_SHOWN = 15


def run() -> bool:
    """Run the demo; False when the job did not complete. Raises StackError and ApiError."""
    with tempfile.TemporaryDirectory(prefix="suspects-demo-", ignore_cleanup_errors=True) as name:
        # The environment may describe an installation; the demo must not touch it.
        settings = Settings(home=Path(name) / "home", database_url="", api_keys=frozenset())
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SUSPECTS_")}
        upload = Path(name) / "digits.npz"
        samples = _write_digits(upload)
        console.print(
            f"[bold]Usual Suspects[/]: {samples} handwritten digits, {_RATE:.0%} of their labels made wrong on purpose.\n"
            "Starting API, worker and Valkey …"
        )
        with running(settings, "127.0.0.1", free_port(), 1, environment) as stack, Client(stack.url) as client:
            completed = _rank(client, upload)
    console.print(
        "\nThe demo's stack has stopped and its files are gone. [bold]make up[/] starts one that stays, on "
        "[bold]http://127.0.0.1:8000[/], with the API's documentation at [bold]http://127.0.0.1:8000/docs[/].",
        soft_wrap=True,
    )
    return completed


def _rank(client: Client, upload: Path) -> bool:
    glitches = [{"kind": "mislabeled_uniform", "rate": _RATE, "seed": 0}]
    submitted = client.submit(upload, {"name": "digits", "glitches": glitches})
    job = watch(client, submitted["id"])
    if job["state"] != "completed":
        show_error(f"The job is {job['state']}", str((job["error"] or {}).get("detail", "")))
        return False
    ranking = client.get("jobs", job["id"], "suspects", limit=_SHOWN)
    console.print(suspects_table(ranking, f"the {_SHOWN} most suspicious of {ranking['total']} samples"))
    console.print(detection_table(client.get("jobs", job["id"], "signals")["items"]))
    estimate = job["result"]["estimates"]["mislabeled"]
    between = "" if estimate["low"] is None else f" (between {estimate['low']:.0f} and {estimate['high']:.0f})"
    console.print(
        f"Planted: {round(_RATE * ranking['total'])} wrong labels. "
        f"Estimated without knowing that: {estimate['count']}{between}."
    )
    return True


def _write_digits(path: Path) -> int:
    # 1,797 handwritten digits of 43 people (UCI, CC BY 4.0), which scikit-learn carries.
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = np.clip(images.reshape(-1, 8, 8) * 255 / 16, 0, 255).astype(np.uint8)
    np.savez(path, x=pixels, y=labels)
    return len(labels)
