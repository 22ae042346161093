"""Suspects under review fit every screen, and have no barriers."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import axe
from tests.browser.conftest import Watched, eventually
from tests.browser.reviewed_job import job, known, pictures, ready, settle, suspects, texts

__all__ = ["job", "known", "pictures", "texts"]

_HEIGHT = "document.documentElement.scrollHeight"


def test_how_far_a_review_is_and_the_corrected_file_are_in_sight_at_every_width(
    page: Page, job: str, client: httpx.Client
) -> None:
    decided = [{"sample_id": f"row-{number}", "decision": "keep"} for number in range(12)]
    decided += [{"sample_id": f"row-{number}", "decision": "remove"} for number in range(12, 24)]
    client.post("/jobs/job_1/reviews", json=decided).raise_for_status()
    ready(page, job)
    said = page.get_by_text(re.compile(r"\d+ of \d+ flagged reviewed"))
    for width in (320, 500, 700, 760, 900, 1000, 1100, 1190, 1220):
        page.set_viewport_size({"width": width, "height": 700})
        expect(page.get_by_role("button", name="Other forms of the corrected file")).to_be_in_viewport(ratio=1)
        expect(said).to_be_in_viewport(ratio=1)
        assert said.evaluate("one => one.getBoundingClientRect().width") >= min(160, width / 2), width


def test_at_1440_by_900_twelve_rows_are_in_sight(page: Page, job: str) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    ready(page, job)
    assert eventually(lambda: len(whole(page)) >= 12, True)


def test_at_1440_by_900_twenty_four_cards_are_in_sight(page: Page, pictures: str) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    ready(page, pictures)
    assert eventually(lambda: len(whole(page)) >= 24, True)


def whole(page: Page) -> list[str]:
    """Places that can be seen from edge to edge without scrolling."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll('[data-place]')].filter(one => {
          const box = one.getBoundingClientRect();
          return [[box.left + 5, box.top + 5], [box.right - 5, box.bottom - 5]].every(([x, y]) =>
            one.contains(document.elementFromPoint(x, y)));
        }).map(one => one.dataset.place)"""
    )
    return found


@pytest.mark.parametrize("part", ["suspects?sample=row-1", "verify", "audit"])
def test_a_sample_scrolls_in_its_panel_and_not_the_window(page: Page, job: str, known: None, part: str) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(job.replace("suspects", part))
    if part == "audit":
        page.get_by_role("button", name="Start reviewing").click()
    expect(page.get_by_role("heading", name=re.compile("What the model learned|Why it stands")).first).to_be_attached()
    settle(page)
    assert page.evaluate(_HEIGHT) == 900


@pytest.fixture(params=[(360, "light"), (1440, "dark"), (2560, "light")], ids=str)
def seen(browser: Browser, server: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of a size and theme that lets axe in."""
    (width, theme), watched = request.param, Watched(server)
    with axe.page_of(browser, server, width, theme, height=800) as page:
        watched.watch(page)
        yield page
    assert (watched.complaints, watched.refused) == ([], [])


@pytest.mark.parametrize("kind", ["table", "images", "texts"])
def test_a_review_has_no_barriers_and_fits_its_screen(
    seen: Page, request: pytest.FixtureRequest, kind: str, client: httpx.Client, axe_script: str
) -> None:
    address: str = request.getfixturevalue({"table": "job", "images": "pictures", "texts": "texts"}[kind])
    ids = [one["sample"]["id"] for one in suspects(client)]
    client.post("/jobs/job_1/reviews", json=[{"sample_id": ids[1], "decision": "remove"}])
    ready(seen, f"{address}?label={'sport' if kind == 'texts' else 'cat'}")
    settle(seen)
    assert fits(seen)
    expect(seen.locator(".typical").first).to_be_attached(attached=kind == "texts")
    assert axe.violations(seen, axe_script) == []
    height = seen.evaluate(_HEIGHT)
    seen.locator("[data-place='0']").click()
    expect(seen.get_by_role("heading", name="Strongest signals")).to_be_attached()
    expect(seen.get_by_role("group", name="Decide").last.get_by_role("button", name="Keep")).to_be_in_viewport()
    assert fits(seen)
    assert seen.evaluate(_HEIGHT) == height
    assert axe.violations(seen, axe_script) == []
    seen.get_by_role("button", name="Close the sample").click()
    seen.keyboard.press("?")
    expect(seen.get_by_role("dialog", name="Keys")).to_be_visible()
    assert axe.violations(seen, axe_script) == []


def fits(page: Page) -> bool:
    """Nothing scrolls sideways, and no text has one letter in a line."""
    found: bool = page.evaluate(
        """() => document.documentElement.scrollWidth <= innerWidth && [...document.querySelectorAll('[data-place], aside')]
          .every(one => one.scrollWidth <= one.clientWidth + 1)"""
    )
    return found
