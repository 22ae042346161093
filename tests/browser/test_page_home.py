"""The first view: jobs and datasets as they stand, live, and what an empty installation offers."""

import httpx
from playwright.sync_api import Page, expect

from service.services import Services
from tests.browser.conftest import PAGE, Watched
from tests.builders import add_dataset, add_finished, add_job


def test_an_empty_installation_offers_a_sample_that_becomes_a_job(
    page: Page, client: httpx.Client, watched: Watched
) -> None:
    page.goto(PAGE)
    page.get_by_role("button", name="Try it with a sample").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sample: shapes")
    (job,) = client.get("/jobs").json()["items"]
    assert (job["name"], job["dataset"]["modality"]) == ("Sample: shapes", "image")


def test_jobs_and_datasets_are_told_apart_and_appear_without_reload(page: Page, services: Services) -> None:
    info = add_dataset(services.database)
    page.goto(PAGE)
    datasets = page.get_by_role("region", name="Datasets")
    jobs = page.get_by_role("region", name="Jobs")
    expect(datasets.get_by_role("link")).to_have_count(1)
    expect(jobs.get_by_text("No jobs yet")).to_be_visible()
    add_job(services.database, info)
    expect(jobs.get_by_role("link")).to_have_count(1)
    expect(jobs.get_by_role("link")).to_contain_text("Waiting")


def test_a_name_runs_in_the_direction_of_its_script(page: Page, services: Services) -> None:
    info = add_dataset(services.database, name="animals")
    add_job(services.database, info, name="חיות 2")
    page.goto(PAGE)
    for name, direction in (("animals", "ltr"), ("חיות 2", "rtl")):
        shown = page.get_by_text(name, exact=True)
        expect(shown).to_be_visible()
        assert shown.evaluate("one => getComputedStyle(one).direction") == direction


def test_a_finished_job_says_how_many_suspects_it_has(page: Page, services: Services) -> None:
    add_finished(services.database, services.blobs)
    page.goto(PAGE)
    expect(page.get_by_role("region", name="Jobs").get_by_role("link")).to_contain_text("suspect")


def test_the_search_leaves_what_has_the_name(page: Page, services: Services) -> None:
    add_job(services.database, add_dataset(services.database))
    page.goto(PAGE)
    page.get_by_role("searchbox", name="Search by name").fill("no such name")
    expect(page.get_by_text("No job has this name")).to_be_visible()
    expect(page.get_by_text("No dataset has this name")).to_be_visible()


def test_an_address_that_leads_nowhere_says_so(page: Page, watched: Watched) -> None:
    page.goto(f"{PAGE}#/elsewhere")
    expect(page.get_by_role("heading", name="Nothing is at this address")).to_be_visible()
    page.goto(f"{PAGE}#/datasets/ds_none")
    expect(page.get_by_role("heading", name="This dataset cannot be shown")).to_be_visible()
    assert {status for status, _ in watched.refused} == {404}
    watched.refused.clear()
