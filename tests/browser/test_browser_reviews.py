"""What somebody decides on the page is saved by the service, and can be undone."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from service.domain.dataset import DatasetSpec
from service.services import Services
from service.store.originals import keep_original
from tests.builders import CSV, add_finished


@pytest.fixture
def job(services: Services) -> str:
    add_finished(services.database, services.blobs, rows=40)
    return "/#job_1"


def suspects(client: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/jobs/job_1/suspects").json()["items"]
    return found


def kept(client: httpx.Client) -> list[tuple[str, str, str | None]]:
    """Every decision, oldest first."""
    found = client.get("/jobs/job_1/reviews").json()["items"]
    return [(one["sample_id"], one["decision"], one["label"]) for one in found]


def opened(page: Page, sample_id: str) -> None:
    page.get_by_role("button", name=sample_id, exact=True).click()
    expect(page.locator("#sample-name")).to_have_text(sample_id)


def pressed(page: Page, key: str, then: str) -> None:
    """Press a key, after which another sample is to be decided."""
    page.keyboard.press(key)
    expect(page.locator("#sample-name")).to_have_text(then)


def test_four_keys_decide_and_go_on(page: Page, job: str, client: httpx.Client) -> None:
    page.goto(job)
    items = [item for item in suspects(client) if item["verdict"] == "mislabeled"]
    page.get_by_label("Verdict").select_option("mislabeled")
    expect(page.locator("#rows tr")).to_have_count(len(items))
    ids = [item["sample"]["id"] for item in items]
    opened(page, ids[0])
    for place, key in enumerate("krxu"):
        pressed(page, key, ids[place + 1])
    wanted = [(ids[0], "keep", None), (ids[1], "relabel", items[1]["suggested_label"]), (ids[2], "remove", None)]
    assert kept(client) == [*wanted, (ids[3], "unsure", None)]
    page.keyboard.press("Escape")
    said = ["kept", f"relabelled to {items[1]['suggested_label']}", "to be removed", "unsure"] + [""] * (len(ids) - 4)
    expect(page.locator("#rows .review")).to_have_text(said)
    flagged = client.get("/jobs/job_1/reviews/summary").json()["flagged"]
    expect(page.locator("#reviews-said")).to_contain_text(
        f"4 of {flagged} flagged samples reviewed. 67 % of them were wrong"
    )
    page.reload()
    expect(page.locator(f"[data-sample='{ids[0]}'] .review")).to_have_text("kept")


def test_a_label_with_no_better_suggestion_is_not_relabelled_to_it(page: Page, job: str, client: httpx.Client) -> None:
    page.goto(job)
    items = suspects(client)
    place = next(place for place, item in enumerate(items) if item["suggested_label"] == item["given_label"])
    agreed, following = items[place], items[place + 1]["sample"]["id"]
    opened(page, agreed["sample"]["id"])
    expect(page.locator("#relabel")).to_be_disabled()
    page.keyboard.press("r")
    other = "eel" if agreed["given_label"] != "eel" else "cat"
    page.locator("#other").focus()
    page.locator("#other").select_option(label=other)
    expect(page.locator("#sample-name")).to_have_text(following)
    expect(page.locator("#decided")).to_have_text(f"{agreed['sample']['id']}: relabelled to {other}. Press Z to undo.")
    page.keyboard.press("x")  # is heard, although the focus was in the list
    expect(page.locator("#decided")).to_contain_text("to be removed")
    assert [(decision, label) for _, decision, label in kept(client)] == [("relabel", other), ("remove", None)]


def test_undo_brings_back_what_held_before(page: Page, job: str, client: httpx.Client) -> None:
    first, second, third = (item["sample"]["id"] for item in suspects(client)[:3])
    client.post("/jobs/job_1/reviews", json=[{"sample_id": first, "decision": "keep"}])
    page.goto(job)
    opened(page, first)
    expect(page.locator("#standing")).to_have_text("Reviewed: kept.")
    pressed(page, "x", second)
    pressed(page, "u", third)
    expect(page.locator(f"[data-sample='{second}'] .review")).to_have_text("unsure")
    pressed(page, "z", second)
    pressed(page, "z", first)
    expect(page.locator("#standing")).to_have_text("Reviewed: kept.")
    page.keyboard.press("z")
    expect(page.locator("#sample .message")).to_have_text("There is nothing to undo.")
    assert kept(client)[1:] == [
        (first, "remove", None),
        (second, "unsure", None),
        (second, "withdraw", None),
        (first, "keep", None),
    ]
    held = {item["sample"]["id"]: item["review"] for item in suspects(client)}
    assert (held[first]["decision"], held[second]) == ("keep", None)


def test_reviews_become_a_corrected_dataset_and_the_job_is_asked_to_run_again(
    page: Page, job: str, client: httpx.Client, services: Services, tmp_path: Path
) -> None:
    (tmp_path / "upload").write_bytes(CSV)
    keep_original(services.blobs, "ds_1", tmp_path / "upload", "animals.csv", DatasetSpec(label="animal"))
    page.goto(job)
    expect(page.get_by_role("button", name="Make corrected dataset")).to_be_disabled()
    first, second, third = (item["sample"]["id"] for item in suspects(client)[:3])
    opened(page, first)
    pressed(page, "x", second)
    pressed(page, "k", third)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Make corrected dataset").click()
    expect(page.locator("#reviews-done")).to_contain_text("39 samples, 0 relabelled, 1 removed, 1 verified")
    (version,) = client.get("/datasets/ds_1/versions").json()["items"]
    expect(page.locator("#reviews-done")).to_contain_text(version["id"])
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download it").click()
    assert saved.value.suggested_filename == "animals-corrected.csv"
    assert len(saved.value.path().read_bytes().splitlines()) == len(CSV.splitlines()) - 1
    page.get_by_role("button", name="Run again").click()
    expect(page.locator("#reviews-done")).to_contain_text("runs again")


def test_a_key_that_is_held_with_another_decides_nothing(page: Page, job: str, client: httpx.Client) -> None:
    page.goto(job)
    first = suspects(client)[0]["sample"]["id"]
    opened(page, first)
    for keys in ("Control+x", "Alt+k", "Meta+u"):
        page.keyboard.press(keys)
    page.locator("#other").focus()
    page.keyboard.press("k")
    expect(page.locator("#sample-name")).to_have_text(first)
    assert kept(client) == []


def test_a_key_that_is_pressed_twice_decides_no_sample_twice(page: Page, job: str, client: httpx.Client) -> None:
    page.goto(job)
    opened(page, suspects(client)[0]["sample"]["id"])
    for _ in range(6):
        page.keyboard.press("k")
    expect(page.locator("#reviews-said")).to_contain_text("reviewed")
    page.wait_for_load_state("networkidle")
    decided = [sample_id for sample_id, _, _ in kept(client)]
    assert decided
    assert len(set(decided)) == len(decided)
