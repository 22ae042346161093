"""A person signs in on the page through the pages of a real OpenID provider, and loses nothing when the session ends."""

import httpx
import pytest
from playwright.sync_api import BrowserContext, expect

from service.services import Services
from service.settings import Settings
from service.store.tables import keys
from tests.browser.conftest import PAGE, Watched, eventually
from tests.builders import add_finished
from tests.openid.provider import knowing

_JOB = f"{PAGE}#/jobs/job_1/suspects"
_KEY = {"Authorization": "Bearer of the test"}


@pytest.fixture
def settings(settings: Settings, openid_issuer: str) -> Settings:
    return knowing(settings, openid_issuer, api_keys=["of the test"])


def test_a_person_signs_in_decides_goes_on_after_the_session_ended_and_signs_out(
    context: BrowserContext, watched: Watched, services: Services, client: httpx.Client
) -> None:
    add_finished(services.database, services.blobs, rows=40)
    page = context.new_page()
    watched.watch(page)
    page.goto(_JOB)
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Key of this service")).to_be_visible()
    dialog.get_by_role("link", name="Sign in").click()
    page.get_by_placeholder("Enter any login").fill("noor")
    page.get_by_placeholder("and password").fill("any")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("[data-place='0']")).to_be_visible()
    assert page.url.endswith(_JOB)
    expect(page.get_by_role("banner").get_by_role("button", name="noor@example.org")).to_be_visible()

    # Nobody is asked for a name that is known.
    page.keyboard.press("k")

    def reviewers() -> list[str]:
        return [one["reviewer"] for one in client.get("/jobs/job_1/reviews", headers=_KEY).json()["items"]]

    assert eventually(reviewers, ["noor@example.org"]) == ["noor@example.org"]

    with services.database.write() as connection:
        connection.execute(keys.delete())
    page.keyboard.press("k")
    expect(dialog.get_by_text("Your session has ended")).to_be_visible()
    with context.expect_page() as opened:
        dialog.get_by_role("link", name="Sign in").click()
    opened.value.get_by_role("button", name="Continue").click()
    expect(opened.value.get_by_role("heading", name="You are signed in")).to_be_visible()
    expect(dialog).not_to_be_visible()
    assert eventually(reviewers, ["noor@example.org"] * 2) == ["noor@example.org"] * 2

    page.get_by_role("banner").get_by_role("button", name="noor@example.org").click()
    page.get_by_role("button", name="Sign out").click()
    expect(dialog.get_by_role("link", name="Sign in")).to_be_visible()
    assert "suspects-session" not in {one["name"] for one in context.cookies()}
    assert watched.complaints == []
    assert {status for status, _ in watched.refused} == {401}
