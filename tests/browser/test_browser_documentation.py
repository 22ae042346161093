"""/docs in a real browser, with no other network."""

import re

import httpx
from playwright.sync_api import Page, expect

from tests.browser.conftest import Watched


def test_every_operation_is_listed_and_nobody_else_is_asked(page: Page, watched: Watched, client: httpx.Client) -> None:
    page.goto("/docs")
    described = client.get("/openapi.json").json()["paths"]
    expect(page.locator(".opblock")).to_have_count(sum(len(methods) for methods in described.values()))
    assert len(watched.requests) >= 5
    assert watched.elsewhere == []


def test_an_operation_can_be_tried(page: Page) -> None:
    page.goto("/docs#/operations/get_health_healthz_get")
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table tbody .response-col_status").first).to_contain_text("200")


def test_the_colours_follow_the_system(page: Page) -> None:
    page.goto("/docs")
    for scheme, ink in (("light", r"rgba?\(\d{1,2},"), ("dark", r"rgba?\(2\d\d,"), ("light", r"rgba?\(\d{1,2},")):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        # The page hears of the change a frame later.
        expect(page.locator(".info .title")).to_have_css("color", re.compile(ink))
