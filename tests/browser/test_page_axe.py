"""Every address of the page to axe-core: WCAG 2.2 A and AA, in both themes, on a desk and on a phone."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from service.services import Services
from tests.browser import axe
from tests.browser.conftest import PAGE, Watched
from tests.builders import add_dataset, add_job, finish

_SOURCES = Path(__file__).resolve().parents[2] / "service" / "web" / "src"
_JOB = "jobs/job_1"
_PARTS = ("suspects", "audit", "understand", "groups", "verify", "training", "changes")
_QUESTIONS = ("confusion", "cut-off", "map", "classes", "issues", "annotators", "signals", "planted")
# After "#/". The first page of a service that holds nothing is asked beside them.
ADDRESSES = (
    "",
    "new",
    "nowhere",
    "datasets/ds_1",
    "datasets/ds_none",
    "jobs/job_none",
    "jobs/job_queued",
    *(f"{_JOB}/{part}" for part in _PARTS),
    *(f"{_JOB}/understand?ask={question}" for question in _QUESTIONS),
    f"{_JOB}/suspects?sample=row-1",
    f"{_JOB}/changes?other=job_2",
    f"{_JOB}/audit?goal=recall:0.9",
    f"{_JOB}/nothing",
)


# A theme changes colours and a width the layout: each is seen once.
@pytest.fixture(params=[(1440, "light"), (360, "dark")], ids=lambda one: f"{one[0]}-{one[1]}")
def seen(browser: Browser, server: str, request: pytest.FixtureRequest, watched: Watched) -> Iterator[Page]:
    """A page of a width and theme that lets axe in."""
    with axe.page_of(browser, server, *request.param) as page:
        watched.watch(page)
        yield page
    assert watched.complaints == []


def test_no_address_has_a_barrier(seen: Page, services: Services, axe_script: str) -> None:
    found: dict[str, list[tuple[str, str]]] = {"an empty service": barriers(seen, "", axe_script)}
    fill(services)
    for address in ADDRESSES:
        found[address] = barriers(seen, address, axe_script)
    assert {address: broken for address, broken in found.items() if broken} == {}


def test_every_address_of_the_page_is_asked() -> None:
    views = (_SOURCES / "routing" / "views.ts").read_text()
    parts = (_SOURCES / "routing" / "parts.ts").read_text()
    questions = (_SOURCES / "views" / "understand" / "Understand.svelte").read_text()
    assert set(re.findall(r'^ {2}"?(\w*)"?: \(\) =>', views, re.MULTILINE)) == {one.split("/")[0] for one in ADDRESSES}
    assert tuple(re.findall(r"^ {2}(\w+): \{ title", parts, re.MULTILINE)) == _PARTS
    assert tuple(re.findall(r'^ {4}\["([\w-]+)", "', questions, re.MULTILINE)) == _QUESTIONS


def fill(services: Services) -> None:
    """A dataset with planted errors, two finished jobs over it and one that waits."""
    info = add_dataset(services.database, blobs=services.blobs)
    planted = [{"kind": "mislabeled_uniform", "rate": 0.2, "seed": 0}]
    for name in ("job_1", "job_2"):
        add_job(services.database, info, name, glitches=planted)
        finish(services.database, name, info, blobs=services.blobs)
    add_job(services.database, info, "job_queued")


def barriers(page: Page, address: str, script: str) -> list[tuple[str, str]]:
    """What axe-core finds at an address when all of it is there."""
    page.goto("about:blank")
    page.goto(f"{PAGE}#/{address}")
    expect(page.locator("#main > *").first).to_be_attached()
    expect(page.locator("[aria-busy]")).to_have_count(0)
    sideways = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return axe.violations(page, script) + ([("scrolls sideways", address)] if sideways > 0 else [])
