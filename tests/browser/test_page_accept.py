"""Suggestions are accepted together, by how sure they are."""

import re

import httpx
import pyarrow.compute as pc
from playwright.sync_api import Page, expect

from service.services import Services
from tests.browser.conftest import PAGE, eventually
from tests.browser.reviewed_job import decisions, job, known, ready, standing, suspects
from tests.builders import add_dataset, add_job, finish, ranking, tell_only_the_order

__all__ = ["job", "known"]


def test_every_sure_suggestion_is_accepted_after_its_count_and_undone(
    page: Page, job: str, client: httpx.Client, known: None
) -> None:
    sure = suspects(client, min_confidence=0.6, disagrees=True)
    ready(page, job)
    page.get_by_role("button", name="Accept suggestions…").click()
    dialog = page.get_by_role("dialog", name="Accept suggestions")
    dialog.get_by_role("slider").fill("0.6")
    expect(dialog.get_by_text(f"{len(sure)} samples")).to_be_visible()
    assert decisions(client) == []
    dialog.get_by_role("button", name=f"Accept {len(sure)}").click()
    expect(page.get_by_text(f"{len(sure)} suggestions accepted")).to_be_visible()
    assert standing(client) == {one["sample"]["id"]: "relabel" for one in sure}
    page.get_by_role("status").get_by_role("button", name="Undo").click()
    assert eventually(lambda: standing(client), {}) == {}


def test_how_sure_is_proposed_so_that_something_matches(
    page: Page, job: str, client: httpx.Client, known: None
) -> None:
    levels = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5)
    wanted = next(level for level in levels if suspects(client, min_confidence=level, disagrees=True))
    assert wanted < levels[0]
    ready(page, job)
    page.get_by_role("button", name="Accept suggestions…").click()
    dialog = page.get_by_role("dialog", name="Accept suggestions")
    expect(dialog.get_by_role("slider")).to_have_value(f"{wanted:g}")
    expect(dialog.get_by_role("button", name=re.compile(r"Accept \d+"))).to_be_enabled()


def test_suggestions_that_are_only_ordered_can_be_accepted_however_low_they_are(
    page: Page, services: Services, client: httpx.Client, known: None
) -> None:
    info = add_dataset(services.database, blobs=services.blobs, rows=40)
    add_job(services.database, info)
    table = ranking(info)
    lowest = pc.multiply(table["suggested_confidence"], 0.25)
    place = table.column_names.index("suggested_confidence")
    finish(services.database, "job_1", info, table=table.set_column(place, "suggested_confidence", lowest))
    tell_only_the_order(services.database)
    ready(page, f"{PAGE}#/jobs/job_1/suspects")
    page.get_by_role("button", name="Accept suggestions…").click()
    dialog = page.get_by_role("dialog", name="Accept suggestions")
    expect(dialog.get_by_role("slider")).to_have_value("0.2")
    expect(dialog.get_by_role("button", name=re.compile(r"Accept \d+"))).to_be_enabled()
    dialog.get_by_role("slider").fill("0")
    every = len(suspects(client, min_confidence=0, disagrees=True))
    dialog.get_by_role("button", name=f"Accept {every}", exact=True).click()
    expect(page.get_by_text(f"{every} suggestions accepted")).to_be_visible()
