"""The page while the service is away: it says so, and goes on by itself."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Page, Route, expect

from service.domain.job import Progress, State
from service.services import Services
from service.store import jobs
from tests.browser.conftest import PAGE, Watched, eventually, follow
from tests.builders import LEASE, add_dataset, add_finished, add_job
from tests.servers import reserved_port


class _Service:
    """The service at one address, stopped and started."""

    def __init__(self, app: FastAPI, port: int) -> None:
        self._app = app
        self._port = port
        self.url = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        # A process that is killed closes its connections at once.
        options: dict[str, Any] = {"log_level": "critical", "timeout_graceful_shutdown": 0}
        self._running = uvicorn.Server(uvicorn.Config(self._app, host="127.0.0.1", port=self._port, **options))
        self._thread = threading.Thread(target=self._running.run)
        self._thread.start()
        while not self._running.started:
            assert self._thread.is_alive(), "the server did not start"
            time.sleep(0.01)

    def stop(self) -> None:
        self._running.should_exit = self._running.force_exit = True
        self._thread.join()


@pytest.fixture
def service(app: FastAPI) -> Iterator[_Service]:
    """A service that a test may stop."""
    with reserved_port() as port:
        running = _Service(app, port)
        yield running
        running.stop()


@pytest.fixture
def server(service: _Service) -> str:
    """Its address, for the page."""
    return service.url


def test_a_running_job_goes_on_after_the_service_was_away(
    page: Page, service: _Service, services: Services, watched: Watched
) -> None:
    add_job(services.database, add_dataset(services.database, blobs=services.blobs))
    with services.database.write() as connection:
        held = jobs.claim(connection, "job_1", "worker-1", LEASE, services.now())
        assert held is not None
        jobs.advance(connection, held, State.TRAINING, Progress(phase="training", fraction=0.25), services.now())
    page.goto(f"{PAGE}#/jobs/job_1")
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "0.25")
    lost = page.get_by_role("alert").filter(has_text="Connection lost, retrying")
    expect(lost).to_have_count(0)
    service.stop()
    expect(lost).to_be_visible()
    with services.database.write() as connection:
        jobs.advance(connection, held, State.SCORING, Progress(phase="scoring", fraction=0.75), services.now())
    service.start()
    expect(lost).to_have_count(0)
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "0.75")
    watched.refused.clear()


def test_a_finished_job_says_that_the_service_is_away(
    page: Page, service: _Service, services: Services, watched: Watched
) -> None:
    add_finished(services.database, services.blobs)
    follow(page, f"{PAGE}#/jobs/job_1")
    expect(page.get_by_role("navigation", name="Parts of this job")).to_be_visible()
    service.stop()
    lost = page.get_by_role("alert").filter(has_text="Connection lost, retrying")
    expect(lost).to_be_visible()
    service.start()
    expect(lost).to_have_count(0)
    watched.refused.clear()


def fail_once(page: Page, pattern: str) -> list[str]:
    """Let the first request for such an address fail; gives the addresses that were asked for, as they come."""
    asked: list[str] = []

    def handle(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) == 1:
            route.abort("failed")
        else:
            route.continue_()

    page.route(pattern, handle)
    return asked


@pytest.mark.parametrize(
    "missing", ["index-*.js", "index-*.css", "Icon-*.js", "JobPage-*.css", "Review-*.js", "Review-*.css"]
)
def test_the_page_loads_itself_anew_where_one_of_its_files_did_not_come(
    page: Page, services: Services, missing: str
) -> None:
    add_finished(services.database, services.blobs)
    asked = fail_once(page, f"**/assets/{missing}")
    page.goto(f"{PAGE}#/jobs/job_1")
    expect(page.get_by_role("grid")).to_have_attribute("aria-activedescendant", "suspect-0")
    assert asked.count(asked[0]) == 2


def test_a_file_of_the_page_that_never_comes_is_told_after_one_more_loading(page: Page, services: Services) -> None:
    add_finished(services.database, services.blobs)
    loaded: list[str] = []
    page.on("domcontentloaded", lambda shown: loaded.append(shown.url))
    page.route("**/assets/Review-*.js", lambda route: route.abort("failed"))
    page.goto(f"{PAGE}#/jobs/job_1")
    expect(page.get_by_role("heading", name="This part of the page could not be loaded")).to_be_visible()
    page.wait_for_timeout(1_500)  # longer than it looks for the service
    expect(page.get_by_role("button", name="Load it again")).to_be_visible()
    assert len(loaded) == 2


def test_what_the_page_reads_is_asked_for_again_before_it_tells_of_a_lost_connection(
    page: Page, services: Services
) -> None:
    add_finished(services.database, services.blobs)
    asked = fail_once(page, "**/jobs/job_1/suspects?*")
    page.goto(f"{PAGE}#/jobs/job_1")
    expect(page.get_by_role("grid")).to_have_attribute("aria-activedescendant", "suspect-0")
    expect(page.get_by_role("alert")).to_have_count(0)
    assert len(asked) > 1


@pytest.mark.parametrize("part", ["suspects", "verify"])
def test_what_is_decided_while_the_service_is_away_is_saved_in_its_order_when_it_is_back(
    page: Page, services: Services, client: httpx.Client, watched: Watched, part: str
) -> None:
    add_finished(services.database, services.blobs)
    page.add_init_script("localStorage.setItem('reviewer', 'Noor')")
    is_away = False
    page.route("**/jobs/job_1/reviews", lambda route: route.abort("failed") if is_away else route.continue_())
    page.on("dialog", lambda dialog: dialog.accept())  # whoever leaves is asked
    page.goto(f"{PAGE}#/jobs/job_1/{part}")
    expect(page.get_by_text("1 of 9") if part == "verify" else page.locator("[data-place='0']")).to_be_visible()
    is_away = True
    for key in "xku":
        page.keyboard.press(key)
    expect(page.get_by_role("alert").filter(has_text="3 decisions wait to be saved")).to_be_visible()
    page.reload()
    expect(page.get_by_role("alert").filter(has_text="3 decisions wait to be saved")).to_be_visible()
    assert client.get("/jobs/job_1/reviews").json()["items"] == []
    is_away = False
    page.unroute("**/jobs/job_1/reviews")
    expect(page.get_by_role("alert")).to_have_count(0)

    def kinds() -> list[str]:
        return [one["decision"] for one in client.get("/jobs/job_1/reviews").json()["items"]]

    assert eventually(kinds, ["remove", "keep", "unsure"]) == ["remove", "keep", "unsure"]
    watched.refused.clear()


@pytest.mark.parametrize("status", [503, 429])
def test_a_decision_that_the_service_cannot_take_just_now_is_sent_again(
    page: Page, services: Services, client: httpx.Client, watched: Watched, status: int
) -> None:
    add_finished(services.database, services.blobs)
    page.add_init_script("localStorage.setItem('reviewer', 'Noor')")
    turned_away: list[str] = []

    def answer(route: Route) -> None:
        if route.request.method == "GET" or turned_away:
            route.continue_()
        else:
            turned_away.append(route.request.url)
            route.fulfill(status=status, json={"detail": "try again soon", "status": status})

    page.route("**/jobs/job_1/reviews", answer)
    page.goto(f"{PAGE}#/jobs/job_1/suspects")
    expect(page.locator("[data-place='0']")).to_be_visible()
    with page.expect_response(lambda one: one.status == 201 and one.url.endswith("/jobs/job_1/reviews")):
        page.keyboard.press("k")
    assert len(turned_away) == 1
    assert client.get("/jobs/job_1/reviews").json()["total"] == 1
    watched.refused.clear()
