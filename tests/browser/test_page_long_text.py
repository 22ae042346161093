"""A text of a whole book does not hold up the page."""

import time

import httpx
import pytest
from playwright.sync_api import Page, expect

from service.services import Services
from tests.browser.reviewed_job import finished_over, known
from tests.builders import form

__all__ = ["known"]


@pytest.mark.parametrize("word", ["goal ", "الهدف ", "goal"], ids=["words", "arabic", "one word"])
def test_of_a_long_text_the_beginning_is_shown_and_all_of_it_on_demand(
    page: Page, services: Services, client: httpx.Client, known: None, word: str
) -> None:
    lines = [f"{word if number % 2 else 'bank'} {number},{('money', 'sport')[number % 2]}" for number in range(160)]
    text = (word * 150_000)[:600_000].strip()
    lines.append(f"{text},money")
    address = finished_over(services, client, form("\n".join(["text,label", *lines]).encode(), "news.csv"))
    page.goto(f"{address}?sample=row-160")
    shown = page.get_by_role("region", name="About the sample").locator(".text")
    expect(shown).to_contain_text("…")
    assert len(shown.inner_text()) <= 4_001
    began = time.monotonic()
    page.get_by_role("button", name=f"Show all {len(text):,} characters").click()
    assert shown.evaluate("one => one.getBoundingClientRect().height > 0 && one.textContent") == text
    assert time.monotonic() - began < 20  # it took minutes
