"""Reviews on the page that measure how many labels are wrong, and say when to stop."""

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Literal

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, expect

from service.actions import draw_samples
from service.services import Services
from tests.browser import axe
from tests.browser.conftest import PAGE, Watched, eventually, follow
from tests.builders import add_finished, play_rescoring

TRAIN, EVERY = 240, 5  # samples, of which every fifth is wrong
WRONG = TRAIN // EVERY
COUNT = f"{PAGE}#/jobs/job_1/audit"
BATCH = 20
ANSWER = re.compile(r"(\d+) wrong labels? found; between (\d+) and (\d+) in all")


@pytest.fixture(autouse=True)
def job(services: Services, context: BrowserContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """A completed job whose rows 0, 5, 10 … are wrong, and somebody who said who they are. Every run draws alike."""
    monkeypatch.setattr(draw_samples, "secrets", SimpleNamespace(randbits=lambda _: 18))
    add_finished(services.database, services.blobs, rows=TRAIN + 80, splits={"train": TRAIN, "test": 80})
    context.add_init_script("localStorage.setItem('reviewer', 'Noor')")


def audit(client: httpx.Client, **query: Any) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/jobs/job_1/audit", params=query).raise_for_status().json()
    return found


def is_wrong(name: str) -> bool:
    return int(name.removeprefix("row-")) % EVERY == 0


def judge(client: httpx.Client, names: list[str], reviewer: str) -> None:
    decisions = [
        {"sample_id": name, "decision": "remove" if is_wrong(name) else "keep", "reviewer": reviewer} for name in names
    ]
    client.post("/jobs/job_1/reviews", json=decisions).raise_for_status()


def shown(page: Page, number: int) -> str:
    """The sample at this place of the queue, when it is there."""
    expect(page.get_by_text(f"Sample {number}", exact=True)).to_be_visible()
    name = page.get_by_role("region", name="Sample row-").get_attribute("aria-label")
    assert name is not None
    return name.removeprefix("Sample ")


def review(page: Page, numbers: range) -> Iterator[str]:
    """Review by keys as one who never errs; gives each sample after its decision."""
    for number in numbers:
        name = shown(page, number)
        page.keyboard.press("r" if is_wrong(name) else "k")
        yield name


def answer(page: Page) -> Locator:
    return page.get_by_role("region", name="How many labels are wrong")


def said(page: Page) -> tuple[int, ...]:
    """Found, low and high, as the panel says them."""
    found = ANSWER.search(answer(page).inner_text())
    return tuple(int(number) for number in found.groups()) if found else ()


def measured(client: httpx.Client) -> tuple[int, ...]:
    found = audit(client)
    return found["found"], found["wrong"]["low"], found["wrong"]["high"]


def test_sixty_reviews_by_keys_give_a_range_that_holds_the_truth_and_a_reload_loses_nothing(
    page: Page, client: httpx.Client
) -> None:
    page.goto(COUNT)
    expect(answer(page)).to_contain_text("Not measured yet")
    assert said(page) == ()
    page.get_by_role("button", name="Start reviewing").click()
    names = list(review(page, range(1, 28)))
    before = shown(page, 28)
    assert eventually(lambda: audit(client)["reviewed"]["drawn"], 27) == 27
    page.reload()
    assert shown(page, 1) == before
    names += review(page, range(1, 34))
    assert len(set(names)) == len(names) == 60
    assert eventually(lambda: audit(client)["reviewed"], {"drawn": 60, "other": 0}) == {"drawn": 60, "other": 0}
    assert eventually(lambda: said(page), measured(client)) == measured(client)
    found, low, high = said(page)
    assert found == sum(is_wrong(name) for name in names)
    assert low <= WRONG <= high < TRAIN
    expect(page.get_by_role("list", name="Facts")).to_contain_text(f"{low} to {high} labels are wrong, measured")


def test_the_queue_goes_on_while_decisions_are_still_on_their_way(page: Page, client: httpx.Client) -> None:
    held: list[Route] = []
    is_slow = True
    page.route("**/jobs/job_1/reviews", lambda route: held.append(route) if is_slow else route.continue_())
    page.goto(COUNT)
    page.get_by_role("button", name="Start reviewing").click()
    names = list(review(page, range(1, 41)))
    assert len(set(names)) == 40
    assert audit(client)["reviewed"] == {"drawn": 0, "other": 0}
    is_slow = False
    for route in held:
        route.continue_()
    expect(answer(page)).to_contain_text("Rests on 40 reviews")


@pytest.mark.parametrize("status", [403, 429, 503])
def test_samples_that_are_not_handed_out_are_asked_for_when_the_person_says_so_or_what_refused_them_may_be_over(
    page: Page, watched: Watched, status: int
) -> None:
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=status, json={"detail": "No samples for you."})

    page.route("**/audit/draws", refuse)
    page.goto(COUNT)
    page.get_by_role("button", name="Start reviewing").click()
    if status < 500:
        expect(page.get_by_role("heading", name="No samples could be chosen")).to_be_visible()
        expect(page.get_by_text("No samples for you.")).to_have_count(1)
    if status == 403:
        page.wait_for_timeout(6_000)
        assert len(asked) == 1
    page.unroute("**/audit/draws")
    if status == 403:
        page.get_by_role("button", name="Ask again").click()
    # A quota is free again later, and trouble of the service passes: both are tried once more without a word.
    shown(page, 1)
    watched.refused.clear()


