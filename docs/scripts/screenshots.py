"""Pictures of the page for the README and the documentation: `make screenshots`.

A stack of its own ranks the sample dataset; a real browser then takes each view of the page as it is.
"""

import os
import tempfile
import time
from pathlib import Path

import httpx
from playwright.sync_api import Page, ViewportSize, sync_playwright

from service.settings import Settings
from service.terminal.processes import free_port
from service.terminal.stack import running
from tests.browser.chromium import find

IMAGES = Path(__file__).parents[1] / "images"
_SIZE = ViewportSize(width=1440, height=900)
_SETTLED_MS = 1500  # the list is there and charts are drawn
# Name of the picture: route of the page. `{job}` and `{sample}` stand for the ids.
_VIEWS = {
    "review": "#/jobs/{job}/suspects",
    "sample": "#/jobs/{job}/suspects?sample={sample}",
    "understand": "#/jobs/{job}/understand",
}


def main() -> None:
    """Rank the sample dataset and write the pictures. Exits where there is no browser or the job fails."""
    with tempfile.TemporaryDirectory(prefix="suspects-screenshots-") as name:
        settings = Settings(home=Path(name) / "home", database_url="", api_keys=())
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SUSPECTS_")}
        with running(settings, "127.0.0.1", free_port(), 1, environment, temporary=True) as stack:
            stack.wait_until_ready()
            with httpx.Client(base_url=stack.url, timeout=60, trust_env=False) as client:
                job = _ranked(client)
                sample = client.get(f"/jobs/{job}/suspects", params={"limit": 1}).json()["items"][0]["sample"]["id"]
            for picture in _take(stack.url, job, sample.replace("/", "%2F")):
                print(picture)  # noqa: T201  # which files to look at


def _ranked(client: httpx.Client) -> str:
    """A completed job over the sample dataset, two of its samples reviewed."""
    dataset = client.post("/datasets/sample").raise_for_status().json()["id"]
    spec = {"dataset": dataset, "name": "Sample: shapes"}
    job: str = client.post("/jobs", json=spec).raise_for_status().json()["id"]
    while (state := client.get(f"/jobs/{job}").json()["state"]) != "completed":
        if state in ("failed", "cancelled"):
            raise SystemExit(f"{job} is {state}")
        time.sleep(1)
    items = client.get(f"/jobs/{job}/suspects", params={"limit": 3}).json()["items"]
    reviews = [
        {"sample_id": one["sample"]["id"], "decision": "relabel", "label": one["suggested_label"]} for one in items[1:]
    ]
    client.post(f"/jobs/{job}/reviews", json=reviews).raise_for_status()
    return job


def _take(address: str, job: str, sample: str) -> list[Path]:
    found = find()
    if found is None:
        raise SystemExit("no browser: run `make test` once, or name one in TEST_BROWSER")
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found.path, env={**os.environ, **found.environment})
        page = browser.new_page(viewport=_SIZE, color_scheme="light")
        taken = [
            _picture(page, name, f"{address}/{route.format(job=job, sample=sample)}") for name, route in _VIEWS.items()
        ]
        browser.close()
    return taken


def _picture(page: Page, name: str, url: str) -> Path:
    path = IMAGES / f"{name}.png"
    # A route differs in its fragment alone, which loads nothing anew.
    page.goto("about:blank")
    page.goto(url)
    page.get_by_role("heading", level=1).wait_for()
    page.wait_for_timeout(_SETTLED_MS)
    page.wait_for_function("[...document.images].every((image) => image.complete)")
    page.screenshot(path=path)
    return path


if __name__ == "__main__":
    main()
