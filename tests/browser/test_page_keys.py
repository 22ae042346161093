"""The page with a key: a wrong one is sent once, and one that ends loses nothing."""

from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from service.services import Services
from service.settings import Settings
from tests.browser.conftest import PAGE, Watched, eventually
from tests.builders import add_finished

_JOB = f"{PAGE}#/jobs/job_1/suspects"
_ADMIN = {"Authorization": "Bearer right"}
_LATER_MS = 1_500  # in which a page that asks again would


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"api_keys": frozenset({"right"})})


@pytest.fixture
def listed(services: Services, page: Page) -> Page:
    """A page, in which somebody has said who they are, of a service with a finished job."""
    add_finished(services.database, services.blobs, rows=40)
    page.add_init_script("localStorage.setItem('reviewer', 'Noor')")
    return page


def enter(page: Page, key: str) -> None:
    page.get_by_label("Key of this service").fill(key)
    page.get_by_role("button", name="Continue").click()


def first(page: Page) -> Locator:
    return page.locator("[data-place='0']")


def wrong_keys(watched: Watched) -> int:
    return sum(status == 401 for status, _ in watched.refused)


def test_a_wrong_key_is_sent_once(listed: Page, watched: Watched) -> None:
    listed.add_init_script("sessionStorage.getItem('key') || sessionStorage.setItem('key', 'wrong')")
    listed.goto(_JOB)
    unknown = listed.get_by_text("The service does not know this key.")
    expect(unknown).to_be_visible()
    listed.wait_for_timeout(_LATER_MS)
    assert wrong_keys(watched) == 1
    with listed.expect_response("**/jobs?limit=1"):
        enter(listed, "wrong, too")
    assert wrong_keys(watched) == 2
    expect(unknown).to_be_visible()
    enter(listed, "right")
    expect(first(listed)).to_be_visible()
    expect(unknown).to_have_count(0)
    assert wrong_keys(watched) == 2
    watched.refused.clear()


@pytest.mark.parametrize("part", ["suspects", "audit"])
def test_a_key_that_was_withdrawn_is_not_sent_again_and_what_was_decided_waits_for_another(
    listed: Page, client: httpx.Client, watched: Watched, part: str
) -> None:
    def key() -> dict[str, Any]:
        body = {"name": "of a labeller", "scopes": ["read", "review"]}
        made: dict[str, Any] = client.post("/keys", json=body, headers=_ADMIN).raise_for_status().json()
        return made

    def reviews() -> list[str]:
        found = client.get("/jobs/job_1/reviews", headers=_ADMIN).json()["items"]
        return [one["decision"] for one in found]

    held = key()
    listed.goto(f"{PAGE}#/jobs/job_1/{part}")
    enter(listed, held["key"])
    if part == "audit":
        listed.get_by_role("button", name="Start reviewing").click()
        expect(listed.get_by_text("Sample 1", exact=True)).to_be_visible()
    else:
        expect(first(listed)).to_be_visible()
    watched.refused.clear()  # without a key nobody has guessed one
    client.delete(f"/keys/{held['id']}", headers=_ADMIN).raise_for_status()
    listed.keyboard.press("k")
    expect(listed.get_by_text("Your key has expired or was withdrawn.")).to_be_visible()
    listed.wait_for_timeout(_LATER_MS)
    under_way = wrong_keys(watched)  # together, before the first of them was refused
    listed.wait_for_timeout(_LATER_MS)
    assert 1 <= wrong_keys(watched) == under_way <= 6
    enter(listed, key()["key"])
    assert eventually(reviews, ["keep"]) == ["keep"]
    watched.refused.clear()