def test_what_the_model_says_is_hidden_until_the_decision_for_who_wants_that(page: Page) -> None:
    page.goto(COUNT)
    page.get_by_label("Hide what the model says until I have decided").check()
    page.get_by_role("button", name="Start reviewing").click()
    shown(page, 1)
    hidden = page.get_by_text("What the model says is hidden until you decide.")
    told = page.get_by_text("The model would say")
    for after in ("the start", "a reload"):
        expect(hidden, after).to_be_visible()
        expect(told).to_have_count(0)
        expect(page.get_by_role("heading", name="What the model learned from it")).to_have_count(0)
        expect(page.get_by_role("button", name="As suggested")).to_be_disabled()
        page.reload()
        shown(page, 1)
    page.keyboard.press("r")
    page.keyboard.press("k")
    shown(page, 2)
    expect(hidden).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(told).to_be_visible()


def test_undo_gives_the_sample_back(page: Page, client: httpx.Client) -> None:
    page.goto(COUNT)
    page.get_by_role("button", name="Start reviewing").click()
    names = list(review(page, range(1, 4)))
    shown(page, 4)
    page.keyboard.press("z")
    assert shown(page, 3) == names[-1]
    assert eventually(lambda: audit(client)["reviewed"]["drawn"], 2) == 2
    page.keyboard.press("k")
    shown(page, 4)
    assert eventually(lambda: audit(client)["reviewed"]["drawn"], 3) == 3


@pytest.mark.parametrize(
    ("goal", "advice"),
    [
        ("accept:0.6", "At most 60 % is wrong: accept"),
        ("accept:0.01", "More than 1 % is wrong: refuse"),
        ("remaining:0.5", "You may stop"),
    ],
)
def test_it_says_to_stop_when_the_goal_is_reached_and_not_before(
    page: Page, client: httpx.Client, goal: str, advice: str
) -> None:
    page.goto(f"{COUNT}?goal={goal}")
    page.get_by_role("button", name="Start reviewing").click()
    # How many it takes depends on how many the page has asked for before the next model.
    for number, _ in enumerate(review(page, range(1, 200)), 1):
        assert eventually(lambda: sum(audit(client)["reviewed"].values()), number) == number
        stop = audit(client, goal=goal)["stop"]
        if stop["reached"] or stop["refused"]:
            break
        assert answer(page).get_by_text(advice).count() == 0
    expect(answer(page).get_by_text(advice)).to_be_visible()
    page.get_by_role("button", name="What this means").click()
    expect(page.get_by_role("dialog", name="What these numbers mean")).to_contain_text("95 % confidence")


