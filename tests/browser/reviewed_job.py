"""Finished jobs whose suspects the page shows."""

from typing import Any

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from service.services import Services
from service.store import datasets
from tests.browser.conftest import PAGE
from tests.builders import add_finished, add_job, finish, form, image_zip, ranking_of

ROWS = 400
PICTURES = [f"{name}/{number}.png" for number in range(20) for name in ("cat", "dog")]


@pytest.fixture
def job(services: Services) -> str:
    """A finished job over a table."""
    add_finished(services.database, services.blobs, rows=ROWS)
    return f"{PAGE}#/jobs/job_1/suspects"


@pytest.fixture
def known(context: BrowserContext) -> None:
    """Somebody who said who they are."""
    context.add_init_script("localStorage.setItem('reviewer', 'Noor')")


@pytest.fixture
def pictures(services: Services, client: httpx.Client) -> str:
    """A finished job over images."""
    return finished_over(services, client, form(image_zip(PICTURES), "animals.zip"))


@pytest.fixture
def texts(services: Services, client: httpx.Client) -> str:
    """A finished job over texts: half of those of each class hold its word, one of them both."""
    lines = [
        f"{'The' if number % 4 < 2 else 'A'} news number {number}{' of a Goal' * (number % 4 == 0)}"
        f"{' of a bank' * (number % 4 == 1)}{' beside the bank' * (number == 0)},{('sport', 'money')[number % 2]}"
        for number in range(160)
    ]
    return finished_over(services, client, form("\n".join(["text,label", *lines]).encode(), "news.csv"))


def finished_over(services: Services, client: httpx.Client, upload: dict[str, Any]) -> str:
    """The page of a finished job over an upload, in which every sample is suggested to have another label."""
    made = client.post("/datasets", **upload).raise_for_status().json()
    with services.database.read() as connection:
        info = datasets.get(connection, made["id"])
    assert info is not None
    add_job(services.database, info)
    finish(services.database, "job_1", info, table=ranking_of(services.blobs, info))
    return f"{PAGE}#/jobs/job_1/suspects"


def suspects(client: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    """The suspects of the job, most suspicious first."""
    found: list[dict[str, Any]] = client.get("/jobs/job_1/suspects", params={"limit": 1000, **query}).json()["items"]
    return found


def decisions(client: httpx.Client) -> list[tuple[str, str, str | None]]:
    """Every decision, oldest first."""
    found = client.get("/jobs/job_1/reviews", params={"limit": 1000}).json()["items"]
    return [(one["sample_id"], one["decision"], one["label"]) for one in found]


def standing(client: httpx.Client) -> dict[str, str]:
    """The decision that holds of each reviewed sample."""
    return {one["sample"]["id"]: one["review"]["decision"] for one in suspects(client) if one["review"]}


def ready(page: Page, address: str) -> None:
    """Open a page that lists suspects, and wait for the first."""
    page.goto(address)
    expect(page.locator("[data-place='0']")).to_be_visible()


def settle(page: Page) -> None:
    """Let the page do what it does a little later."""
    page.wait_for_timeout(400)
