"""A job on the page: as it runs, waits, fails and ends; its queues; and the one that follows it, side by side."""

import re
import time
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from service.domain.dataset import DatasetInfo
from service.domain.job import JobError, Progress, State
from service.services import Services
from service.store import datasets, job_events, jobs, rankings
from service.store.jobs import Claim
from tests.browser import axe
from tests.browser.conftest import PAGE, Watched, follow
from tests.builders import (
    CSV,
    LEASE,
    add_dataset,
    add_finished,
    add_job,
    finish,
    form,
    give_first_ranking,
    group,
    ranking,
    result,
    save_parts,
    summaries,
)

PARTS = ("training", "groups", "verify", "changes")


@pytest.fixture
def context(context: BrowserContext) -> BrowserContext:
    """A person who has said who reviews."""
    context.add_init_script("localStorage.setItem('reviewer', 'Ada'); localStorage.setItem('reviewer-asked', 'yes')")
    return context


def claim(services: Services, job_id: str = "job_1") -> Claim:
    with services.database.write() as connection:
        held = jobs.claim(connection, job_id, "worker-1", LEASE, services.now())
    assert held is not None
    return held


def train(services: Services, held: Claim, epochs: int) -> None:
    progress = Progress(phase="training", fraction=0.25, detail="epoch 3/8", eta_seconds=40)
    with services.database.write() as connection:
        jobs.advance(connection, held, State.TRAINING, progress, services.now())
        for epoch in range(1, epochs + 1):
            told = {"epoch": epoch, "loss": 2.0 / epoch, "accuracy": 1 - 0.5 / epoch, "learning_rate": 0.1}
            job_events.record(connection, held.job_id, "metrics", told, services.now())


def complete(services: Services, held: Claim, info: DatasetInfo, **model: float) -> None:
    table = ranking(info)
    found = result(len(table))
    with services.database.write() as connection:
        for state in (State.SCORING, State.RANKING):
            jobs.advance(connection, held, state, Progress(phase=state, fraction=0.75), services.now())
        jobs.complete(connection, held, {**found, "model": {**found["model"], **model}}, services.now())
        rankings.save(connection, held.job_id, table)
        rankings.save_summaries(connection, held.job_id, summaries())


def curve(page: Page, title: str) -> list[str]:
    table = page.get_by_role("table", name=title)
    expect(table).to_be_attached()
    return table.locator("tbody tr").all_inner_texts()