def test_reviews_of_others_change_the_numbers_without_a_reload(page: Page, client: httpx.Client) -> None:
    items = client.post("/jobs/job_1/audit/draws", json={"count": 40}).raise_for_status().json()["items"]
    names = [item["sample_id"] for item in items]
    judge(client, names[:30], "Ann")
    follow(page, COUNT)
    assert eventually(lambda: said(page), measured(client)) == measured(client)
    was = said(page)
    judge(client, names[30:31], "Bob")
    expect(answer(page)).to_contain_text("Rests on 31 reviews")
    judge(client, names[31:], "Bob")
    others = [f"row-{index}" for index in range(0, TRAIN, EVERY) if f"row-{index}" not in names][:5]
    judge(client, others, "Cid")
    assert eventually(lambda: said(page), measured(client)) == measured(client) != was
    expect(answer(page)).to_contain_text("Rests on 40 of 45 reviews")
    page.get_by_role("button", name="By label").click()
    rows = page.get_by_role("region", name="By label").get_by_role("row")
    expect(rows).to_have_count(4)
    found = {one["label"]: one for one in audit(client, by="label")["labels"]}
    for label, one in found.items():
        row = page.get_by_role("row", name=label)
        expect(row).to_contain_text(f"{one['wrong']['low']} to {one['wrong']['high']}")


def test_who_has_reviewed_all_knows_the_number(page: Page, client: httpx.Client) -> None:
    judge(client, [f"row-{index}" for index in range(TRAIN)], "Ann")
    page.goto(COUNT)
    expect(answer(page)).to_contain_text(f"Every label was reviewed: {WRONG} are wrong of {TRAIN}.")
    expect(page.get_by_role("heading", name="Every label was reviewed")).to_be_visible()


def test_the_list_of_suspects_leads_to_the_count_and_a_goal_is_kept_in_the_address(page: Page) -> None:
    page.goto(f"{PAGE}#/jobs/job_1/suspects")
    page.get_by_role("link", name="Review for the count").click()
    expect(page.get_by_role("link", name="Count", exact=True)).to_have_attribute("aria-current", "page")
    page.get_by_label("Goal", exact=True).select_option("Find at least 90 % of the wrong ones")
    page.get_by_label("Percent of the goal").fill("75")
    page.get_by_label("Percent of the goal").press("Enter")
    expect(page).to_have_url(re.compile(r"goal=recall%3A0\.75$"))
    with page.expect_request("**/audit/draws") as sent:
        page.get_by_role("button", name="Start reviewing").click()
    assert sent.value.post_data_json == {
        "count": BATCH,
        "goal": "recall:0.75",
        "of": "version",
        "reviewer": "Noor",
        "confirm": None,
    }


def test_what_one_person_calls_wrong_goes_to_a_second_one_who_is_not_told(
    page: Page, client: httpx.Client, browser: Browser, server: str
) -> None:
    follow(page, COUNT)
    page.get_by_label("A second person confirms what is wrong").check()
    page.get_by_role("button", name="Start reviewing").click()
    wrong = [name for name in review(page, range(1, 19)) if is_wrong(name)]
    assert len(wrong) > 1
    expect(answer(page)).to_contain_text(f"{len(wrong)} labels called wrong wait for a second person")
    assert said(page)[0] == 0
    other = browser.new_context(base_url=server)
    other.add_init_script("localStorage.setItem('reviewer', 'Ann')")
    second = other.new_page()
    second.goto(COUNT)
    second.get_by_role("button", name="Go on reviewing").click()
    shown(second, 1)
    expect(second.get_by_text("Relabelled to")).to_have_count(0)
    assert set(review(second, range(1, len(wrong) + 1))) == set(wrong)
    expect(answer(page)).not_to_contain_text("second person,")
    assert eventually(lambda: said(page), measured(client)) == measured(client)
    assert said(page)[0] == len(wrong)
    other.close()


