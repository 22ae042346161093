"""Suspects are reviewed by keyboard, one by one and many at once; the address keeps what is shown."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import BrowserContext, Dialog, Page, Route, expect

from service.services import Services
from tests.browser.conftest import eventually, follow
from tests.browser.reviewed_job import (
    decisions,
    finished_over,
    job,
    known,
    pictures,
    ready,
    settle,
    standing,
    suspects,
    texts,
)
from tests.builders import form

__all__ = ["job", "known", "pictures", "texts"]

_LATER_PAGES = re.compile("/suspects.*offset=[1-9]")
# How far the first letter of a text is from the left and from the right of what holds it.
_FIRST_LETTER = """one => {
  const range = document.createRange();
  range.setStart(document.createTreeWalker(one, NodeFilter.SHOW_TEXT).nextNode(), 0);
  range.setEnd(range.startContainer, 1);
  const [letter, box] = [range.getBoundingClientRect(), one.parentElement.getBoundingClientRect()];
  return [letter.left - box.left, box.right - letter.right];
}"""


@contextmanager
def held(page: Page, address: re.Pattern[str]) -> Iterator[None]:
    """Hold back what the page asks for until the block ends."""
    waiting: list[Route] = []
    is_held = True

    def answer(route: Route) -> None:
        if is_held:
            waiting.append(route)
        else:
            route.continue_()

    page.route(address, answer)
    yield
    for _ in range(1000):
        if waiting:
            break
        page.wait_for_timeout(50)
    assert waiting
    is_held = False
    for route in waiting:
        route.continue_()


def at(page: Page, place: int) -> None:
    """The cursor is at a place of the list."""
    expect(page.get_by_role("grid", name="Suspects")).to_have_attribute("aria-activedescendant", f"suspect-{place}")


def test_twenty_reviews_by_keyboard_are_saved_in_their_order_with_a_name(
    page: Page, job: str, client: httpx.Client
) -> None:
    ready(page, job)
    items = suspects(client)
    keys = [
        key if items[place]["suggested_label"] != items[place]["given_label"] or key != "r" else "k"
        for place, key in enumerate("rkxur" * 4)
    ]
    page.keyboard.press(keys[0])
    page.get_by_label("Your name").fill("Noor")
    page.keyboard.press("Enter")
    at(page, 1)
    for place, key in enumerate(keys[1:], 1):
        page.keyboard.press(key)
        at(page, place + 1)
    words = {"r": "relabel", "k": "keep", "x": "remove", "u": "unsure"}
    wanted = [
        (item["sample"]["id"], words[key], item["suggested_label"] if key == "r" else None)
        for item, key in zip(items, keys, strict=False)
    ]
    expect(page.get_by_text(re.compile(r"\d+ of \d+ flagged reviewed"))).to_be_visible()
    assert eventually(lambda: decisions(client), wanted) == wanted
    assert {one["reviewer"] for one in client.get("/jobs/job_1/reviews").json()["items"]} == {"Noor"}
    page.reload()
    expect(page.locator("[data-place='0']").get_by_title(re.compile("by Noor"))).to_be_visible()
    # The cursor is where it was: no decision is overwritten by the next key, and nobody is asked for a name twice.
    at(page, 20)
    page.keyboard.press("k")
    at(page, 21)


def test_digits_name_classes_and_z_brings_back_what_held_before(
    page: Page, job: str, client: httpx.Client, known: None
) -> None:
    first, second = (item["sample"]["id"] for item in suspects(client)[:2])
    client.post("/jobs/job_1/reviews", json=[{"sample_id": first, "decision": "keep"}])
    other = next(
        place for place, name in enumerate(["cat", "dog", "eel"]) if name != suspects(client)[0]["given_label"]
    )
    ready(page, job)
    page.keyboard.press(str(other + 1))
    at(page, 1)
    page.keyboard.press("x")
    at(page, 2)
    decided = {first: "relabel", second: "remove"}
    assert eventually(lambda: standing(client), decided) == decided
    page.keyboard.press("z")
    at(page, 1)
    page.keyboard.press("z")
    at(page, 0)
    assert eventually(lambda: standing(client), {first: "keep"}) == {first: "keep"}
    page.keyboard.press("z")
    expect(page.get_by_text("There is nothing to undo")).to_be_visible()


def test_a_key_with_another_and_a_key_in_a_field_decide_nothing(page: Page, job: str, client: httpx.Client) -> None:
    ready(page, job)
    for keys in ("Control+x", "Alt+k", "Meta+u"):
        page.keyboard.press(keys)
    page.keyboard.press("/")
    page.keyboard.type("kxu")
    expect(page.get_by_role("searchbox")).to_have_value("kxu")
    settle(page)
    assert decisions(client) == []


def test_what_is_selected_is_decided_together_and_undone_together(
    page: Page, job: str, client: httpx.Client, known: None
) -> None:
    ids = [one["sample"]["id"] for one in suspects(client)]
    ready(page, job)
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    page.locator("[data-place='5']").click(modifiers=["Control"])
    expect(page.get_by_text("4 selected")).to_be_visible()
    page.keyboard.press("x")
    chosen = {ids[0], ids[1], ids[2], ids[5]}
    assert eventually(lambda: standing(client), dict.fromkeys(chosen, "remove")) == dict.fromkeys(chosen, "remove")
    page.keyboard.press("z")
    assert eventually(lambda: standing(client), {}) == {}


def test_a_frame_drawn_with_the_mouse_selects_cards(page: Page, pictures: str) -> None:
    ready(page, pictures)
    first, last = (page.locator(f"[data-place='{place}']").bounding_box() for place in (0, 2))
    assert first is not None
    assert last is not None
    page.mouse.move(first["x"] + 10, first["y"] + 20)
    page.mouse.down()
    page.mouse.move(last["x"] + 30, last["y"] + 60, steps=5)
    page.mouse.up()
    expect(page.get_by_text("3 selected")).to_be_visible()
    assert "sample=" not in page.url


def test_a_reload_and_the_way_back_keep_filters_order_and_position(page: Page, job: str, client: httpx.Client) -> None:
    ready(page, f"{job}?label=cat&by=si")
    with page.expect_response(re.compile("reviewed=false")):
        page.get_by_role("button", name="Not reviewed").click()
    settle(page)
    grid = page.get_by_role("grid", name="Suspects")
    grid.evaluate("list => { list.scrollTop = 1500 }")
    page.wait_for_url(re.compile(r"at=\d+"))
    shown = page.url
    total = len(suspects(client, label="cat", by="si"))
    for turn in ("reload", "away"):
        if turn == "reload":
            page.reload()
        else:
            page.get_by_role("link", name="Understand").click()
            page.wait_for_url(re.compile("understand"))
            page.go_back()
        expect(page.get_by_role("button", name="Remove the filter: Labelled cat")).to_be_visible()
        expect(page.get_by_role("button", name="Not reviewed")).to_have_attribute("aria-pressed", "true")
        expect(page.get_by_text(f"{total} samples", exact=True)).to_be_visible()
        expect(page).to_have_url(shown)
        assert eventually(lambda: grid.evaluate("list => list.scrollTop") > 1000, True)
    page.get_by_role("button", name="Remove the filter: Labelled cat").click()
    expect(page.get_by_text(f"{len(suspects(client))} samples", exact=True)).to_be_visible()
    page.go_back()
    expect(page.get_by_role("button", name="Remove the filter: Labelled cat")).to_be_visible()


def test_decided_samples_stay_in_their_place_until_the_list_is_loaded_anew(
    page: Page, job: str, client: httpx.Client, known: None
) -> None:
    ids = [one["sample"]["id"] for one in suspects(client)]
    ready(page, f"{job}?reviewed=false")
    for place in range(3):
        page.keyboard.press("k")
        at(page, place + 1)
    assert eventually(lambda: standing(client), dict.fromkeys(ids[:3], "keep")) == dict.fromkeys(ids[:3], "keep")
    grid = page.get_by_role("grid", name="Suspects")
    for place in (0, 2, 3, 120, 299):
        grid.evaluate("(list, place) => { list.scrollTop = place * 36 - 40 }", place)
        expect(page.locator(f"[data-place='{place}']")).to_contain_text(ids[place])
    grid.evaluate("list => { list.scrollTop = 0 }")
    page.wait_for_url(lambda address: "at=" not in address)
    page.reload()
    expect(page.locator("[data-place='0']")).to_contain_text(ids[3])


def test_two_pages_see_each_others_reviews(
    context: BrowserContext, page: Page, job: str, client: httpx.Client, known: None
) -> None:
    ready(page, job)
    other = context.new_page()
    follow(other, job)
    expect(other.locator("[data-place='0']")).to_be_visible()
    mark = "[data-place='0'] >> text=Kept"
    expect(other.locator(mark)).to_have_count(0)
    page.keyboard.press("k")
    expect(page.locator(mark)).to_be_visible()
    expect(other.locator(mark)).to_be_visible()
    expect(other.get_by_role("button", name="Corrected file", exact=True)).to_be_enabled()
    page.keyboard.press("z")
    expect(other.locator(mark)).to_have_count(0)


def test_a_review_that_others_make_before_the_page_listens_is_shown(page: Page, job: str, client: httpx.Client) -> None:
    first = client.get("/jobs/job_1/suspects").json()["items"][0]["sample"]["id"]

    def meanwhile(route: Route) -> None:
        # By now a list that is asked for together with the stream has come.
        time.sleep(0.5)
        client.post("/jobs/job_1/reviews", json=[{"sample_id": first, "decision": "keep"}]).raise_for_status()
        route.continue_()

    page.route("**/reviews/events", meanwhile)
    page.goto(job)
    expect(page.locator("[data-place='0'] >> text=Kept")).to_be_visible()


def test_a_sample_has_its_address_and_the_keys_decide_on_it(
    page: Page, job: str, client: httpx.Client, known: None
) -> None:
    items = suspects(client)
    ids = [one["sample"]["id"] for one in items]
    ready(page, f"{job}?sample={quote(ids[7])}")
    panel = page.get_by_role("complementary", name=f"Sample {ids[7]}")
    expect(panel.get_by_text(f"8 of {len(ids)}")).to_be_visible()
    page.keyboard.press("u")
    expect(page.get_by_role("complementary", name=f"Sample {ids[8]}")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(panel.get_by_text("Unsure").first).to_be_visible()
    expect(panel.get_by_role("heading", name="Decisions")).to_be_visible()
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    page.go_back()
    expect(panel).to_be_visible()
    assert eventually(lambda: standing(client), {ids[7]: "unsure"}) == {ids[7]: "unsure"}


def test_c_chooses_a_class_for_the_sample_that_is_open(page: Page, job: str, client: httpx.Client, known: None) -> None:
    ready(page, job)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Strongest signals")).to_be_attached()
    page.keyboard.press("c")
    # The list and its field are in sight, not merely there.
    expect(page.get_by_placeholder("Find a class").last).to_be_in_viewport(ratio=1)
    page.keyboard.type("cat")
    page.keyboard.press("Enter")
    first = suspects(client)[0]["sample"]["id"]
    assert eventually(lambda: decisions(client), [(first, "relabel", "cat")]) == [(first, "relabel", "cat")]


def test_keys_pressed_before_the_next_samples_are_there_decide_on_them_in_turn(
    page: Page, job: str, client: httpx.Client, known: None
) -> None:
    with held(page, _LATER_PAGES):
        ready(page, job)
        for _ in range(48):
            page.keyboard.press("ArrowRight")
        for key in "kxuk":
            page.keyboard.press(key)
    at(page, 52)
    ids = [one["sample"]["id"] for one in suspects(client)[48:52]]
    wanted = list(zip(ids, ["keep", "remove", "unsure", "keep"], [None] * 4, strict=True))
    assert eventually(lambda: decisions(client), wanted) == wanted


def test_a_key_pressed_before_the_opened_sample_is_found_in_the_list_decides_on_it_and_goes_on(
    page: Page, job: str, client: httpx.Client, known: None
) -> None:
    ids = [one["sample"]["id"] for one in suspects(client)]
    with held(page, _LATER_PAGES):
        ready(page, f"{job}?sample={quote(ids[-3])}")
        expect(page.get_by_role("heading", name="Why it stands here")).to_be_visible()
        page.keyboard.press("u")
    expect(page.get_by_role("complementary", name=f"Sample {ids[-2]}")).to_be_visible()
    assert eventually(lambda: standing(client), {ids[-3]: "unsure"}) == {ids[-3]: "unsure"}


def test_a_tab_with_decisions_that_are_not_saved_asks_before_it_goes(
    page: Page, job: str, client: httpx.Client
) -> None:
    ready(page, job)
    asked: list[str] = []

    def accept(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", accept)
    saving = re.compile("/jobs/job_1/reviews$")
    page.route(saving, lambda _: None)  # the service does not answer
    for place in range(8):
        page.keyboard.press("k")
        if place == 0:
            page.get_by_label("Your name").fill("Noor")
            page.keyboard.press("Enter")
        at(page, place + 1)
    expect(page.get_by_text("Saving 8 decisions…")).to_be_visible()
    page.unroute(saving)
    page.reload()
    assert asked == ["beforeunload"]
    # What was not saved is sent by the page that comes after it.
    assert eventually(lambda: len(standing(client)), 8) == 8
    expect(page.get_by_text(re.compile("^Saving"))).to_have_count(0)
    page.reload()
    assert asked == ["beforeunload"]


def test_words_that_are_typical_of_the_given_and_of_the_suggested_label_are_marked_apart(
    page: Page, texts: str, client: httpx.Client
) -> None:
    ready(page, f"{texts}?q=row-0")
    row = page.locator("[data-place='0']")
    given, suggested = row.locator(".typical.given"), row.locator(".typical.suggested")
    expect(given).to_have_text("Goal")
    expect(suggested).to_have_text("bank")
    lines = [one.evaluate("one => getComputedStyle(one).textDecorationStyle") for one in (given, suggested)]
    assert lines == ["dotted", "solid"]  # not told apart by colours alone
    expect(page.get_by_role("columnheader", name="Text: typical of given, suggested label")).to_be_visible()
    # To a screen reader the text is as it was uploaded: a mark neither has a role nor parts a word.
    expect(row.get_by_role("gridcell").last).to_have_accessible_name("The news number 0 of a Goal beside the bank")
    row.click()
    sample = page.get_by_role("complementary", name="Sample row-0")
    expect(sample.locator(".text .typical")).to_have_text(["Goal", "bank"])
    expect(sample.locator("dt")).to_have_text(
        ["Typical of sport, the given label", "Typical of money, the suggested label"]
    )
    expect(sample.locator("dd .typical").first).to_have_attribute(
        "title", "in 50 % of the texts labelled sport, in none of the others"
    )
    expect(sample.get_by_text("They do not show what the model looked at")).to_be_visible()
    page.get_by_label("Search by name or text").fill("a goal")
    expect(row.locator("mark")).to_have_text(["a ", "Goal"])
    expect(row.locator("mark.typical.given")).to_have_text("Goal")


@pytest.mark.usefixtures("known")
def test_what_was_just_reviewed_counts_at_once_for_sharpening_and_for_the_next_run(page: Page, job: str) -> None:
    ready(page, job)
    for _ in range(12):
        page.keyboard.press("k")
    expect(page.get_by_role("button", name="Use 12 verified labels to sharpen the ranking")).to_be_visible()
    page.keyboard.press("k")
    with page.expect_response("**/reviews"):
        page.keyboard.press("k")
    page.get_by_role("link", name="Before and after").click()
    expect(page.get_by_text("14 samples reviewed")).to_be_visible()
    expect(page.get_by_text("Nothing is reviewed yet")).to_be_hidden()


def test_a_text_that_is_read_from_the_right_begins_there(page: Page, services: Services, client: httpx.Client) -> None:
    lines = [
        f"{'هدف' if number % 4 < 2 else 'خبر'} رقم {number}؟,{('sport', 'money')[number % 2]}" for number in range(160)
    ]
    address = finished_over(services, client, form("\n".join(["text,label", *lines]).encode(), "news.csv"))
    ready(page, f"{address}?q=row-0&sample=row-0")
    sample = page.get_by_role("complementary", name="Sample row-0")
    for text in (page.locator("[data-place='0'] .text"), sample.locator(".text")):
        expect(text).to_have_text("هدف رقم 0؟")
        left, right = text.evaluate(_FIRST_LETTER)
        assert right < left / 2, (left, right)


def test_a_saved_view_brings_back_its_filters(page: Page, job: str) -> None:
    ready(page, f"{job}?label=dog")
    page.get_by_role("button", name="Saved views").click()
    page.get_by_label("Name of this view").fill("Dogs")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Remove the filter: Labelled dog").click()
    page.reload()
    page.get_by_role("button", name="Saved views").click()
    page.get_by_role("button", name="Dogs", exact=True).click()
    expect(page.get_by_role("button", name="Remove the filter: Labelled dog")).to_be_visible()
    assert "label=dog" in page.url