def test_progress_and_curves_are_live_and_survive_a_reload(page: Page, services: Services) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    add_job(services.database, info)
    page.goto(f"{PAGE}#/jobs/job_1")
    expect(page.get_by_role("heading", name="No worker is running")).to_be_visible()
    held = claim(services)
    train(services, held, 2)
    for _ in range(2):
        expect(page.get_by_role("progressbar")).to_have_attribute("value", "0.25")
        expect(page.get_by_text("Epoch 3 of 8")).to_be_visible()
        expect(page.get_by_text("about 40 s left")).to_be_visible()
        expect(page.get_by_role("table", name="Loss").locator("tbody tr")).to_have_count(2)
        assert curve(page, "Loss") == ["1\t2", "2\t1"]
        assert curve(page, "Accuracy on the training samples") == ["1\t0.5", "2\t0.75"]
        page.reload()
    complete(services, held, info)
    expect(page.get_by_role("navigation", name="Parts of this job")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("animals")
    expect(page).to_have_title("animals: Usual Suspects")
    page.get_by_role("link", name="Training").click()
    expect(page.get_by_role("table", name="Loss").locator("tbody tr")).to_have_count(2)


def test_a_first_look_comes_while_the_job_runs_and_the_final_list_takes_its_place(
    page: Page, services: Services
) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    add_job(services.database, info)
    held = claim(services)
    train(services, held, 1)
    page.goto(f"{PAGE}#/jobs/job_1")
    expect(page.get_by_text("Epoch 3 of 8")).to_be_visible()
    expect(page.get_by_role("heading", name="First look")).to_be_hidden()
    give_first_ranking(services, held, info)
    look = page.get_by_role("region", name="First look")
    expect(look.get_by_role("row")).to_have_count(10)
    expect(look).to_contain_text("The 9 most suspicious of 9 rows")
    expect(page.get_by_role("list", name="Facts")).not_to_contain_text("mislabeled")
    complete(services, held, info)
    expect(page.get_by_role("navigation", name="Parts of this job")).to_be_visible()
    expect(look).to_be_hidden()


def test_curves_come_also_where_the_job_ends_while_its_events_are_on_their_way(page: Page, services: Services) -> None:
    add_finished(services.database, services.blobs)
    asked: list[str | None] = []

    def first_event_alone(route: Route) -> None:
        asked.append(route.request.headers.get("last-event-id"))
        if len(asked) == 1:
            body = 'retry: 100\nid: 1\nevent: state\ndata: {"state": "queued"}\n\n'
            route.fulfill(body=body, content_type="text/event-stream")
        else:
            route.continue_()

    page.route("**/jobs/job_1/events", first_event_alone)
    page.goto(f"{PAGE}#/jobs/job_1/training")
    expect(page.get_by_role("table", name="Loss").locator("tbody tr")).to_have_count(1)
    assert asked == [None, "1"]


def test_a_failure_is_said_in_words_and_one_click_mends_it(
    page: Page, services: Services, client: httpx.Client
) -> None:
    add_job(services.database, add_dataset(services.database, blobs=services.blobs))
    held = claim(services)
    train(services, held, 1)
    with services.database.write() as connection:
        jobs.fail(connection, held, JobError(code="diverged", detail="the loss is inf"), services.now())
    page.goto(f"{PAGE}#/jobs/job_1")
    expect(page.get_by_role("heading", name="The training did not converge")).to_be_visible()
    expect(page.get_by_text("the loss is inf")).to_be_visible()
    page.get_by_role("button", name="Run with learning rate").click()
    expect(page.get_by_role("heading", name="No worker is running")).to_be_visible()
    again, first = client.get("/jobs").json()["items"]
    assert again["spec"]["training"]["learning_rate"] == pytest.approx(
        first["spec"]["training"]["learning_rate"] / 4, rel=0.1
    )
    assert again["dataset"]["id"] == first["dataset"]["id"]


def test_a_job_is_cancelled_tried_again_and_deleted(page: Page, services: Services, client: httpx.Client) -> None:
    add_job(services.database, add_dataset(services.database, blobs=services.blobs))
    page.goto(f"{PAGE}#/jobs/job_1")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", name="This job was cancelled")).to_be_visible()
    page.get_by_role("button", name="Try again").first.click()
    expect(page.get_by_role("heading", name="No worker is running")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("button", name="Delete the job").click()
    expect(page.get_by_role("status").get_by_text("is deleted")).to_be_visible()
    assert client.get("/jobs").json()["total"] == 0


def test_the_ranking_begins_high_and_facts_stand_in_a_line(page: Page, services: Services) -> None:
    add_finished(services.database, services.blobs)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"{PAGE}#/jobs/job_1/training")
    facts = page.get_by_role("list", name="Facts")
    expect(facts).to_contain_text("About 2 look mislabeled (1 to 3)")
    expect(facts).to_contain_text("12 rows")
    expect(facts).to_contain_text("MLP with trees, 90.0 % accurate")
    expect(page.get_by_role("navigation", name="Breadcrumb").get_by_role("listitem")).to_have_text(["animals"])
    box = page.get_by_role("navigation", name="Parts of this job").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 130


def test_what_cannot_be_told_is_a_button_of_its_own_words_that_says_why(page: Page, services: Services) -> None:
    add_finished(services.database, services.blobs)

    def answer(route: Route) -> None:
        job = route.fetch().json()
        job["result"]["estimates"]["mislabeled"] |= {"status": "unknown", "reason": "The classes overlap too much."}
        route.fulfill(json=job)

    page.route(re.compile(r"/jobs/job_1$"), answer)
    page.goto(f"{PAGE}#/jobs/job_1/training")
    # Who speaks to the page says what is seen.
    button = page.get_by_role("button", name="Cannot tell how many are mislabeled: why")
    expect(button).to_have_text("Cannot tell how many are mislabeled")
    button.click()
    expect(page.get_by_text("The classes overlap too much.")).to_be_visible()
    page.get_by_role("button", name="Verify samples").click()
    expect(page).to_have_url(re.compile("#/jobs/job_1/verify$"))


def test_on_a_phone_the_current_part_is_in_sight_among_the_parts(page: Page, services: Services) -> None:
    add_finished(services.database, services.blobs)
    page.set_viewport_size({"width": 360, "height": 740})
    parts = page.get_by_role("navigation", name="Parts of this job")
    for part, title in (("changes", "Before and after"), ("suspects", "Suspects")):
        page.goto(f"{PAGE}#/jobs/job_1/{part}")
        expect(parts.get_by_role("link", name=title)).to_be_in_viewport(ratio=1)


def test_a_note_has_its_button_and_details_a_click_away(page: Page, services: Services) -> None:
    add_finished(services.database, services.blobs)
    page.goto(f"{PAGE}#/jobs/job_1/training")
    page.get_by_role("button", name="1 thing to know").click()
    panel = page.get_by_role("group", name="1 thing to know")
    expect(panel.get_by_role("heading")).to_have_text("Ranked without verified samples: anomalies cannot be counted.")
    expect(panel.get_by_text("nothing is verified", exact=True)).to_have_count(0)
    panel.get_by_role("button", name="Details").click()
    expect(panel.get_by_text("nothing is verified", exact=True)).to_be_visible()
    panel.get_by_role("button", name="Verify 50 samples").click()
    expect(page.get_by_role("link", name="Verify")).to_have_attribute("aria-current", "page")


def test_both_halves_of_a_label_are_decided_on_and_undone(page: Page, services: Services, client: httpx.Client) -> None:
    info = add_finished(services.database, services.blobs, rows=54, splits={"train": 41, "test": 13})
    save_parts(services.blobs, "job_1", ranking(info))
    page.goto(f"{PAGE}#/jobs/job_1/groups")
    tighter, looser = (page.get_by_role("region", name=name) for name in ("2 rows, more alike", "12 rows, more varied"))
    expect(tighter.get_by_text("This half leans to “eel”")).to_be_visible()
    expect(looser.get_by_text("no other label is near")).to_be_visible()
    tighter.get_by_role("button", name="Give this half the label “eel”").click()
    expect(tighter.get_by_text("Relabelled to eel")).to_be_visible()
    expect(page.get_by_text("2 labels changed")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(tighter.get_by_text("Relabelled to eel")).to_have_count(0)
    tighter.get_by_role("button", name="Take this half out").click()
    looser.get_by_role("button", name="All of this half looks right").click()
    expect(looser.get_by_text("Kept", exact=True)).to_be_visible()
    expect(page.get_by_text("12 samples verified")).to_be_visible()
    expect(page.get_by_text("2 samples removed")).to_be_visible()
    held = client.get("/jobs/job_1/suspects", params={"reviewed": True, "limit": 100}).json()["items"]
    found = {(one["sample"]["id"], one["review"]["decision"], one["review"]["reviewer"]) for one in held}
    dogs = {row: "remove" if row in (1, 4) else "keep" for row in range(1, 41, 3)}
    assert found == {(f"row-{row}", decision, "Ada") for row, decision in dogs.items()}
    looser.get_by_role("link", name="All 12 rows in Suspects").click()
    expect(page.get_by_role("button", name="Remove the filter: The more varied half")).to_be_visible()


def test_a_group_of_an_earlier_version_is_decided_on_as_far_as_it_is_known(
    page: Page, services: Services, client: httpx.Client
) -> None:
    add_finished(services.database, services.blobs)
    known = {name: value for name, value in group().items() if name != "parts"}
    with services.database.write() as connection:
        rankings.save_summaries(connection, "job_1", {"groups": {"groups": [known]}})
    page.goto(f"{PAGE}#/jobs/job_1/groups")
    expect(page.get_by_text("Run it again to see both")).to_be_visible()
    page.get_by_role("region", name="2 rows, more alike").get_by_role("button", name="All of them look right").click()
    expect(page.get_by_text("2 samples verified")).to_be_visible()
    latest = {one["sample_id"]: one["decision"] for one in client.get("/jobs/job_1/reviews").json()["items"]}
    assert latest == {"row-4": "keep", "row-1": "keep"}


def test_what_others_decide_on_a_group_is_shown_without_a_reload(
    page: Page, services: Services, client: httpx.Client
) -> None:
    add_finished(services.database, services.blobs)
    follow(page, f"{PAGE}#/jobs/job_1/groups")
    half = page.get_by_role("region", name="2 rows, more alike")
    expect(half).to_be_visible()
    decisions = [{"sample_id": name, "decision": "relabel", "label": "eel"} for name in ("row-4", "row-1")]
    batch = client.post("/jobs/job_1/reviews", json=decisions).raise_for_status().json()["batch"]
    expect(half.get_by_text("Relabelled to eel")).to_be_visible()
    expect(page.get_by_text("2 labels changed")).to_be_visible()
    client.post("/jobs/job_1/reviews/undo", json={"batch": batch}).raise_for_status()
    expect(half.get_by_text("Relabelled to eel")).to_have_count(0)


def test_samples_are_verified_by_keys_and_rank_again_as_trusted(
    page: Page, services: Services, client: httpx.Client
) -> None:
    add_finished(services.database, services.blobs)
    page.goto(f"{PAGE}#/jobs/job_1/verify")
    proposed = [one["sample"]["id"] for one in client.get("/jobs/job_1/verify-next").json()["items"]]
    given = [one["given_label"] for one in client.get("/jobs/job_1/verify-next").json()["items"]]
    expect(page.get_by_role("heading", name=f"Is “{given[0]}” right?")).to_be_visible()
    other = {"cat": "2", "dog": "3", "eel": "1"}
    for place, key in enumerate(["k", "k", "k", other[given[3]], "x", "u", "z"]):
        expect(page.get_by_text(f"{min(place, 5) + 1 if key != 'z' else 7} of 9")).to_be_visible()
        page.keyboard.press(key)
    expect(page.get_by_text("3 samples verified")).to_be_visible()
    expect(page.get_by_text("1 label changed, 1 sample removed")).to_be_visible()
    page.get_by_role("button", name="Use these as trusted and rank again").click()
    expect(page.get_by_role("heading", name="No worker is running")).to_be_visible()
    again = client.get("/jobs").json()["items"][0]
    assert again["dataset"]["lineage"]["relabelled"] == 1
    assert again["dataset"]["lineage"]["removed"] == 1
    assert sorted(again["spec"]["reference"]["samples"]) == sorted(proposed[:4])
    assert page.url.endswith(f"#/jobs/{again['id']}/changes?other=job_1")


def test_a_rerun_starts_at_once_and_both_jobs_stand_side_by_side(
    page: Page, services: Services, client: httpx.Client
) -> None:
    uploaded = client.post("/datasets", **form(spec={"label": "animal"})).json()
    with services.database.read() as connection:
        info = datasets.get(connection, uploaded["id"])
    assert info is not None
    add_job(services.database, info, reference={"samples": ["row-10", "row-11"]})
    complete(services, _trained(services, "job_1"), info, reference_accuracy=0.81)
    wrong = [{"sample_id": "row-0", "decision": "relabel", "label": "dog"}]
    client.post("/jobs/job_1/reviews", json=wrong).raise_for_status()
    page.goto(f"{PAGE}#/jobs/job_1/changes")
    with page.expect_response("**/rerun"):
        page.get_by_role("button", name="Run again").last.click()
    while (links := client.get("/jobs/job_1").json()["links"])["next"] is None:
        time.sleep(0.05)
    following = links["next"].removeprefix("/jobs/")
    expect(page.get_by_role("heading", name="No worker is running")).to_be_visible()
    assert f"#/jobs/{following}/changes" in page.url
    complete(services, _trained(services, following), info, reference_accuracy=0.843)
    expect(page.get_by_text("81.0 % → 84.3 %")).to_be_visible()
    expect(page.get_by_text("+3.3 points")).to_be_visible()
    line = page.get_by_role("navigation", name="Versions")
    expect(line.get_by_role("link")).to_have_count(2)
    expect(line.get_by_text("1 relabelled")).to_be_visible()
    with page.expect_download() as download:
        line.get_by_role("button", name="Download version 2").click()
    changed = [
        (before, after)
        for before, after in zip(CSV.splitlines(), download.value.path().read_bytes().splitlines(), strict=True)
        if before != after
    ]
    assert [after.endswith(b",dog") for _, after in changed] == [True]
    pair = page.get_by_role("heading", name="v1 and v2")
    expect(pair).to_be_visible()
    line.get_by_role("link").first.click()
    expect(line.get_by_role("link").first).to_have_attribute("aria-current", "page")
    # The earlier one stands first, whichever of both was opened.
    expect(pair).to_be_visible()
    expect(page.get_by_text("81.0 % → 84.3 %")).to_be_visible()


def _trained(services: Services, job_id: str) -> Claim:
    held = claim(services, job_id)
    train(services, held, 2)
    return held


def test_a_rerun_that_waits_says_when_and_why(page: Page, services: Services, client: httpx.Client) -> None:
    add_finished(services.database, services.blobs)
    client.post("/jobs/job_1/reviews", json=[{"sample_id": "row-0", "decision": "remove"}]).raise_for_status()
    client.post("/jobs/job_1/rerun").raise_for_status()
    page.goto(f"{PAGE}#/jobs/job_1/changes")
    expect(page.get_by_text("so that reviews made until then count too")).to_be_visible()
    with page.expect_response("**/rerun"):
        page.get_by_role("button", name="Start now").click()
    while (links := client.get("/jobs/job_1").json()["links"])["next"] is None:
        time.sleep(0.05)
    page.wait_for_url(f"**{PAGE}#{links['next']}/changes**")


@pytest.fixture
def opened(browser: Browser, server: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of a size and theme that lets axe in."""
    width, theme = request.param
    context = browser.new_context(
        base_url=server, viewport={"width": width, "height": 800}, color_scheme=theme, bypass_csp=True, locale="en-GB"
    )
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("opened", [(1440, "light"), (360, "dark")], indirect=True)
def test_every_part_is_free_of_barriers_and_fits(
    opened: Page, services: Services, watched: Watched, axe_script: str
) -> None:
    info = add_finished(services.database, services.blobs)
    add_job(services.database, info, "job_2")
    add_job(services.database, info, "job_3")
    finish(services.database, "job_3", info, blobs=services.blobs)
    add_job(services.database, info, "job_4")
    give_first_ranking(services, claim(services, "job_4"), info)
    watched.watch(opened)
    for address in (*(f"job_1/{part}" for part in PARTS), "job_2", "job_4", "job_1/changes?other=job_3"):
        opened.goto(f"{PAGE}#/jobs/{address}")
        expect(opened.locator("[aria-busy]")).to_have_count(0)
        expect(opened.get_by_role("heading", level=2).first).to_be_visible()
        assert axe.violations(opened, axe_script) == [], address
        sideways = opened.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert sideways <= 0, address
    assert watched.complaints == []