def test_the_ranking_is_sharpened_when_enough_labels_are_verified(
    page: Page, client: httpx.Client, services: Services
) -> None:
    # Jobs of tests ended long ago, and their checkpoints would be deleted for that.
    kept = services.settings.model_copy(update={"keep_checkpoints_days": 0})
    object.__setattr__(services, "settings", kept)
    (services.blobs.checkpoints("job_1") / "00001.pt").touch()
    judge(client, [f"row-{index}" for index in range(0, 60, EVERY)], "Ann")  # twelve are removed
    judge(client, [f"row-{index}" for index in range(1, 9)], "Ann")  # seven are kept
    follow(page, COUNT)
    asked = page.get_by_role("button", name=re.compile("to sharpen the ranking|Sharpening"))
    expect(asked).to_be_disabled()
    expect(
        page.get_by_text("7 labels of this job are verified, and at least 10 are needed: keep or relabel 3 more")
    ).to_be_visible()
    judge(client, ["row-11", "row-12"], "Ann")
    expect(page.get_by_text("keep or relabel 1 more sample.")).to_be_visible()
    expect(asked).to_be_disabled()
    judge(client, ["row-13"], "Ann")
    expect(asked).to_have_text("Use 10 verified labels to sharpen the ranking")
    asked.click()
    expect(asked).to_have_text("Sharpening…")
    expect(asked).to_be_disabled()
    # The page says so at the click, before the service has written it down for a worker.
    assert eventually(lambda: (client.get("/jobs/job_1").json()["rescoring"] or {}).get("state"), "queued") == "queued"
    play_rescoring(services, [*range(100, TRAIN), *range(100)])
    expect(page.get_by_text("Sharpened by 12 verified samples")).to_be_visible()
    expect(asked).to_be_enabled()
    page.goto(f"{PAGE}#/jobs/job_1/suspects")
    expect(page.get_by_role("grid").get_by_role("row").filter(has_text=re.compile(r"row-\d")).first).to_contain_text(
        "row-100"
    )


def test_a_plot_is_drawn_where_the_browser_names_no_language(page: Page, client: httpx.Client) -> None:
    # As Chromium does under the C locale; the library of the plots then fails to load.
    page.add_init_script("Object.defineProperty(navigator, 'language', {value: 'en-US@posix', configurable: true})")
    drawn = client.post("/jobs/job_1/audit/draws", json={"count": 20}).raise_for_status().json()["items"]
    judge(client, [one["sample"]["id"] for one in drawn], "Ann")
    page.goto(COUNT)
    expect(page.locator("figure canvas").first).to_be_visible()


def test_who_differs_from_whom_is_shown_on_demand(page: Page, client: httpx.Client) -> None:
    judge(client, ["row-1", "row-2", "row-3"], "Ann")
    judge(client, ["row-1", "row-2"], "Bob")
    client.post(
        "/jobs/job_1/reviews", json=[{"sample_id": "row-3", "decision": "plausible", "reviewer": "Bob"}]
    ).raise_for_status()
    follow(page, COUNT)
    page.get_by_role("button", name="By reviewer").click()
    found = page.get_by_role("region", name="By reviewer")
    expect(found.get_by_role("row", name="Ann")).to_contain_text("67 %")
    expect(found.get_by_role("row", name="Bob")).to_contain_text("100 %")
    expect(found.get_by_role("heading", name="People differ on 1 sample")).to_be_visible()
    expect(found.get_by_role("listitem")).to_contain_text("row-3")
    for word in ("Ann: right as it is", "Bob: plausible", "Holds: plausible"):
        expect(found.get_by_role("listitem")).to_contain_text(word)
    judge(client, ["row-3"], "Ann")
    judge(client, ["row-3"], "Bob")
    expect(found).to_contain_text("People agree on every sample")


@pytest.mark.parametrize(("width", "theme"), [(1440, "dark"), (360, "light")])
def test_the_queue_beside_its_numbers_has_no_barrier(
    client: httpx.Client, browser: Browser, server: str, axe_script: str, width: int, theme: Literal["dark", "light"]
) -> None:
    items = client.post("/jobs/job_1/audit/draws", json={"count": 40}).raise_for_status().json()["items"]
    judge(client, [item["sample_id"] for item in items], "Ann")
    context = browser.new_context(
        base_url=server, viewport={"width": width, "height": 900}, color_scheme=theme, bypass_csp=True
    )
    context.add_init_script("localStorage.setItem('reviewer', 'Noor')")
    page = context.new_page()
    page.goto(f"{COUNT}?goal=accept:0.01")
    page.get_by_role("button", name="Go on reviewing").click()
    if width < 1000:
        page.get_by_role("button", name="Goal and plot").click()
    page.get_by_role("button", name="By label").click()
    expect(page.get_by_role("region", name="By label").get_by_role("row")).to_have_count(4)
    shown(page, 1)
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    assert axe.violations(page, axe_script) == []
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    context.close()
