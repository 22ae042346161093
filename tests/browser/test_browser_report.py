"""A report in a browser: how long its summary is, at every width, in both themes, by keyboard, on paper, and to axe."""

import zipfile
from collections.abc import Iterator
from io import BytesIO
from typing import Any, Literal

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from service.services import Services
from service.store import datasets, rankings
from tests.browser import axe
from tests.builders import add_finished, add_job, finish, form, image_zip, ranking_of

LONG = " ".join(f"question {number} about the delivery of a parcel that never arrived" for number in range(12))
KINDS = ["table", "image", "text", "reviewed", "few"]


@pytest.fixture
def job(services: Services, client: httpx.Client, request: pytest.FixtureRequest) -> str:
    """The report of a completed job over one kind of data."""
    kind: str = request.param
    if kind in ("table", "reviewed"):
        add_finished(services.database, services.blobs, rows=320, splits={"train": 240, "test": 80})
    if kind == "reviewed":
        items = client.get("/jobs/job_1/suspects?limit=30").json()["items"]
        decisions = [{"sample_id": one["sample"]["id"], "decision": "keep"} for one in items]
        client.post("/jobs/job_1/reviews", json=decisions).raise_for_status()
    if kind == "few":
        add_finished(services.database, services.blobs, rows=4, splits={"train": 3, "test": 1})
        with services.database.write() as connection:
            rankings.save_summaries(connection, "job_1", {})
    if kind == "image":
        names = [
            f"{name}/a rather long name of picture {number}.png" for number in range(12) for name in ("cat", "dog")
        ]
        ranked(services, client, form(image_zip(names), "animals.zip"))
    if kind == "text":
        rows = "".join(f"{number} {LONG},{('cat', 'dog')[number % 2]}\n" for number in range(80))
        about = {"modality": "text", "label": "label"}
        ranked(services, client, form(f"text,label\n{rows}".encode(), "words.csv", about))
    return "/jobs/job_1/report"


def ranked(services: Services, client: httpx.Client, body: dict[str, Any]) -> None:
    uploaded = client.post("/datasets", **body).raise_for_status().json()
    with services.database.read() as connection:
        info = datasets.get(connection, uploaded["id"])
    assert info is not None
    add_job(services.database, info)
    finish(services.database, "job_1", info, blobs=services.blobs, table=ranking_of(services.blobs, info))


@pytest.fixture
def opened(browser: Browser, server: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of a size and theme that lets axe in."""
    width: int
    theme: Literal["light", "dark"]
    width, theme = getattr(request, "param", (1440, "light"))
    context = browser.new_context(
        base_url=server, viewport={"width": width, "height": 900}, color_scheme=theme, bypass_csp=True
    )
    yield context.new_page()
    context.close()


def open_panels(page: Page, *, yes: bool = True) -> None:
    page.evaluate("yes => document.querySelectorAll('details').forEach(one => { one.open = yes })", yes)


@pytest.mark.parametrize("job", KINDS, indirect=True)
def test_a_report_is_at_most_four_screens_long_before_a_panel_is_opened(opened: Page, job: str) -> None:
    answer = opened.goto(job)
    assert answer is not None
    assert answer.ok
    height = opened.evaluate("document.documentElement.scrollHeight")
    assert height <= 4 * 900
    assert opened.locator("details[open]").count() == 0
    open_panels(opened)
    assert opened.evaluate("document.documentElement.scrollHeight") > height


@pytest.mark.parametrize(
    "opened",
    [(360, "light"), (720, "dark"), (1440, "light"), (3840, "dark")],
    ids=lambda one: f"{one[0]}-{one[1]}",
    indirect=True,
)
@pytest.mark.parametrize("job", ["table", "image"], indirect=True)
def test_it_fits_every_width_and_axe_finds_no_barrier(opened: Page, job: str, axe_script: str) -> None:
    opened.goto(job)
    for yes in (False, True):
        open_panels(opened, yes=yes)
        assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert axe.violations(opened, axe_script) == []


@pytest.mark.parametrize("job", ["reviewed"], indirect=True)
def test_a_screen_reader_hears_of_every_plot_and_passes_over_bars(opened: Page, job: str) -> None:
    opened.goto(job)
    open_panels(opened)
    assert opened.get_by_role("img", name="Histogram of the score of labels, by verdict").is_visible()
    names = opened.locator("svg[role=img]").evaluate_all("all => all.map(one => one.getAttribute('aria-label'))")
    assert len(names) == len(set(names)) >= 5
    assert opened.locator("svg:not([role=img]):not([aria-hidden=true])").count() == 0


@pytest.mark.parametrize("job", ["table"], indirect=True)
def test_a_panel_opens_by_keyboard_and_has_no_triangle(opened: Page, job: str) -> None:
    opened.goto(job)
    panel = opened.locator("details#more")
    expect(panel.locator(".suspect").first).not_to_be_visible()
    assert opened.locator("summary").first.evaluate("one => getComputedStyle(one).display") != "list-item"
    panel.locator("summary").focus()
    opened.keyboard.press("Enter")
    expect(panel.locator(".suspect").first).to_be_visible()


@pytest.mark.parametrize("job", ["table"], indirect=True)
def test_paper_has_the_summary_and_the_panels_that_are_open(opened: Page, job: str) -> None:
    opened.goto(job)
    opened.locator("details#run summary").click()
    opened.emulate_media(media="print")
    assert opened.locator("#mislabeled .suspect").first.is_visible()
    assert opened.locator("details#run dl").is_visible()
    assert opened.locator("details#signals").is_hidden()
    assert opened.get_by_text("Panels that are closed are not printed.").is_visible()


def test_a_report_of_large_pictures_is_small_and_waits_for_none_of_them(
    opened: Page, services: Services, client: httpx.Client
) -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(64):
            picture = BytesIO()
            Image.effect_noise((800, 600), 60 + number).convert("RGB").save(picture, "JPEG")
            archive.writestr(f"{('cat', 'dog')[number % 2]}/{number}.jpg", picture.getvalue())
    ranked(services, client, form(packed.getvalue(), "animals.zip"))
    assert len(client.get("/jobs/job_1/report").content) < 1_500_000
    opened.goto("/jobs/job_1/report")
    assert opened.locator("img:not([loading=lazy])").count() == 0
