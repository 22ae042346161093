"""What is undone on the page is what the service has undone, whatever others did meanwhile."""

import httpx
from playwright.sync_api import Page, expect

from service.services import Services
from tests.browser.conftest import PAGE, Watched, eventually, follow
from tests.browser.reviewed_job import job, known, ready, standing, suspects
from tests.builders import add_finished

__all__ = ["job", "known"]


def test_an_undo_leaves_what_another_has_decided_meanwhile_and_says_so(
    page: Page, job: str, client: httpx.Client, known: None
) -> None:
    first, second = (item["sample"]["id"] for item in suspects(client)[:2])
    follow(page, job)
    expect(page.locator("[data-place='0']")).to_be_visible()
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("k")
    expect(page.locator("[data-place='1'] >> text=Kept")).to_be_visible()
    wanted = {first: "keep", second: "keep"}
    assert eventually(lambda: standing(client), wanted) == wanted
    other = [{"sample_id": first, "decision": "remove", "reviewer": "Ada"}]
    client.post("/jobs/job_1/reviews", json=other).raise_for_status()
    expect(page.locator("[data-place='0'] >> text=Removed")).to_be_visible()
    page.keyboard.press("z")
    expect(page.get_by_text("1 sample was decided again meanwhile: the later decision stays.")).to_be_visible()
    expect(page.locator("[data-place='0'] >> text=Removed")).to_be_visible()
    expect(page.locator("[data-place='1'] >> text=Kept")).to_have_count(0)
    assert standing(client) == {first: "remove"}
    last = client.get("/jobs/job_1/reviews").json()["items"][-1]
    assert (last["sample_id"], last["decision"], last["reviewer"]) == (second, "withdraw", "Noor")


def test_an_undo_that_is_not_saved_is_not_shown_and_can_be_tried_again(
    page: Page, job: str, client: httpx.Client, known: None, watched: Watched
) -> None:
    ready(page, job)
    page.keyboard.press("k")
    kept = page.locator("[data-place='0'] >> text=Kept")
    expect(kept).to_be_visible()
    assert eventually(lambda: list(standing(client).values()), ["keep"]) == ["keep"]
    page.route("**/reviews/undo", lambda route: route.fulfill(status=503, json={"detail": "The disk is full."}))
    page.keyboard.press("z")
    expect(page.get_by_text("The disk is full.")).to_be_visible()
    expect(kept).to_be_visible()
    assert watched.refused == [(503, "/jobs/job_1/reviews/undo")]
    watched.refused.clear()
    page.unroute("**/reviews/undo")
    page.keyboard.press("z")
    assert eventually(lambda: standing(client), {}) == {}
    expect(kept).to_have_count(0)


def test_an_undo_while_verifying_leaves_what_another_has_decided_meanwhile(
    page: Page, services: Services, client: httpx.Client, known: None
) -> None:
    add_finished(services.database, services.blobs)
    page.goto(f"{PAGE}#/jobs/job_1/verify")
    expect(page.get_by_text("1 of 9")).to_be_visible()
    page.keyboard.press("k")
    expect(page.get_by_text("1 sample verified")).to_be_visible()
    (decided,) = client.get("/jobs/job_1/reviews").json()["items"]
    other = [{"sample_id": decided["sample_id"], "decision": "remove", "reviewer": "Ada"}]
    client.post("/jobs/job_1/reviews", json=other).raise_for_status()
    expect(page.get_by_text("1 sample removed")).to_be_visible()
    page.keyboard.press("z")
    expect(page.get_by_text("1 sample was decided again meanwhile: the later decision stays.")).to_be_visible()
    expect(page.get_by_text("1 sample removed")).to_be_visible()
