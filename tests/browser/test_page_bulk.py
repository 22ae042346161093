"""Many decisions at once change none that was made before, unless somebody says so; long names leave room for what is suggested."""

import httpx
import pytest
from playwright.sync_api import Page, expect

from service.services import Services
from tests.browser.conftest import eventually
from tests.browser.reviewed_job import finished_over, job, known, ready, standing, suspects
from tests.builders import form

__all__ = ["job", "known"]


def test_what_was_reviewed_is_left_as_it_was_until_somebody_says_so(
    page: Page, job: str, client: httpx.Client, known: None
) -> None:
    ids = [one["sample"]["id"] for one in suspects(client)[:4]]
    client.post("/jobs/job_1/reviews", json=[{"sample_id": ids[1], "decision": "remove"}]).raise_for_status()
    ready(page, job)
    for _ in ids[1:]:
        page.keyboard.press("Shift+ArrowDown")
    expect(page.get_by_text("4 selected")).to_be_visible()
    page.keyboard.press("k")
    expect(page.get_by_text("1 reviewed sample was left as it was")).to_be_visible()
    wanted = dict.fromkeys(ids, "keep") | {ids[1]: "remove"}
    assert eventually(lambda: standing(client), wanted) == wanted
    page.get_by_role("button", name="Change too").click()
    assert eventually(lambda: standing(client), dict.fromkeys(ids, "keep")) == dict.fromkeys(ids, "keep")


@pytest.mark.parametrize(
    ("width", "long"), [(1440, "a very long name of a class " * 4), (360, "اسم طويل جدا لفئة " * 8)]
)
def test_a_long_name_leaves_half_of_the_width_to_the_suggestion_and_the_list_of_classes_fits(
    page: Page, services: Services, client: httpx.Client, known: None, width: int, long: str
) -> None:
    name = long.strip()
    other = f"{name} of the other kind"
    lines = [f"some text {number},{(name, other)[number % 2]}" for number in range(60)]
    page.set_viewport_size({"width": width, "height": 800})
    ready(page, finished_over(services, client, form("\n".join(["text,label", *lines]).encode(), "news.csv")))
    shares = page.locator("[data-place='0'] .change").last.evaluate(
        "one => ['.given', '.to'].map(part => one.querySelector(part).getBoundingClientRect().width"
        " / one.getBoundingClientRect().width)"
    )
    assert shares[1] > 0.5
    assert shares[0] > 0.25
    ends = page.locator("[data-place='0'] .given").evaluate("one => getComputedStyle(one).direction")
    assert ends == ("rtl" if width == 360 else "ltr")
    page.keyboard.press("c")
    box = page.get_by_placeholder("Find a class").locator("..").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= page.evaluate("document.documentElement.clientWidth")
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= 800
