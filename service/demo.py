"""`suspects demo`: a real dataset with known errors, from upload to ranking, on a stack that lives for a minute."""

import tempfile
from pathlib import Path

import numpy as np

from service.client import Client
from service.console import console, detection_table, suspects_table, watch
from service.embedded import free_port, running
from service.settings import Settings

_SHARE = 0.1
_SHOWN = 15


def run() -> bool:
    """Run it; False when the job did not complete."""
    with tempfile.TemporaryDirectory(prefix="suspects-demo-") as name:
        home = Path(name)
        upload = home / "digits.npz"
        samples = _write_digits(upload)
        console.print(
            f"[bold]Usual Suspects[/] — {samples} scanned digits, {_SHARE:.0%} of whose labels will be made wrong.\n"
            "Starting API, worker and Valkey …"
        )
        with running(home, "127.0.0.1", free_port(), 1, Settings(home=home, database_url="")) as stack:
            client = Client(stack.url)
            glitches = [{"kind": "mislabeled_uniform", "rate": _SHARE, "seed": 0}]
            job = client.submit(upload, {"name": "digits", "glitches": glitches})
            job = watch(client, job["id"])
            if job["state"] != "completed":
                console.print(f"[red]The job {job['state']}[/]: {job['error']}")
                return False
            _show(client, job["id"], round(_SHARE * samples))
            console.print(
                f"\nThis came from [bold]{stack.url}/jobs/{job['id']}/suspects[/]; the API's documentation is at "
                f"[bold]{stack.url}/docs[/].\nThe demo's stack stops now. [bold]make up[/] starts one that stays."
            )
    return True


def _show(client: Client, job_id: str, planted: int) -> None:
    answer = client.get(f"/jobs/{job_id}/suspects", limit=_SHOWN)
    console.print(suspects_table(answer, f"the first {_SHOWN} of {answer['total']} samples"))
    console.print(detection_table(client.get(f"/jobs/{job_id}/signals")["items"]))
    estimate = client.get(f"/jobs/{job_id}")["result"]["estimates"]["mislabeled"]
    console.print(
        f"planted: {planted} wrong labels; estimated without knowing: {estimate['count']} "
        f"(between {estimate['low']:.0f} and {estimate['high']:.0f})"
    )


def _write_digits(path: Path) -> int:
    # 1,797 handwritten digits of 43 people (UCI, CC BY 4.0), which scikit-learn carries.
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = np.clip(images.reshape(-1, 8, 8) * 255 / 16, 0, 255).astype(np.uint8)
    np.savez(path, x=pixels, y=labels)
    return len(labels)
