"""The ranking on the page is the ranking of the API, and a sample opens with all that is known of it."""

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from service.services import Services
from service.store import datasets
from tests.browser.conftest import Watched
from tests.builders import add_finished, add_job, finish, form, image_zip

ROWS = 80  # 60 of them are ranked
ODD = ["<img src=x onerror=window.hit=1>", 'dog & "cat"', "<script>window.hit=1</script>"]


def ranked(client: httpx.Client, **query: Any) -> list[str]:
    """Samples of the whole ranking, as the API gives it."""
    found = client.get("/jobs/job_1/suspects", params={"limit": 1000, **query}).raise_for_status().json()["items"]
    return [item["sample"]["id"] for item in found]


def listed(page: Page) -> list[str]:
    found: list[str] = page.locator("#rows tr").evaluate_all("rows => rows.map(row => row.dataset.sample)")
    return found


@pytest.fixture
def job(services: Services) -> str:
    add_finished(services.database, services.blobs, rows=ROWS)
    return "/#job_1"


@pytest.fixture
def images(client: httpx.Client, services: Services) -> str:
    """A job over images."""
    names = [f"{name}/{number}.png" for number in range(4) for name in ("cat", "dog", "eel")]
    uploaded = client.post("/datasets", **form(image_zip(names), "animals.zip", {"name": "pictures"})).json()
    with services.database.read() as connection:
        info = datasets.get(connection, uploaded["id"])
    assert info is not None
    add_job(services.database, info)
    # A sample of an archive is called by its path there.
    finish(services.database, "job_1", info, blobs=services.blobs, ids=dict(enumerate(sorted(names))))
    return "/#job_1"


def test_rows_stand_in_the_order_of_the_api_by_every_signal_and_filter(
    page: Page, job: str, client: httpx.Client
) -> None:
    page.goto(job)
    expect(page.locator("#rows tr")).to_have_count(25)
    assert listed(page) == ranked(client)[:25]
    before = listed(page)
    page.get_by_label("Rank by").select_option("si")
    expect(page.locator("#rows tr").first).to_have_attribute("data-sample", ranked(client, by="si")[0])
    assert listed(page) == ranked(client, by="si")[:25] != before
    page.get_by_label("Verdict").select_option("anomalous")
    expect(page.locator("#rows .badge.mislabeled")).to_have_count(0)
    expect(page.locator("#rows .badge.anomalous").first).to_be_visible()
    assert listed(page) == ranked(client, by="si", verdict="anomalous")
    page.get_by_label("Verdict").select_option("mislabeled")
    page.get_by_label("Given label").select_option("dog")
    wanted = ranked(client, by="si", verdict="mislabeled", label="dog")
    expect(page.locator("#rows tr")).to_have_count(len(wanted))
    assert listed(page) == wanted


def test_more_brings_the_rest_and_no_row_twice(page: Page, job: str, client: httpx.Client) -> None:
    page.goto(job)
    more = page.locator("#more")
    for count in (25, 50):
        expect(page.locator("#rows tr")).to_have_count(count)
        more.click()
    expect(more).to_be_hidden()
    assert listed(page) == ranked(client)
    assert len(set(listed(page))) == 60


def test_only_the_ranking_that_was_asked_for_last_is_shown_however_late_another_comes(
    page: Page, job: str, client: httpx.Client
) -> None:
    late: list[Route] = []
    page.route(re.compile("verdict=mislabeled"), lambda route: late.append(route))
    page.goto(job)
    page.get_by_label("Verdict").select_option("mislabeled")
    page.get_by_label("Verdict").select_option("clean")
    wanted = ranked(client, verdict="clean")[:25]
    expect(page.locator("#rows tr").first).to_have_attribute("data-sample", wanted[0])
    with page.expect_response(re.compile("verdict=mislabeled")) as answered:
        late[0].continue_()
    answered.value.finished()
    page.wait_for_timeout(100)
    assert listed(page) == wanted


def test_a_page_that_is_asked_for_twice_comes_once(page: Page, job: str, client: httpx.Client) -> None:
    late: list[Route] = []
    page.route(re.compile("cursor="), lambda route: late.append(route))
    page.goto(job)
    more = page.locator("#more")
    for _ in range(2):
        more.click()
    for route in late:
        route.continue_()
    expect(page.locator("#rows tr")).to_have_count(50)
    page.wait_for_load_state("networkidle")
    assert listed(page) == ranked(client)[:50]


