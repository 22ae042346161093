"""The picture of the README: `python -m docs.scripts.picture` while the embedded stack runs (`make up`).

It ranks the digits of the demo anew, with planted errors, and takes the top of the ranking from the page of the service.
"""

import io
import os
import sys
import time
from pathlib import Path

import httpx
import numpy as np
from playwright.sync_api import sync_playwright
from sklearn.datasets import load_digits

from tests.browser.chromium import find

PICTURE = Path(__file__).parents[1] / "images" / "ranking.png"
WIDTH, ROWS = 1100, 7


def submit(client: httpx.Client) -> str:
    """A completed job over 1,797 digits of which 10 % are made wrong."""
    images, labels = load_digits(return_X_y=True)
    file = io.BytesIO()
    np.savez(file, x=np.clip(images.reshape(-1, 8, 8) * 255 / 16, 0, 255).astype(np.uint8), y=labels)
    spec = '{"name": "digits", "glitches": [{"kind": "mislabeled_uniform", "rate": 0.1}]}'
    upload = {"file": ("digits.npz", file.getvalue())}
    job: str = client.post("/jobs", files=upload, data={"spec": spec}).raise_for_status().json()["id"]
    while (state := client.get(f"/jobs/{job}").json()["state"]) != "completed":
        if state in ("failed", "cancelled"):
            raise SystemExit(f"{job} is {state}")
        time.sleep(1)
    return job


def take(address: str, job: str) -> None:
    """Write the picture. Raises SystemExit where there is no browser."""
    found = find()
    if found is None:
        raise SystemExit("no browser: run `make test` once, or name one in TEST_BROWSER")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found.path, env={**os.environ, **found.environment})
        page = browser.new_page(viewport={"width": WIDTH, "height": 900})
        page.goto(f"{address}/#{job}")
        page.locator("#rows tr").nth(ROWS).wait_for()
        page.locator("#rows img").first.wait_for()
        page.wait_for_load_state("networkidle")
        top = page.locator("#ranking").bounding_box()
        last = page.locator("#rows tr").nth(ROWS - 1).bounding_box()
        assert top is not None
        assert last is not None
        height = last["y"] + last["height"] - top["y"]
        page.screenshot(
            path=PICTURE, full_page=True, clip={"x": 0, "y": top["y"], "width": WIDTH, "height": height + 8}
        )
        browser.close()


def main() -> None:
    """Rank and take it; the address of another service may be given."""
    address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
        take(address, submit(client))


if __name__ == "__main__":
    main()