def test_a_sample_opens_with_its_picture_its_reason_and_its_course(
    page: Page, images: str, client: httpx.Client
) -> None:
    page.goto(images)
    first, second = ranked(client)[:2]
    told = client.get(f"/jobs/job_1/samples/{first}").json()
    page.get_by_role("button", name=first, exact=True).press("Enter")
    dialog = page.get_by_role("dialog", name=first)
    expect(dialog.locator("#reason")).to_have_text(told["reason"])
    expect(page.locator("#media img")).to_have_js_property("naturalWidth", 8)
    for name in ("Margin", "Loss", "Self-influence", "Influence on classes"):
        expect(dialog.get_by_role("img", name=re.compile(name))).to_be_visible()
    expect(dialog.get_by_role("img", name="Loss")).to_have_attribute(
        "aria-label", "Loss: 0.5 at epoch 1, 2.5 at epoch 3"
    )
    for side in ("opposing", "supporting"):
        neighbours = dialog.locator(f"#{side} li")
        expect(neighbours).to_have_count(len(told[side]))
        for place, one in enumerate(told[side]):
            expect(neighbours.nth(place)).to_contain_text(one["id"])
            expect(neighbours.nth(place).locator("img")).to_have_js_property("naturalWidth", 8)
    expect(dialog.locator("#signals")).to_be_hidden()
    dialog.get_by_text("All signals").click()
    expect(dialog.locator("#signals tr")).to_have_count(len(told["signals"]))
    ranks = [int(rank) for rank in dialog.locator("#signals td:nth-child(3)").all_inner_texts()]
    assert ranks == sorted(one["rank"] for one in told["signals"].values())
    page.keyboard.press("ArrowRight")
    expect(page.locator("#sample-name")).to_have_text(second)
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#sample-name")).to_have_text(first)
    page.keyboard.press("Escape")
    expect(page.locator("#sample")).to_be_hidden()


def test_arrows_walk_through_the_whole_ranking(page: Page, job: str, client: httpx.Client) -> None:
    page.goto(job)
    wanted = ranked(client)
    page.get_by_role("button", name=wanted[23], exact=True).click()
    expect(page.locator("#sample-name")).to_have_text(wanted[23])
    for place in range(24, 28):
        page.keyboard.press("ArrowRight")
        expect(page.locator("#sample-name")).to_have_text(wanted[place])
    assert listed(page) == wanted[:50]


def test_a_neighbour_is_looked_at_like_any_sample(page: Page, job: str, client: httpx.Client) -> None:
    page.goto(job)
    first = ranked(client)[0]
    page.get_by_role("button", name=first, exact=True).click()
    other = client.get(f"/jobs/job_1/samples/{first}").json()["opposing"][0]
    page.locator("#opposing").get_by_role("button", name=other["id"], exact=True).click()
    expect(page.locator("#sample-name")).to_have_text(other["id"])
    expect(page.locator("#sample-place")).to_have_text(f"opened from {first}")
    expect(page.locator("#reason")).to_have_text(client.get(f"/jobs/job_1/samples/{other['id']}").json()["reason"])


def test_what_clients_call_things_is_never_markup(page: Page, services: Services) -> None:
    counts = dict.fromkeys(ODD, 4)
    add_finished(services.database, services.blobs, name=ODD[0], classes=ODD, class_counts=counts)
    page.goto("/#job_1")
    for name in ODD:
        expect(page.locator("#rows")).to_contain_text(name)
    expect(page.locator("#job-name")).to_have_text(ODD[0])
    expect(page.locator("#given")).to_contain_text(ODD[2])
    page.locator("#rows button").first.click()
    expect(page.locator("#labels")).to_contain_text("<")
    page.locator("#other").select_option(label=ODD[0])
    expect(page.locator("#rows .review").first).to_have_text(f"relabelled to {ODD[0]}")
    assert page.evaluate("window.hit") is None
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 1


def test_every_form_that_is_offered_can_be_had(page: Page, images: str) -> None:
    page.goto(images)
    page.locator("#form option").first.wait_for(state="attached")
    forms = page.locator("#form option").evaluate_all("options => options.map(option => option.value)")
    assert {"csv", "parquet", "jsonl", "label_studio", "fiftyone"} < set(forms)
    assert "doccano" not in forms
    for form_name in forms:
        page.locator("#form").select_option(form_name)
        with page.expect_download() as begun:
            page.locator("#download").click()
        assert begun.value.suggested_filename.startswith("job_1-mislabeled.")
        assert begun.value.path().stat().st_size > 0


def test_a_report_is_linked_where_there_is_one(page: Page, job: str, client: httpx.Client) -> None:
    page.goto(job)
    expect(page.locator("#rows tr")).to_have_count(25)
    there = client.get("/jobs/job_1").json()["links"]["report"] is not None
    expect(page.get_by_role("link", name="Report")).to_have_count(int(there))


def test_nothing_is_asked_of_another_server(page: Page, images: str, watched: Watched) -> None:
    page.goto(images)
    page.locator("#rows button").first.click()
    expect(page.locator("#media img")).to_have_js_property("naturalWidth", 8)
    assert len(watched.requests) > 30
    assert watched.elsewhere == []


def test_the_colours_follow_the_system(page: Page, job: str) -> None:
    page.goto(job)
    page.locator("#rows button").first.click()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        for place in ("body", "dialog"):
            paper, ink = (
                page.locator(place).evaluate(f"place => parseInt(getComputedStyle(place).{what}.match(/[0-9]+/)[0])")
                for what in ("backgroundColor", "color")
            )
            assert (paper < 64 < 192 < ink) if scheme == "dark" else (ink < 64 < 192 < paper)
